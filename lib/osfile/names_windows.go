package osfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// SameName reports whether a and b name the same file of a directory.
func SameName(a, b string) bool { return fold(a) == fold(b) }

// RemoveIn removes the file called name below root. Some file systems, and old versions of
// Windows, cannot remove a file by its handle; there it is removed by its path.
func RemoveIn(root *os.Root, name string) error {
	err := root.Remove(name)
	for _, cannot := range []error{windows.ERROR_INVALID_FUNCTION, windows.ERROR_INVALID_PARAMETER, errors.ErrUnsupported} {
		if errors.Is(err, cannot) {
			return os.Remove(filepath.Join(root.Name(), name))
		}
	}
	return err
}

// Rename renames the file called old in dir to name, which may be a file that others read: those
// that have opened it by Open are in nobody's way. For others, such as scanners for viruses, and
// where a file system knows no such files, it waits a second.
func Rename(dir, old, name string) error {
	from, to := filepath.Join(dir, old), filepath.Join(dir, name)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o200 == 0 {
		root.Chmod(name, 0o666) // what must not be written must not be replaced either
	}
	err = persist(func() error { return root.Rename(old, name) }, isBusy)
	var why syscall.Errno
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &why): // a link leads out of dir
		return persist(func() error { return os.Rename(from, to) }, isBusy)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: why}
}

// isBusy reports whether err may come from a file that somebody has open.
func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}
