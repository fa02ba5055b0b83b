package layer

import (
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// spool keeps the contents of one layer in a file, one after the other.
type spool struct {
	file   *blockio.Spool
	buf    []byte // while writing: not yet in file; while reading: the bytes at window
	size   int64  // of file and buf
	window int64
	shared *windows
}

const (
	spoolBuf    = 1 << 20
	spoolWindow = 128 << 10 // bytes read ahead in one layer
	maxWindows  = 64        // buffers of all layers
)

// windows are the buffers with which spools read ahead. The spools share them, since there
// may be too many layers for a buffer each.
type windows struct {
	held []*spool // those that have a buffer, or had one when they were closed
	next int      // in held: the next to lose its buffer
}

// take returns a buffer for s, which it may take from another spool.
func (w *windows) take(s *spool) []byte {
	if len(w.held) < maxWindows {
		w.held = append(w.held, s)
		return make([]byte, 0, spoolWindow)
	}
	old := w.held[w.next]
	w.held[w.next] = s
	w.next = (w.next + 1) % maxWindows
	buf := old.buf
	if old.buf = nil; buf == nil {
		return make([]byte, 0, spoolWindow)
	}
	return buf[:0]
}

func newSpool(dir string, shared *windows) (*spool, error) {
	file, err := blockio.NewSpool(dir)
	if err != nil {
		return nil, err
	}
	return &spool{file: file, buf: make([]byte, 0, spoolBuf), shared: shared}, nil
}

// keep appends e's content to the spool.
func (s *spool) keep(e *tree.Entry) (tree.Content, error) {
	at := s.size
	if _, err := e.Content.WriteTo(s); err != nil {
		return nil, err
	}
	if n := s.size - at; n != e.DataSize() {
		return nil, fmt.Errorf("content has %d bytes instead of %d", n, e.DataSize())
	}
	return withHoles(spooled{s, at, s.size - at}, e), nil
}

// withHoles returns the content of e, whose data bytes are data.
func withHoles(data tree.RandomContent, e *tree.Entry) tree.Content {
	if e.Extents == nil {
		return data
	}
	return tree.WithHoles(data, e.Size, e.Extents)
}

func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if len(s.buf)+len(p) <= spoolBuf {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	if len(p) < spoolBuf/2 {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	return s.file.Write(p)
}

// flush writes what is in buf.
func (s *spool) flush() error {
	_, err := s.file.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// complete ends the writing and begins the reading.
func (s *spool) complete() error {
	err := s.flush()
	s.buf = nil // load makes it again when a content is read
	return err
}

// close frees the file and the buffer. After that reading a content is an error.
func (s *spool) close() {
	s.file.Close()
	s.buf = nil
}

// read returns the n bytes at off; n is at most spoolWindow. If contents are read in about
// the order in which they came, it reads ahead.
func (s *spool) read(off, n int64) ([]byte, error) {
	end := s.window + int64(len(s.buf))
	if off < s.window || off+n > end {
		ahead := n
		if near := off - end; near >= -spoolWindow && near < spoolWindow {
			ahead = spoolWindow
		}
		if err := s.load(off, min(ahead, s.size-off)); err != nil {
			return nil, err
		}
	}
	b := s.buf[off-s.window:]
	return b[:n], nil
}

func (s *spool) load(off, n int64) error {
	if s.buf == nil {
		s.buf = s.shared.take(s)
	}
	s.buf = s.buf[:n]
	s.window = off
	if _, err := s.file.ReadAt(s.buf, off); err != nil {
		s.buf = s.buf[:0]
		return err
	}
	return nil
}

// spooled is content in a spool.
type spooled struct {
	s      *spool
	off, n int64
}

func (c spooled) WriteTo(w io.Writer) (int64, error) {
	if c.n > spoolWindow {
		return c.s.file.Part(c.off, c.n).WriteTo(w)
	}
	b, err := c.s.read(c.off, c.n)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (c spooled) ReadAt(p []byte, off int64) (int, error) {
	return c.s.file.Part(c.off, c.n).ReadAt(p, off)
}
