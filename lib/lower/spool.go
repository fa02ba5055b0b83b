package lower

import (
	"bufio"
	"fmt"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// spool keeps the contents of a stream, one behind the other.
type spool struct {
	file *blockio.Spool
	w    *bufio.Writer // must be flushed before anything is read
	size int64
}

const spoolBuf = 1 << 20

func newSpool(dir string) (*spool, error) {
	file, err := blockio.NewSpool(dir)
	if err != nil {
		return nil, err
	}
	return &spool{file: file, w: bufio.NewWriterSize(file, spoolBuf)}, nil
}

// keep appends the content of e to the spool.
func (s *spool) keep(e *tree.Entry) (tree.Content, error) {
	at, size := s.size, e.DataSize()
	n, err := e.Content.WriteTo(s.w)
	if s.size += n; err != nil {
		return nil, err
	}
	if n != size {
		return nil, fmt.Errorf("content has %d bytes instead of %d", n, size)
	}
	part := s.file.Part(at, size)
	if e.Extents == nil {
		return part, nil
	}
	return tree.WithHoles(part, e.Size, e.Extents), nil
}
