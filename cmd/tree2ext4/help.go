package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "tree2ext4",
	Summary: "Write a tree stream as an ext4 root file system.",
	Needs:   "It is written at random: in place to -o FILE or an empty regular file, to a pipe once it is complete.",
}
