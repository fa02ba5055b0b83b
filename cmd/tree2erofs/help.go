package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "tree2erofs",
	Summary: "Write a tree stream, or layer images merged, as an EROFS image.",
	Needs:   "The image is written at random: in place to -o FILE or an empty regular file, to a pipe once it is complete.",
}
