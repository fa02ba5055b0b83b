package vmdk

import (
	"fmt"
	"io"
)

// bounded is a file of a known size; the offsets that are stored in it are not trusted.
type bounded struct {
	r    io.ReaderAt
	size int64
}

// inside checks that the n bytes from sector on are in the file. what names them in the
// error.
func (b bounded) inside(what string, sector, n uint64) error {
	if size := uint64(b.size); sector > size/SectorSize || n > size-sector*SectorSize {
		return fmt.Errorf("%w: %s at sector %d lies outside the file of %d bytes", ErrCorrupt, what, sector, b.size)
	}
	return nil
}

// read fills p from byte off on. A file that ends before that is ErrCorrupt.
func (b bounded) read(p []byte, off int64) error {
	n, err := b.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = fmt.Errorf("%w: cut short: %w", ErrCorrupt, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("byte %d: %w", off+int64(n), err)
}

func (b bounded) sector(off int64) ([]byte, error) {
	p := make([]byte, SectorSize)
	return p, b.read(p, off)
}
