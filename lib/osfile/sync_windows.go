package osfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Sync is f.Sync for what may be a directory, or open for reading alone. Windows can do
// neither, and keeps names in a journal.
func Sync(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil
	}
	return err
}
