package tar2tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "tar2tree",
	Summary: "Turn layers, or an image, into a tree stream.",
	Description: `The input is one layer, which is a tar archive, plain or compressed with gzip or zstd; or an image: an archive as oci-fetch, docker save, skopeo or podman write it, or the directory of an OCI layout. Several inputs are layers from bottom to top, and the first of them may be an image.

Of an image, and of several layers, the output is the merged tree: what a container would see. A single layer is written as it is, with its whiteouts.

The tree stream is text in the manner of mtree(5), with the contents of files in between. Other tools of this family read it. A stream that is cut short is an error for its reader, so a pipeline fails where its first stage does.

With --list, --sizes or --cat it shows people what is in the input instead. --sizes says which layer takes how much, and how much of it the layers above hide.

The input is taken as hostile. Limits that real images do not reach end the tool before it takes too much time, memory or space, and the message about a limit names the flag that raises it.`,
	Flags: map[string]string{
		"input":              "auto goes by the first name in the tar archive, directories left out, that tells an image from a layer. Inputs after the first are always layers.",
		"layer":              "Layers have numbers from 0, at the bottom. A digest is that of the compressed layer, or its diff-id.",
		"diff-id":            "It is the digest of the layer as a plain tar archive, as the configuration of an image has it.",
		"no-verify":          "The diff-ids in the configuration of the image are not checked then. All else is checked as ever: the digests of the layers as they are stored, of the manifest and of the configuration, and the checksums of gzip and zstd.",
		"sort":               "Without this flag the entries of a single layer have the order of the layer. A merged tree is always in canonical order.",
		"config-file":        "PATH is a path in the tree. It replaces a file there.",
		"jobs":               "Without this flag it is the number of processors. Each layer of zstd that is read takes up to 8 MiB, and one at a time up to 128 MiB.",
		"allow-unterminated": "A tar archive ends with two blocks of zeros. Without them it may have been cut short. The diff-id of a layer, where it is known, proves as much.",
		"max-metadata":       "It is for each index, manifest and configuration.",
		"max-layer":          "It is for compressed layers in an archive of docker save.",
		"allow-zero-device":  "A character device 0:0 is a whiteout of overlayfs, and in a tree stream, but not in a layer.",
	},
	Examples: []cli.Example{
		{Text: "An image as a root file system", Command: "oci-fetch alpine | tar2tree | tree2erofs -o rootfs.erofs"},
		{Text: "An image with a layer of your own on top", Command: "tar2tree image.tar init.tar > rootfs.tree"},
		{Text: "What makes an image large", Command: "oci-fetch alpine | tar2tree --sizes"},
		{Text: "What is in a layer, without the contents", Command: "tar2tree --no-data layer.tar.gz"},
	},
	SeeAlso: []string{"oci-fetch", "tree2erofs", "tree2ext4", "tree2tar", "erofs2tree"},
}).With(lookflags.About)
