//go:build !portable

package osfile

import (
	"errors"
	"io/fs"
	"syscall"
)

// ErrDevice is the error about block devices on a system for which they are not supported.
var ErrDevice = errors.New("is a device, which is supported on Linux only")

// Device returns the number of the block device of info, which package os has made.
func Device(info fs.FileInfo) (uint64, error) { return uint64(info.Sys().(*syscall.Stat_t).Rdev), nil }
