package osfile

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// FreeSpace returns how many bytes the caller may still write to the disk of f, and whether
// the system tells.
func FreeSpace(f *os.File) (free int64, ok bool) {
	dir, err := windows.UTF16PtrFromString(filepath.Dir(f.Name()))
	if err != nil {
		return 0, false
	}
	var bytes uint64
	if err := windows.GetDiskFreeSpaceEx(dir, &bytes, nil, nil); err != nil {
		return 0, false
	}
	return int64(min(bytes, math.MaxInt64)), true
}

// IsFull reports whether err says that a disk, or the share of it that the user has, is full.
func IsFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, syscall.ENOSPC)
}

// IsReadOnly reports whether err comes from a read-only file system.
func IsReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
