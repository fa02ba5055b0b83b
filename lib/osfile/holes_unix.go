//go:build unix

package osfile

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SeekData returns where the first data of f at or after off begins. The error is io.EOF if
// there is no more, and errors.ErrUnsupported if f does not tell. It moves the offset of f.
func SeekData(f *os.File, off int64) (int64, error) { return seek(f, off, unix.SEEK_DATA) }

// SeekHole returns where the first hole of f at or after off begins, or the end of f. Its
// errors are those of SeekData.
func SeekHole(f *os.File, off int64) (int64, error) { return seek(f, off, unix.SEEK_HOLE) }

func seek(f *os.File, off int64, whence int) (int64, error) {
	at, err := f.Seek(off, whence)
	switch {
	case errors.Is(err, unix.ENXIO):
		err = io.EOF
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ENOTSUP):
		err = errors.ErrUnsupported // a block device, or a file system without holes
	}
	return at, err
}
