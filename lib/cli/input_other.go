//go:build !linux || portable

package cli

import (
	"io"
	"io/fs"
	"os"
	"sync"
)

// withoutWriter would return the flag for opening a named pipe that may have no writer yet.
// Here opening one waits for its writer.
func withoutWriter(path string) int { return 0 }

// interruptible is an input whose Close interrupts Read: a goroutine reads ahead of it, and is
// left behind in a Read that waits.
type interruptible struct {
	*io.PipeReader
	start sync.Once
	f     *os.File
	w     *io.PipeWriter
}

func newInterruptible(f *os.File) (io.ReadCloser, error) {
	r, w := io.Pipe()
	return &interruptible{PipeReader: r, f: f, w: w}, nil
}

func (i *interruptible) Read(p []byte) (int, error) {
	i.start.Do(func() { go i.copy() })
	n, err := i.PipeReader.Read(p)
	if err == io.ErrClosedPipe {
		err = &fs.PathError{Op: "read", Path: i.f.Name(), Err: fs.ErrClosed}
	}
	return n, err
}

// copy copies f until its end, or until Close.
func (i *interruptible) copy() {
	_, err := io.CopyBuffer(struct{ io.Writer }{i.w}, struct{ io.Reader }{i.f}, make([]byte, blockSize))
	i.w.CloseWithError(err) // nil is io.EOF
	i.f.Close()
}

func (i *interruptible) Close() error {
	i.start.Do(func() { i.f.Close() }) // nothing has been read
	return i.PipeReader.Close()
}
