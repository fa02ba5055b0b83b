package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "oci-fetch",
	Summary: "Write an OCI image, or one part of it, as an OCI archive.",
}
