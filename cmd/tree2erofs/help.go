package main

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "tree2erofs",
	Summary: "Write a tree stream, or layer images merged, as an EROFS image.",
	Needs:   "Linux 5.15 and later mount the image, and 6.4 where --block-size is below 4096. With --fsmeta: Linux 5.16 with -o device=LAYER for each layer; 6.4 if the layers follow the image on one disk, or 5.15 if it was made with --device-table=no.",
	Description: `EROFS is a read-only file system of the Linux kernel. The image is not compressed. It is a function of the input: the same tree gives the same bytes, and the UUID derives from the content.

There are three kinds of image. Without a flag it is a file system that is complete in itself. With --layer it is one layer for overlayfs, with its whiteouts. With --fsmeta the input is images of layers, and the output is metadata alone that merges them: many images can share a layer, and contents are stored once.

Overlayfs cannot express all that a layer can, such as hard links to a layer below; a warning says so. An image of --fsmeta has it all.

The image is written at random: in place to the --output file and to a standard output that is an empty file. To a pipe it is copied from a spool file once it is complete.`,
	Arguments: "With --fsmeta the arguments are images of layers, from bottom to top, such as --layer makes. Otherwise it is one tree stream.",
	Flags: map[string]string{
		"layer":          "Every file is in blocks of its own, which --fsmeta can refer to.",
		"fsmeta":         "The image is mounted with an option device=LAYER for each layer, in order (Linux 5.16), or from one disk on which the layers follow it (Linux 6.4), such as wrap-vmdk makes.",
		"device-table":   "With no, the image has no table of the layers. Any Linux since 5.15 mounts it from one disk on which the layers follow it, and only so.",
		"block-size":     "It is a power of two. Linux mounts 4096 since 5.15 and less since 6.4; more only on a machine whose pages are as large.",
		"keep-zeros":     "Without this flag zeros in a file, from 64 KiB on, become holes.",
		"max-hole-bytes": "The maps of the data count, and the zeros around it.",
	},
	Examples: []cli.Example{
		{Text: "An image as a root file system", Command: "oci-fetch alpine | tar2tree | tree2erofs -o rootfs.erofs"},
		{Text: "One layer, and layers merged by metadata", Command: "tar2tree layer.tar.gz | tree2erofs --layer -o layer.erofs\ntree2erofs --fsmeta -o fsmeta.erofs 000.erofs 001.erofs"},
	},
	SeeAlso: []string{"tar2tree", "erofs2tree", "erofs-patch", "wrap-vmdk", "mount(8)"},
}
