package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "erofs2tree",
	Summary: "Write the content of an EROFS image, or of layers merged, as a tree stream.",
}
