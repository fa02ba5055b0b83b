package snapshot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrReflink is wrapped by the error about files that cannot share their blocks.
var ErrReflink = errors.New("the file system cannot share blocks")

// shareBlocks makes dst share all blocks of src.
func shareBlocks(dst, src *os.File) error {
	err := control(src, func(from int) error {
		return control(dst, func(to int) error { return unix.IoctlFileClone(to, from) })
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ENOSYS):
		return &os.PathError{Op: "reflink", Path: src.Name(), Err: ErrReflink}
	case err != nil:
		return &os.PathError{Op: "reflink", Path: src.Name(), Err: err}
	}
	return nil
}
