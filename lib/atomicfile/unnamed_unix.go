//go:build unix && (!linux || portable)

package atomicfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// allowHoles has nothing to do: any file may have holes.
func allowHoles(f *os.File) {}

// createUnnamed creates a file that has lost its name at once. In messages it is called path.
func createUnnamed(dir, path string) (*os.File, error) {
	d, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f, name, err := d.createNamed("", 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: dir, Err: err}
	}
	defer f.Close()
	if err := d.remove(name); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
