package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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
	f, err := os.OpenFile(t.Grow, os.O_RDWR, 0)
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
