package grow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse is wrapped by the errors of Open about a disk that is in use.
var ErrInUse = errors.New("is in use")

// Open opens a file or block device for Grow, and reports whether it is a device. It
// refuses a disk that is mounted, attached to a loop device, or locked, as QEMU locks its
// disks. It cannot see a machine monitor that does not lock, or a mount on another host.
// It locks the disk until the caller closes f.
func Open(name string) (f *os.File, device bool, err error) {
	fi, err := os.Stat(name) // opening a fifo would wait
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: errors.Unwrap(err)}
	}
	device = fi.Mode().Type() == fs.ModeDevice
	flags := os.O_RDWR
	switch {
	case device:
		flags |= os.O_EXCL // the kernel refuses what is mounted
	case !fi.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s: neither a regular file nor a block device", name)
	}
	if f, err = os.OpenFile(name, flags, 0); errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%s: %w: mounted, or part of another device", name, ErrInUse)
	}
	if err != nil {
		return nil, false, err
	}
	if err = lock(f); err == nil && !device {
		err = checkLoop(f)
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return f, device, nil
}

// lock locks all of f in both ways: with flock and with an OFD lock of fcntl.
func lock(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = c.Control(func(fd uintptr) {
		if lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); lockErr == nil {
			whole := unix.Flock_t{Type: unix.F_WRLCK}
			lockErr = unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
		}
	})
	switch {
	case err != nil:
		return err
	case errors.Is(lockErr, unix.EAGAIN), errors.Is(lockErr, unix.EACCES):
		return fmt.Errorf("%w: locked by another program", ErrInUse)
	case lockErr != nil && !errors.Is(lockErr, unix.EOPNOTSUPP) && !errors.Is(lockErr, unix.ENOLCK) && !errors.Is(lockErr, unix.ENOSYS):
		return fmt.Errorf("lock: %w", lockErr)
	}
	return nil // f is locked, or its file system knows no locks
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
