//go:build !portable

package osfile

import (
	"io/fs"
	"syscall"
)

// Device returns the number of the block device of info, which package os has made.
func Device(info fs.FileInfo) (uint64, error) { return uint64(info.Sys().(*syscall.Stat_t).Rdev), nil }
