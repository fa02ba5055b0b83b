// Package blockio moves bytes to and from positions in files. It has spool files, for data
// of a pipe that is needed twice, and a positioned writer for images.
package blockio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"ocipipe/lib/atomicfile"
)

// Spool is a temporary file without a name that grows at its end. It can be read anywhere,
// also by other goroutines while it grows. It vanishes with the process, however that
// ends.
type Spool struct {
	f    *os.File
	mu   sync.Mutex
	size int64
}

// NewSpool makes an empty spool in dir, or in $TMPDIR if dir is "".
func NewSpool(dir string) (*Spool, error) {
	f, err := atomicfile.Unnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	return &Spool{f: f}, nil
}

// SpoolAll makes a spool as NewSpool does, and copies r to it, to its end.
func SpoolAll(dir string, r io.Reader) (*Spool, error) {
	s, err := NewSpool(dir)
	if err != nil {
		return nil, err
	}
	// The structs hide methods by which io would choose a smaller buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, make([]byte, partBuf)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Write appends p. One goroutine at a time may call it.
func (s *Spool) Write(p []byte) (int, error) {
	n, err := s.f.WriteAt(p, s.Size())
	s.mu.Lock()
	s.size += int64(n)
	s.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("write spool file: %w", err)
	}
	return n, err
}

// Size returns the number of bytes written so far.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// ReadAt reads bytes that were written, from off on.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.f.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read spool file: %w", err)
	}
	return n, err
}

// Section returns a reader of the n bytes of s at off.
func (s *Spool) Section(off, n int64) *io.SectionReader {
	return io.NewSectionReader(s, off, n)
}

// Part is n bytes of s from off on, as a content that can be written and read at random.
func (s *Spool) Part(off, n int64) Part { return Part{s, off, n} }

// Part is a part of a spool.
type Part struct {
	s      *Spool
	off, n int64
}

const partBuf = 1 << 20

var partBufs = sync.Pool{New: func() any { return new([partBuf]byte) }}

// WriteTo writes the part. A FileWriter is told where it lies.
func (c Part) WriteTo(w io.Writer) (done int64, err error) {
	buf := partBufs.Get().(*[partBuf]byte)
	defer partBufs.Put(buf)
	for done < c.n {
		b := buf[:min(c.n-done, partBuf)]
		if _, err := c.s.ReadAt(b, c.off+done); err != nil {
			return done, err
		}
		m, err := WriteFrom(w, c.s.f, c.off+done, b)
		done += int64(m)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// ReadAt reads the part.
func (c Part) ReadAt(p []byte, off int64) (int, error) {
	return c.s.Section(c.off, c.n).ReadAt(p, off)
}

// Close frees the file, which cannot be read any more. Closing twice is harmless.
func (s *Spool) Close() error {
	if err := s.f.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
