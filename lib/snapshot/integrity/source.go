package integrity

import (
	"fmt"
	"io"
	"os"

	"ocipipe/lib/blockio"
)

// Source is a content at random, with holes.
type Source interface {
	io.ReaderAt
	// NextData returns where the first data at or after off begins and ends, at most the
	// size of the content. Both are the size if there is no more. What lies between data
	// is zeros.
	NextData(off int64) (from, end int64, err error)
}

// File returns the first size bytes of f, of which holes are not read. Root moves the
// offset of f.
func File(f *os.File, size int64) Source { return &file{f, size} }

type file struct {
	*os.File
	size int64
}

func (f *file) NextData(off int64) (from, end int64, err error) {
	return blockio.NextData(f.File, off, f.size)
}

// Dense returns the first size bytes of r, all of which are read.
func Dense(r io.ReaderAt, size int64) Source { return &dense{r, size} }

type dense struct {
	io.ReaderAt
	size int64
}

func (d *dense) NextData(off int64) (from, end int64, err error) {
	return min(off, d.size), d.size, nil
}

// readFull fills p from byte off of r on.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", off+int64(n), err)
}
