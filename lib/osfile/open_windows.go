package osfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Flags for opening files, beyond those of package os; 0 where a system has none.
const (
	NonBlock  = 0 // opening a named pipe does not wait for its writer
	NoFollow  = 0 // a symbolic link is an error
	Directory = 0 // anything else is an error
)

// Open is os.OpenFile for a file that may be renamed or removed while it is open, which
// Windows has to be told: as files below an os.Root are opened.
func Open(path string, flags int, perm fs.FileMode) (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err == nil {
		defer root.Close()
		var f *os.File
		if f, err = root.OpenFile(filepath.Base(path), flags, perm); err == nil {
			return f, nil
		}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}
