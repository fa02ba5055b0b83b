package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "mkext4upper",
	Summary: "Make the writable ext4 disk for an overlay: /work, and /upper with what a tree stream holds.",
	Needs:   "The disk is sparse: -o FILE, or an empty regular file, takes hardly more space than its content; to a pipe all of it goes.",
}
