//go:build !linux || portable

package osfile

import (
	"errors"
	"io/fs"
)

// ErrDevice is the error about block devices on a system for which they are not supported.
var ErrDevice = errors.New("is a device, which is supported on Linux only")

// Device returns the number of the block device of info: ErrDevice on this system.
func Device(info fs.FileInfo) (uint64, error) { return 0, ErrDevice }
