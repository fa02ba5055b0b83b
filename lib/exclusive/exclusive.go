// Package exclusive opens disks, files and block devices, that nobody else uses. Whoever
// reads or changes the content of a disk as a whole needs that.
package exclusive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"ocipipe/lib/osfile"
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
// until the caller closes f. Block devices are for Linux: elsewhere the error is
// osfile.ErrDevice.
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
		if _, err := osfile.Device(fi); err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
		flags |= os.O_EXCL // the kernel refuses what is mounted
	case !fi.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s: %w", name, notDisk(fi))
	}
	switch f, err = os.OpenFile(name, flags, 0); {
	case errors.Is(err, syscall.EBUSY):
		return nil, false, fmt.Errorf("%s: %w", name, errMounted)
	case osfile.IsOpenElsewhere(err):
		return nil, false, fmt.Errorf("%s: %w: opened by another program", name, ErrInUse)
	case err != nil:
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
		if _, err = osfile.Device(fi); err == nil {
			err = checkMounted(f)
		}
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

func kindOf(access Access) osfile.LockKind {
	if access == Write {
		return osfile.Exclusive
	}
	return osfile.Shared
}

// meaning returns what err, of a lock, says of a disk.
func meaning(err error) error {
	switch {
	case errors.Is(err, osfile.ErrLocked):
		return fmt.Errorf("%w: %w", ErrInUse, osfile.ErrLocked)
	case err != nil && !osfile.HasNoLocks(err):
		return fmt.Errorf("lock: %w", err)
	}
	return nil // it is locked, or its file system knows no locks
}
