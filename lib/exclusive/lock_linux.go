//go:build !portable

package exclusive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ocipipe/lib/osfile"
)

// checkMounted returns an error if the device f is mounted.
func checkMounted(f *os.File) error {
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|os.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return errMounted
	case err != nil:
		return fmt.Errorf("open again: %w", errors.Unwrap(err))
	}
	return again.Close()
}

// lock locks all of f in both ways: with flock and with an OFD lock of fcntl.
func lock(f *os.File, access Access) error {
	err := osfile.Lock(f, kindOf(access))
	if err == nil {
		err = osfile.Control(f, func(fd uintptr) error {
			if access == Write {
				return lockForWriting(fd)
			}
			return lockForReading(fd)
		})
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = osfile.ErrLocked
	}
	return meaning(err)
}

func lockForWriting(fd uintptr) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
}

// lockForReading locks f against writers. QEMU, which writes, has locks for reading on
// single bytes of f: no such lock may be there, unless it covers all of f, as those of
// other readers do.
func lockForReading(fd uintptr) error {
	other := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(fd, unix.F_OFD_GETLK, &other); err != nil {
		return err
	}
	if other.Type != unix.F_UNLCK && !(other.Type == unix.F_RDLCK && other.Start == 0 && other.Len == 0) {
		return unix.EAGAIN
	}
	whole := unix.Flock_t{Type: unix.F_RDLCK}
	return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
}

// checkLoop returns an error if f is attached to a loop device.
func checkLoop(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	names, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the loop device has just been detached
		}
		if other, err := os.Stat(strings.TrimSuffix(string(b), "\n")); err == nil && os.SameFile(fi, other) {
			return fmt.Errorf("%w: attached to /dev/%s", ErrInUse, strings.Split(name, "/")[3])
		}
	}
	return nil
}
