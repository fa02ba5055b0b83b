package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "wrap-vmdk",
	Summary: "Present images as one virtual disk.",
	Needs:   "Attach a descriptor read-only where its extents are shared: QEMU writes to those that it may write to.",
}
