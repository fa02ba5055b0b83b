package wrapvmdk

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "wrap-vmdk",
	Summary: "Present images, one after the other, as one virtual disk.",
	Needs:   "Linux 6.4 and later mount metadata of tree2erofs --fsmeta with its layers from such a disk, and Linux 5.15 where it was made with --device-table=no.",
	Description: `By default the output is a VMDK descriptor, a short text that names the images: they stay where they are, and many disks can share them. Other formats hold a copy of the images.

Attach a descriptor read-only where its extents are shared: QEMU writes to those that it may write to.`,
	Arguments: "The formats flat and dm-linear name their extents, and need files; dm-linear needs block devices.",
	Flags: map[string]string{
		"format": `flat is a descriptor that names the extents. stream is a VMDK that holds them, compressed (stream-optimized), which is written from its beginning to its end. raw is the extents, one after the other. gpt is the same as the one partition of a disk. dm-linear is a table for dmsetup.`,

		"split":    "Some readers insist on it.",
		"absolute": "Without this flag they are relative to the directory of the output, or where that is a pipe to the working directory.",
		"force":    "Some refuse names with other characters than A-Z a-z 0-9 . _ - /, and extents that do not fit together. An extent that is a disk in another form, such as a VMDK, or that is compressed, passes with this flag too.",
		"size":     "Standard input is then written as it comes; without this flag, to a spool file first. It is a multiple of 512.",
		"jobs":     "Without this flag it is the number of processors.",
		"check":    "The descriptor and its extents are read, or a disk of another of these formats. Nothing is written.",
	},
	Examples: []cli.Example{
		{Text: "Metadata and the layers that it merges, as one disk", Command: "wrap-vmdk -o disk.vmdk fsmeta.erofs 000.erofs 001.erofs 002.erofs"},
		{Text: "A disk in one file", Command: "wrap-vmdk --format=stream -o rootfs.vmdk rootfs.erofs"},
		{Text: "See what is wrong with a disk", Command: "wrap-vmdk --check=disk.vmdk"},
	},
	SeeAlso: []string{"tree2erofs", "tree2ext4", "qemu-img", "dmsetup(8)"},
}
