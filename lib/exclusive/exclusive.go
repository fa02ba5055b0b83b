// Package exclusive opens disks, files and block devices, that nobody else uses. Whoever
// reads or changes the content of a disk as a whole needs that.
package exclusive

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

// Access is what a disk is opened for.
type Access int

// The accesses.
const (
	Read  Access = iota // others may read too
	Write               // nobody else
)

// Open opens a file or block device, and reports whether it is a device. It refuses a disk
// that is mounted, attached to a loop device, or locked, as QEMU locks its disks. It cannot
// see a machine monitor that does not lock, or a mount on another host. It locks the disk
// until the caller closes f.
func Open(name string, access Access) (f *os.File, device bool, err error) {
	fi, err := os.Stat(name) // opening a fifo would wait
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: errors.Unwrap(err)}
	}
	device = fi.Mode().Type() == fs.ModeDevice
	flags := os.O_RDONLY
	if access == Write {
		flags = os.O_RDWR
	}
	switch {
	case device:
		flags |= os.O_EXCL // the kernel refuses what is mounted
	case !fi.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s: %w", name, notDisk(fi))
	}
	if f, err = os.OpenFile(name, flags, 0); errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%s: %w", name, errMounted)
	}
	if err != nil {
		return nil, false, err
	}
	if err = lock(f, access); err == nil && !device {
		err = checkLoop(f)
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return f, device, nil
}

// notDisk returns the error for what cannot hold a disk.
func notDisk(fi fs.FileInfo) error {
	if fi.IsDir() {
		return errors.New("is a directory, not a file or a block device")
	}
	return errors.New("neither a regular file nor a block device")
}

var errMounted = fmt.Errorf("%w: mounted, or part of another device", ErrInUse)

// Lock is Open with Read for a file that is open already. The lock ends when f is closed. It
// does not keep a device from being mounted later. Its errors do not name f.
func Lock(f *os.File) error {
	fi, err := f.Stat()
	switch {
	case err != nil:
		return err
	case fi.Mode().Type() == fs.ModeDevice:
		err = checkMounted(f)
	case !fi.Mode().IsRegular():
		return notDisk(fi)
	}
	if err == nil {
		err = lock(f, Read)
	}
	if err == nil {
		err = checkLoop(f)
	}
	return err
}

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
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = c.Control(func(fd uintptr) {
		if access == Write {
			lockErr = lockForWriting(fd)
		} else {
			lockErr = lockForReading(fd)
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

func lockForWriting(fd uintptr) error {
	if err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
}

// lockForReading locks f against writers. QEMU, which writes, has locks for reading on
// single bytes of f: no such lock may be there, unless it covers all of f, as those of
// other readers do.
func lockForReading(fd uintptr) error {
	if err := unix.Flock(int(fd), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return err
	}
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
