package erofsflags

import (
	"io"

	"ocipipe/lib/cli/report"
	"ocipipe/lib/erofs/disk"
)

// Describe adds to r what the superblock of an EROFS image says of it. What is no such image
// adds nothing.
func Describe(r *report.Result, img io.ReaderAt) error {
	head := make([]byte, disk.SuperOffset+disk.SuperSize)
	if _, err := img.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	super, ok := disk.FindSuperblock(head)
	if !ok {
		return nil
	}
	r.UUID = report.UUID(super.UUID)
	r.BlockSize, _ = super.BlockSize()
	Needs(r, super.Needs())
	return nil
}

// Needs adds to r what a machine needs to mount the image.
func Needs(r *report.Result, n disk.Needs) {
	r.Kernel, r.KernelConfig, r.Features = n.Linux, n.Config, n.Features
}
