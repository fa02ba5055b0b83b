package tree2ext4

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "tree2ext4",
	Summary: "Write a tree stream as an ext4 root file system.",
	Needs:   "Linux 4.0 and later mount it. --features leaves out what an older or odd reader does not know.",
	Description: `The file system is what mke2fs -t ext4 makes, but without reserved blocks. It is a function of the input and the flags: the same give the same bytes, and the UUID derives from them. The file is sparse where the file system is empty.

It is written at random: in place to the --output file and to a standard output that is an empty file. To a pipe it is copied from a spool file once it is complete.`,
	Flags: map[string]string{
		"size":            "It is 64T at most.",
		"free-space":      "Without this flag it is 512M, or a quarter of what is in use if that is more. It takes no space in a sparse file.",
		"free-inodes":     "Without this flag there is one for 16K of free space; with --size, as many as mke2fs chooses for that.",
		"max-size":        "Blocks are reserved for it, by the resize inode, which any kernel and resize2fs know. Without this flag it is 1T, and more where --size is above that.",
		"bytes-per-inode": "It counts for the whole size, or for the free space where --size is not given.",
		"keep-zeros":      "Without this flag blocks of zeros in files become holes.",
		"features": `The list is as for mke2fs -O, with commas; ^ leaves a feature out.

Without 64bit the file system has 16T at most. Without metadata_csum there are no checksums. Without resize_inode only a recent kernel grows it. Without dir_index large directories are slow. Without huge_file a file has 2T at most. Without dir_nlink a directory has 64998 directories at most. With metadata_csum_seed the UUID can be changed while it is mounted, which takes Linux 4.4.

The feature flex_bg is always there.`,
	},
	Examples: []cli.Example{
		{Text: "An image as a root file system with 1 GiB of free space", Command: "oci-fetch alpine | tar2tree | tree2ext4 --free-space 1G -o root.ext4"},
		{Text: "The smallest file system for a tree", Command: "tree2ext4 --shrink --journal none -o root.ext4 rootfs.tree"},
	},
	SeeAlso: []string{"tar2tree", "mkext4upper", "ext42tree", "mke2fs(8)", "mount(8)"},
}
