package osfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// Duplicate returns f under another handle. It shares the offset with f.
func Duplicate(f *os.File) (*os.File, error) {
	var h windows.Handle
	err := Control(f, func(old uintptr) error {
		own := windows.CurrentProcess()
		return windows.DuplicateHandle(own, windows.Handle(old), own, &h, 0, false, windows.DUPLICATE_SAME_ACCESS)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(h), f.Name()), nil
}
