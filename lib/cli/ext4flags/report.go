package ext4flags

import (
	"io"

	"ocipipe/lib/cli/report"
	"ocipipe/lib/ext4/disk"
)

// Describe adds to r what the superblock of an ext4 file system says of it, which must have
// one.
func Describe(r *report.Result, fs io.ReaderAt) error {
	var super disk.Superblock
	b := make([]byte, disk.SuperSize)
	if _, err := fs.ReadAt(b, disk.SuperOffset); err != nil {
		return err
	}
	super.Decode(b)
	n := super.Needs()
	r.UUID, r.BlockSize = report.UUID(super.UUID), 1024<<super.LogBlockSize
	r.Kernel, r.KernelConfig, r.Features = n.Linux, n.Config, n.Features
	return nil
}
