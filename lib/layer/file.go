package layer

import (
	"io"
	"os"
	"sync"

	"ocipipe/lib/tree"
)

// inTurns is a reader that the goroutine reads that needs its bytes. For a regular file that
// is not hashed this takes a third less processor time than to pass buffers from one
// goroutine to another. After Close nothing reads r.
type inTurns struct {
	r      io.Reader
	mu     sync.Mutex // held while r is read
	closed bool
}

const inTurnsBuf = 1 << 20

func (t *inTurns) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, tree.ErrClosed
	}
	return t.r.Read(p)
}

func (t *inTurns) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return nil
}

// inFile returns r if it is a regular file, and its offset, else nil.
func inFile(r io.Reader) (*os.File, int64) {
	f, ok := r.(*os.File)
	if !ok {
		return nil, 0
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0
	}
	off, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0
	}
	return f, off
}
