//go:build !portable

package snapshot

import (
	"os"

	"golang.org/x/sys/unix"

	"ocipipe/lib/osfile"
)

// renameNew moves what is called name from one directory to another, where nothing of that
// name may be.
func renameNew(from, to *os.File, name string) error {
	return osfile.Control(from, func(old uintptr) error {
		return osfile.Control(to, func(fd uintptr) error {
			return unix.Renameat2(int(old), name, int(fd), name, unix.RENAME_NOREPLACE)
		})
	})
}
