package osfile

import (
	"errors"
	"os"
	"path/filepath"

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
