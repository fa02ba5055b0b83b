package mkext4upper

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "mkext4upper",
	Summary: "Make the writable ext4 disk for an overlay, or make an ext4 file system larger.",
	Needs:   "Linux 4.0 and later mount it. --features leaves out what an older or odd reader does not know.",
	Description: `The disk has an empty directory /work and a directory /upper, for the options workdir and upperdir of overlayfs. /upper is empty, or with --tree holds what a tree stream has, such as the changes of a layer.

The file system is what mke2fs -t ext4 makes, but without reserved blocks. It is a function of the input and the flags: the same give the same bytes. The file is sparse: it takes hardly more space than its content. To a pipe the whole file is written, holes too.

With --grow an existing file system is made larger in place. Of the other flags it takes only --size.`,
	Flags: map[string]string{
		"size":            "It is 64M to 64T. Besides the content overlayfs needs room to work: 8M, and 4K for each directory.",
		"tree":            "It is the stream of one layer, or of a merged tree; - is standard input, which is not read without this flag. Whiteouts and opaque directories act as in a layer.",
		"grow":            "It may be a file or a block device, and must not be mounted. A journal that a crash has left is replayed first.",
		"root-mode":       "The root of the overlay has them too. MODE is octal.",
		"root-from":       "IMAGE is the EROFS or ext4 image below the overlay. Taken are owner, permissions, time and extended attributes of /upper where --tree does not state them, and those of directories that the stream only implies. Without this flag they belong to root, with the permissions 0755.",
		"reserve-growth":  "Blocks are reserved for it, by the resize inode, which any kernel and resize2fs know. It is below 16T. Without this flag it is about 1T.",
		"bytes-per-inode": "Without this flag it is as mke2fs chooses for the size.",
		"keep-zeros":      "Without this flag blocks of zeros in files become holes.",
		"features": `The list is as for mke2fs -O, with commas; ^ leaves a feature out.

Without 64bit the file system has 16T at most. Without metadata_csum there are no checksums. Without flex_bg metadata is spread over the disk. Without resize_inode only a recent kernel grows it. Without dir_index large directories are slow. Without huge_file a file has 2T at most. Without dir_nlink a directory has 64998 directories at most. With metadata_csum_seed the UUID can be changed while it is mounted, which takes Linux 4.4.`,
	},
	Examples: []cli.Example{
		{Text: "An empty disk, and one with the changes of a layer", Command: "mkext4upper --size 4G -o upper.ext4\ntar2tree --input layer layer.tar |\n    mkext4upper --tree - --size 4G -o upper.ext4"},
		{Text: "Make it larger", Command: "mkext4upper --grow upper.ext4 --size 16G"},
	},
	SeeAlso: []string{"snapshot-pack", "ext42tree", "tree2ext4", "erofs-patch", "tar2tree", "mke2fs(8)", "resize2fs(8)", "mount(8)"},
}
