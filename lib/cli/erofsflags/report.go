package erofsflags

import (
	"errors"
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/erofs/disk"
)

// Describe adds to the report, if one is wanted, what the superblock of img says, an EROFS image
// of our own.
func Describe(env *cli.Env, img io.ReaderAt) error {
	if !env.Reports() {
		return nil
	}
	head := make([]byte, disk.SuperOffset+disk.SuperSize)
	if _, err := img.ReadAt(head, 0); err != nil {
		return err
	}
	super, ok := disk.FindSuperblock(head)
	if !ok {
		return errors.New("the image has no superblock")
	}
	r := env.Result()
	r.Format, r.UUID = "erofs", report.UUID(super.UUID)
	r.BlockSize, _ = super.BlockSize()
	Needs(env, super.Needs())
	return nil
}

// Needs adds to the report what a machine needs to mount an image.
func Needs(env *cli.Env, n disk.Needs) {
	r := env.Result()
	r.Kernel, r.KernelConfig, r.Features = n.Linux, n.Config, n.Features
}
