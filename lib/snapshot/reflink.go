package snapshot

import (
	"errors"
	"os"
	"syscall"

	"ocipipe/lib/osfile"
)

// ErrReflink is wrapped by the error about files that cannot share their blocks.
var ErrReflink = errors.New("the file system cannot share blocks")

// shareBlocks makes dst share all blocks of src.
func shareBlocks(dst, src *os.File) error {
	err := osfile.Clone(dst, 0, src, 0)
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTTY):
		return &os.PathError{Op: "reflink", Path: src.Name(), Err: ErrReflink}
	case err != nil:
		return &os.PathError{Op: "reflink", Path: src.Name(), Err: err}
	}
	return nil
}
