package ext4flags

import (
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/ext4/disk"
)

// Describe adds to the report, if one is wanted, what the superblock of fs says, an ext4 file
// system.
func Describe(env *cli.Env, fs io.ReaderAt) error {
	if !env.Reports() {
		return nil
	}
	var super disk.Superblock
	b := make([]byte, disk.SuperSize)
	if _, err := fs.ReadAt(b, disk.SuperOffset); err != nil {
		return err
	}
	super.Decode(b)
	r, n := env.Result(), super.Needs()
	r.Format = "ext4"
	r.UUID, r.BlockSize = report.UUID(super.UUID), 1024<<super.LogBlockSize
	r.Kernel, r.KernelConfig, r.Features = n.Linux, n.Config, n.Features
	return nil
}
