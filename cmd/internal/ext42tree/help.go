package ext42tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "ext42tree",
	Summary: "Write the content of an ext4 image, or the changes on an upper disk, as a tree stream.",
	Description: `It reads file systems of tree2ext4, mkext4upper and mke2fs, also after a kernel has used them. The entries are in canonical order. Nothing is mounted and nothing is written to the disk, which must not be in use.

With --upper it is a disk that overlayfs has used as its upper one, with the directories /upper and /work, such as mkext4upper makes. The output is a layer: the files in /upper with their attributes, and whiteouts for what was deleted. tree2tar --oci makes of it the layer of an image. Applied to what was below the overlay, it gives the tree that was seen in it. The root always has a record, with the attributes of /upper.

The images that were below are needed in two cases, in which the disk alone does not say what was seen: a directory that was renamed (mounts with redirect_dir=on) leaves its content below, and a file of which only attributes were changed (metacopy=on) its data. --lower names these images. A renamed directory becomes an opaque one that has everything that was seen in it. Hard links are as on the disk. With index=on, names that have no record on the disk are joined with the file that was changed by another name; without --lower a warning says so.

Marks of overlayfs itself are not in the output. That a file is immutable or append-only cannot be said in a layer; a warning counts such files.

With --list, --sizes or --cat it shows people what is there instead.`,
	Arguments: "Standard input that is a pipe is copied to a spool file first.",
	Flags: map[string]string{
		"upper":     "Without it the whole file system is written, in which /upper and /work are like any other directory.",
		"lower":     "IMAGE is an EROFS image of tree2erofs or mkfs.erofs, flat or a layer; an ext4 image; or a tree stream, whose contents wait in a spool file. Several images are merged, with their whiteouts. Their UUIDs are the property base of the stream.",
		"device":    "An image of metadata alone, such as tree2erofs --fsmeta makes, needs its layers: give the flag once for each layer, from bottom to top, after the --lower that it belongs to.",
		"userxattr": "Marks are then extended attributes user.overlay., and trusted.overlay. means nothing.",
		"exclude":   "GLOB is for a file, or all that is below a directory. With a slash it is for the path from the root on, otherwise for any part of that: *.log, /var/cache, /etc/machine-id. Nothing is left out by default. A change that is left out is not undone: what the images below have there is seen again.",
	},
	Examples: []cli.Example{
		{Text: "What was changed on the disk of a virtual machine, as a layer of an image", Command: "ext42tree --upper upper.ext4 | tree2tar --oci -z zstd -o layer.tar.zst"},
		{Text: "The same, where directories were renamed and metadata copied", Command: "ext42tree --upper upper.ext4 --lower rootfs.erofs |\n    tree2tar --oci -o layer.tar"},
		{Text: "What was changed there, and a file of it", Command: "ext42tree --upper --list upper.ext4\next42tree --cat /etc/hostname rootfs.ext4"},
		{Text: "A root file system as an EROFS image", Command: "ext42tree rootfs.ext4 | tree2erofs -o rootfs.erofs"},
	},
	SeeAlso: []string{"tree2ext4", "mkext4upper", "erofs2tree", "tree2tar", "oci-commit", "snapshot-pack"},
}).With(lookflags.About)
