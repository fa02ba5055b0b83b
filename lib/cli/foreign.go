package cli

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"ocipipe/lib/compression"
	"ocipipe/lib/magic"
)

// intoTree are commands that make a tree stream of a file, by its kind.
var intoTree = map[magic.Kind]string{
	magic.Tar:      "tar2tree FILE",
	magic.EROFS:    "erofs2tree FILE",
	magic.Ext4:     "ext42tree FILE",
	magic.Squashfs: "sqfs2tar FILE | tar2tree",
	magic.Cpio:     "bsdtar -cf - @FILE | tar2tree",
	magic.Zip:      "bsdtar -cf - @FILE | tar2tree",
	magic.SevenZip: "bsdtar -cf - @FILE | tar2tree",
}

// outOfTree are the tools that make what was wanted of a tree stream.
var outOfTree = map[magic.Kind]string{
	magic.EROFS: "tree2erofs makes an EROFS image of it",
	magic.Ext4:  "tree2ext4 makes an ext4 file system of it",
	magic.Tar:   "tree2tar makes a tar archive of it",
	magic.Image: "tree2tar --oci makes a layer of it, and oci-commit an image of that",
}

// adviseForeign returns the command that reads an input of another kind, or makes what was
// wanted of it, or "".
func adviseForeign(e *magic.Error) string {
	switch is := e.Is; {
	case is.IsCompressed():
		unpack := compression.Unpacker(strings.TrimPrefix(string(is), string(magic.Compressed("")))) + " FILE unpacks it"
		if e.Want == magic.Tree {
			return "tar2tree makes a tree stream of layers and images, compressed or not; " + unpack
		}
		return unpack
	case is == magic.Tree:
		return outOfTree[e.Want]
	case is == magic.VMDK, is == magic.QCOW2, is == magic.VHDX:
		return "qemu-img convert -O raw FILE NEW makes a raw disk of it"
	case is == magic.GPT:
		return "losetup -P shows each of its partitions as a device"
	case is == magic.HTML:
		return "it may be what a server answered in place of a file"
	case e.Want == magic.Snapshot, e.Want == magic.Patches: // no tool makes it of a tree stream
		return ""
	case intoTree[is] != "":
		return intoTree[is] + " makes a tree stream of it"
	}
	return ""
}

// adviseDirectory returns the hint for a directory in place of a file that is read, or "".
func adviseDirectory(err error) string {
	var pe *fs.PathError
	if !errors.As(err, &pe) || pe.Err != syscall.EISDIR || pe.Op != "read" {
		return ""
	}
	return "tar -C DIR -c . | tar2tree makes a tree stream of a directory, tar2tree DIR of an OCI layout"
}
