//go:build !linux || portable

package osfile

import "io/fs"

// Device returns the number of the block device of info: ErrDevice on this system.
func Device(info fs.FileInfo) (uint64, error) { return 0, ErrDevice }
