package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4"
)

// grow makes the file system in t.Grow larger.
func (t *tool) grow(env *cli.Env) error {
	same := *t
	same.Size, same.Grow = 0, ""
	same.Limits = t.Limits
	if same != (tool{Limits: t.Limits}) {
		return cli.Usage("--grow goes with --size alone: all else stays as it is")
	}
	f, err := openAlone(t.Grow)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	device := fi.Mode().Type() == fs.ModeDevice
	if !device && !fi.Mode().IsRegular() {
		return fmt.Errorf("%s: neither a regular file nor a block device", t.Grow)
	}
	err = ext4.Grow(f, ext4.GrowOptions{Size: t.Size, Device: device})
	if err != nil {
		return fmt.Errorf("%s: %w", t.Grow, err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// openAlone opens a file or device that nobody else writes to: not a mount, and not
// a machine whose disk it is.
func openAlone(path string) (*os.File, error) {
	inUse := fmt.Errorf("%s: is in use: mounted, or the disk of a machine", path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_EXCL, 0) // exclusive: of a device that is mounted
	if errors.Is(err, unix.EBUSY) {
		return nil, inUse
	}
	if err != nil {
		return nil, err
	}
	// A write lease is given only where no other descriptor can write.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); errors.Is(err, unix.EAGAIN) {
		f.Close()
		return nil, inUse
	} else if err == nil {
		unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return f, nil
}
