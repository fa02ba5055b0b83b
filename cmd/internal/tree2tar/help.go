package tree2tar

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "tree2tar",
	Summary: "Turn a tree stream into a tar archive.",
	Description: `The archive is in the pax format. It holds all that the tree has: times to the nanosecond, extended attributes, devices and hard links. The same tree gives the same bytes.

A tree with whiteouts is that of a layer. It is refused without --oci, as unpacking such an archive would not remove what the whiteouts are for.`,
	Flags: map[string]string{
		"oci": "Whiteouts become files with names that begin with .wh., and opaque directories have a file .wh..wh..opq in them, as OCI images have it. Tar has no sockets: they are left out of a layer, with a warning, and a whiteout hides what the layers below have under their names. A file whose own name begins with .wh. is refused.",
	},
	Examples: []cli.Example{
		{Text: "An EROFS image as a tar archive", Command: "erofs2tree rootfs.erofs | tree2tar -z zstd -o rootfs.tar.zst"},
		{Text: "What was changed on the upper disk of an overlay, as a layer", Command: "ext42tree --upper upper.ext4 | tree2tar --oci -z zstd -o layer.tar.zst"},
		{Text: "All layers of an image as one", Command: "tar2tree image.tar | tree2tar --oci -z gzip -o layer.tar.gz"},
	},
	SeeAlso: []string{"tar2tree", "erofs2tree", "ext42tree", "oci-commit", "oci-push", "tar"},
}
