//go:build unix

package osfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Flags for opening files, beyond those of package os; 0 where a system has none.
const (
	NonBlock  = unix.O_NONBLOCK  // opening a named pipe does not wait for its writer
	NoFollow  = unix.O_NOFOLLOW  // a symbolic link is an error
	Directory = unix.O_DIRECTORY // anything else is an error
)

// Open is os.OpenFile for a file that may be renamed or removed while it is open, which
// Windows has to be told.
func Open(path string, flags int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flags, perm)
}
