package tree2erofs

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/erofsflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "tree2erofs",
	Summary: "Write a tree stream, or layer images merged, as an EROFS image.",
	Needs:   "Linux 5.15 and later mount the image, and 6.4 where --block-size is below 4096. With --fsmeta: Linux 5.16 with -o device=LAYER for each layer; 6.4 if the layers follow the image on one disk, or 5.15 if it was made with --device-table=no. With --compress: lz4 and lz4hc need CONFIG_EROFS_FS_ZIP (Linux 5.4, and 5.13 with clusters of more than 4K), deflate CONFIG_EROFS_FS_ZIP_DEFLATE (Linux 6.6), zstd CONFIG_EROFS_FS_ZIP_ZSTD (Linux 6.10); all of them need Linux 6.8 where --block-size is below 4096, and --extents=encoded needs Linux 6.15. An image of --fsmeta needs what its layers need.",
	Description: `EROFS is a read-only file system of the Linux kernel. The image is a function of the input: the same tree gives the same bytes, and the UUID derives from the content.

There are three kinds of image. Without a flag it is a file system that is complete in itself. With --layer it is one layer for overlayfs, with its whiteouts. With --fsmeta the input is images of layers, and the output is metadata alone that merges them: many images can share a layer, and contents are stored once. Layers may be compressed, each in its own way; they stay so.

Overlayfs cannot express all that a layer can, such as hard links to a layer below; a warning says so. An image of --fsmeta has it all.

With --compress the contents of files are compressed, each where that makes it smaller; sparse files are not. lz4 is the fastest to read, zstd the smallest. The kernel of the machine that mounts the image has to know the algorithm, and refuses the image otherwise.

The image is written at random: in place to the --output file and to a standard output that is an empty file. To a pipe it is copied from a spool file once it is complete.`,
	Arguments: "With --fsmeta the arguments are images of layers, from bottom to top, such as --layer makes. Otherwise it is one tree stream.",
	Flags: map[string]string{
		"layer":          "Every file is in blocks of its own, which --fsmeta can refer to.",
		"fsmeta":         "The image is mounted with an option device=LAYER for each layer, in order (Linux 5.16), or from one disk on which the layers follow it (Linux 6.4), such as wrap-vmdk makes.",
		"device-table":   "With no, the image has no table of the layers. Any Linux since 5.15 mounts it from one disk on which the layers follow it, and only so.",
		"block-size":     "It is a power of two. Linux mounts 4096 since 5.15 and less since 6.4, or 6.8 with --compress; more only on a machine whose pages are as large.",
		"keep-zeros":     "Without this flag zeros in a file, from 64 KiB on, become holes.",
		"max-hole-bytes": "The maps of the data count, and the zeros around it.",
	},
	Examples: []cli.Example{
		{Text: "An image as a root file system", Command: "oci-fetch alpine | tar2tree | tree2erofs -o rootfs.erofs"},
		{Text: "One layer, and layers merged by metadata", Command: "tar2tree layer.tar.gz | tree2erofs --layer -o layer.erofs\ntree2erofs --fsmeta -o fsmeta.erofs 000.erofs 001.erofs"},
		{Text: "A compressed layer", Command: "tar2tree layer.tar.gz | tree2erofs --quiet --layer -z zstd -o layer.erofs"},
		{Text: "A compressed image for Linux 6.10 and later", Command: "tar2tree image.tar | tree2erofs --quiet -z zstd -o rootfs.erofs"},
	},
	SeeAlso: []string{"tar2tree", "erofs2tree", "erofs-patch", "wrap-vmdk", "mount(8)"},
}).With(erofsflags.About)
