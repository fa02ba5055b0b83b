package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "tree2tar",
	Summary: "Turn a tree stream into a tar archive.",
}
