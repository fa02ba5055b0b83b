//go:build unix

package atomicfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// createRemoved creates a file that has lost its name at once. In messages it is called path.
func createRemoved(dir, path string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".ocipipe-tmp-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
