package erofs2tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "erofs2tree",
	Summary: "Write the content of an EROFS image, or of layers merged, as a tree stream.",
	Description: `It reads images of tree2erofs and of mkfs.erofs, also compressed by LZ4, Deflate or zstd, but not by LZMA. The entries are in canonical order.

Several images are layers from bottom to top, such as tree2erofs --layer makes. The output is the merged tree.

With --list, --sizes or --cat it shows people what is in the image instead. It reads no contents for that, but those of --cat and --digest.`,
	Arguments: "Standard input that is a pipe is copied to a spool file first. Several images have to be files that can be read at random.",
	Flags: map[string]string{
		"device": "It is for an image of metadata alone, such as tree2erofs --fsmeta makes, whose contents lie in the layers: give the flag once for each layer, in the order of the image's table of devices, which is that from bottom to top. An image that is followed by its layers in one file needs none.",
	},
	Examples: []cli.Example{
		{Text: "An image as a tar archive", Command: "erofs2tree rootfs.erofs | tree2tar -o rootfs.tar"},
		{Text: "What is in an image, to compare it with another", Command: "erofs2tree --no-data --digest rootfs.erofs > rootfs.mtree"},
		{Text: "What differs between two images", Command: "diff <(erofs2tree --list --digest old.erofs) \\\n    <(erofs2tree --list --digest rootfs.erofs)"},
		{Text: "What takes the space, and one directory of it", Command: "erofs2tree --sizes rootfs.erofs\nerofs2tree --list=/etc rootfs.erofs"},
		{Text: "Metadata with the layers that it merges", Command: "erofs2tree fsmeta.erofs --device 000.erofs --device 001.erofs \\\n    --device 002.erofs > rootfs.tree"},
	},
	SeeAlso: []string{"tree2erofs", "erofs-patch", "ext42tree", "tree2tar"},
}).With(lookflags.About)
