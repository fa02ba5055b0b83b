package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "tar2tree",
	Summary: "Turn layers, or an image, into a tree stream.",
}
