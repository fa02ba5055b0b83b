package snapshotpack

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "snapshot-pack",
	Summary: "Make, check and unpack snapshots of the writable disk of a virtual machine.",
	Needs:   "microsandbox 0.6.14 and later read what it writes; with --form 0.7, microsandbox 0.7.2 and later.",
	Description: `A snapshot is the writable disk of a virtual machine, such as mkext4upper makes, with a descriptor that says which image lies below it, pinned by the digest of its manifest. Its identity is the SHA-256 of the descriptor, which has a hash of the content of the disk. It is a directory with the files snapshot.json and upper.ext4, or an archive of one: tar in zstd, in one piece, for a pipe or a file.

That is the form of microsandbox 0.6, which all later versions read too. The form of 0.7 is read always, and written with --form 0.7. There a snapshot has an identifier (snap_...), and a directory is a group of snapshots, of which the head stands for the group.

Holes of the disk stay holes, in directories and in archives, and take no time. The same disk and the same flags give the same bytes.`,
	Commands: map[string]cli.Command{
		"create": {
			Description: `The disk is not changed. It is refused if it is in use: mounted, attached to a loop device, or locked by another program; and if it has an ext4 file system that was not unmounted. A machine monitor that does not lock its disks cannot be noticed.

Nothing is read from a clock or a registry.`,
			Flags: map[string]string{
				"upper":        "A qcow2 image has to be converted first.",
				"image":        "NAME@sha256:... or NAME:TAG@sha256:... The digest is that of the manifest, not of an index.",
				"pin":          "The descriptor then has a note (the label ocipipe.pin, in form 0.7 an extension) with the platform, the diff-ids of the layers and the digest of the metadata image, which verify --against compares.",
				"form":         "A snapshot of form 0.6 can be written in form 0.7, as microsandbox converts it; not the other way round. microsandbox 0.7 refuses form 0.6 with an extension.",
				"from":         "It is verified first. Its descriptor is written in its canonical form. Of a group it is the head.",
				"allow-dirty":  "The descriptor then has a note, ocipipe.consistency, that says why. A disk that changes while it is read can only be captured with --dir.",
				"parent":       "DIR is a snapshot or a group, ID an identity: sha256:..., or in form 0.7 snap_... too.",
				"label":        "The value is what follows the first equals sign.",
				"extension":    "Numbers in JSON are integers.",
				"dir":          "DIR must not exist; in form 0.7 it is a group, which gets the snapshot if it exists. The disk is copied; the copy shares the blocks of the disk if it can.",
				"level":        "The levels of zstd; there are four speeds.",
				"name":         "microsandbox and unpack ignore it, unless they are told to use it.",
				"with-image":   "CACHE is the directory of a cache, in which oci-materialize has made the disk of layers (--target vmdk). microsandbox takes them only if the tar of each layer has an entry for its root directory.",
				"with-parents": "They are looked for beside --parent DIR or --from DIR.",
				"fs-type":      "microsandbox restores ext4 alone.",
			},
		},
		"verify": {
			Description: "All of an archive is read: its form, names and sizes, the hash of each member, and the integrity of each disk. Of a directory the descriptor and the integrity of the disk are checked. Nothing is printed if all is right. A warning says what could not be checked. A snapshot that requires something of those who restore it is refused: nothing is known here that it could be.",
			Arguments:   "A snapshot is a directory, or an archive, with zstd or without.",
			Flags: map[string]string{
				"against":   "The digest of the manifest, platform and diff-ids must be the same and, where both have it, the digest of the metadata image. That holds for each snapshot of an archive. One that was made without --pin has nothing but the manifest, which is an error.",
				"max-bytes": "0 is no limit, here and for the other limit.",
			},
		},
		"inspect": {
			Description: "Of an archive all is checked but the content of the disks.",
			Flags:       map[string]string{"max-bytes": "0 is no limit, here and for the other limit."},
		},
		"unpack": {
			Description: `Each snapshot of the archive becomes a directory, in form 0.7 within a group. They appear in DIR when all of the archive has been read and found right; if it is not, nothing is left. Nothing outside DIR is touched. A snapshot that is there already is left as it is; something else of its name is an error. The path of the last snapshot, the head, is printed. It becomes the head of its group, unless the group has one from which it does not descend.

A disk in qcow2, or in layers of it, is refused: tar -xf takes such an archive apart, for qemu-img.`,
			Flags: map[string]string{
				"images":    "The files are manifests/, layers/, fsmeta/ and vmdk/, which the disk in vmdk/ joins. Files that are there already must be the same. Without this flag they are left out. Their content is what the archive says: nothing but the manifest is known to be right.",
				"name":      "It is for the head alone; in form 0.7 for the group (default: msb- and eight digits).",
				"max-bytes": "0 is no limit, here and for the other limit.",
			},
		},
	},
	Examples: []cli.Example{
		{Text: "An archive, checked", Command: "image=alpine@sha256:$(oci-fetch --manifest alpine | sha256sum | cut -c 1-64)\nsnapshot-pack create --upper upper.ext4 --image $image -o base.tar.zst\nsnapshot-pack verify base.tar.zst"},
		{Text: "A directory, and what it is", Command: "snapshot-pack create --upper upper.ext4 --image $image --dir base\nsnapshot-pack inspect base"},
		{Text: "To another directory, or with ssh before unpack to another machine", Command: "mkdir snapshots\nsnapshot-pack create --from base | snapshot-pack unpack -C snapshots"},
	},
	SeeAlso: []string{"mkext4upper", "ext42tree", "oci-fetch", "qemu-img", "zstd(1)", "tar(1)"},
}
