package erofsflags

import "ocipipe/lib/cli"

// About says more about the flags, for man pages.
var About = cli.Manual{
	Flags: map[string]string{
		"compress":       "The levels are 2 to 12 of lz4hc (default 9), 1 to 22 of zstd (3), and 1 to 9 of deflate (6). Of zstd, 1 and 2, 3 to 5, 6 to 9, and those from 10 on are the same.",
		"pcluster":       "It is the most that a cluster takes, a power of two. A cluster is the unit of reading: larger ones make the image smaller, and reads at random slower. With zstd and deflate a cluster begins with twice as much content.",
		"extents":        "With index, a file has an index of its blocks. With encoded, it has a list of its extents, which need no whole blocks: the image is smaller and is made faster, but needs Linux 6.15.",
		"compress-hints": "For a file, the first line whose pattern fits counts, and --compress if none fits. A pattern is a glob, in which * and ? do not match a slash. With a slash in it, the pattern is for the path from the root on, of a file or of a directory with all that is below; without a slash, it is for a name at any depth. ALG[,LEVEL] is as for --compress. Lines that begin with # are comments.",
	},
}
