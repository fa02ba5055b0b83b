//go:build unix

package osfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks f until it is closed. It does not wait: the error is ErrLocked if somebody
// else has f locked, in this process or another. Programs that do not lock f may use it
// all the same.
func Lock(f *os.File, kind LockKind) error {
	how := unix.LOCK_EX
	if kind == Shared {
		how = unix.LOCK_SH
	}
	err := Control(f, func(fd uintptr) error {
		for {
			if err := unix.Flock(int(fd), how|unix.LOCK_NB); err != unix.EINTR {
				return err
			}
		}
	})
	if err == unix.EWOULDBLOCK {
		return ErrLocked
	}
	return err
}

// HasNoLocks reports whether err, of Lock, says that the file system knows no locks.
func HasNoLocks(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS)
}

// IsOpenElsewhere reports whether err, of opening a file, says that a program has it open that
// lets no other use it. On this system any program may open a file.
func IsOpenElsewhere(err error) bool { return false }
