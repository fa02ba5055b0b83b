package osfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockHigh is the upper half of the offset of the byte that is locked: Windows keeps others
// from using what is locked, so it lies where no file has content.
const lockHigh = 1 << 30

// Lock locks f until it is closed. It does not wait: the error is ErrLocked if somebody
// else has f locked, in this process or another. Programs that do not lock f may use it
// all the same.
func Lock(f *os.File, kind LockKind) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if kind == Exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := Control(f, func(fd uintptr) error {
		return windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockHigh})
	})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

// HasNoLocks reports whether err, of Lock, says that the file system knows no locks.
func HasNoLocks(err error) bool {
	return errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION) ||
		errors.Is(err, windows.ERROR_INVALID_HANDLE) // a directory
}

// IsOpenElsewhere reports whether err, of opening a file, says that a program has it open that
// lets no other use it.
func IsOpenElsewhere(err error) bool { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }
