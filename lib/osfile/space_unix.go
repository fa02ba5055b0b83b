//go:build unix

package osfile

import (
	"errors"
	"math"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

// FreeSpace returns how many bytes the caller may still write to the disk of f, and whether
// the system tells.
func FreeSpace(f *os.File) (free int64, ok bool) {
	var st unix.Statfs_t
	err := Control(f, func(fd uintptr) error { return unix.Fstatfs(int(fd), &st) })
	if err != nil || st.Blocks == 0 {
		return 0, false
	}
	if high, low := bits.Mul64(uint64(st.Bavail), uint64(st.Bsize)); high == 0 {
		free = int64(min(low, math.MaxInt64))
	} else {
		free = math.MaxInt64
	}
	return free, true
}

// IsFull reports whether err says that a disk, or the share of it that the user has, is full.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// IsReadOnly reports whether err comes from a read-only file system.
func IsReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }
