// Package vmdk presents files, one behind the other, as one virtual disk: by a
// VMDK descriptor that names them, as a stream-optimized VMDK, as a raw disk, as a
// disk with a partition table, or as a table for device-mapper. Specification:
// VMware's Virtual Disk Format 5.0, and what QEMU (block/vmdk.c), VirtualBox and
// imago (of libkrun) make of it, where they differ.
//
// Everything is a function of the extents. Identifiers derive from the size and
// the first 4 KiB of each, where EROFS and ext4 have their UUIDs: the CID of a
// descriptor, the GUIDs of a GPT disk. Names are not in them, so that a disk is the
// same wherever its extents lie. The CID of a stream derives from the disk as one
// extent, because that is how a pipe gives it.
//
// # The descriptor
//
// One line RW n FLAT "name" 0 an extent, that is: whole files without offsets, as
// some readers take those in bytes. Only split ones have pieces, in order. Names
// are of A-Z a-z 0-9 . _ - / unless that is waived, and never have quotes or line
// ends, which nothing can express, or more than 511 bytes. See [Descriptor.Encode]
// for the order of lines.
//
// # Byte map of a stream-optimized disk
//
// It is written from its beginning to its end, and read at random. A sector has 512
// bytes, a grain 128 sectors; all of it is little endian.
//
//	1  0      header: the size of the disk, and that the directory is at the end
//	2  512    descriptor, 20 sectors, which names no other file
//	3  10752  zeros up to sector 128
//	4  65536  grains that are not all zero, in order: marker, a zlib stream (RFC
//	          1950), zeros up to a sector; behind the last of each 512 places for
//	          grains that has any: marker, table of their 512 sectors
//	5         marker, directory: the sector of each table; zeros up to a sector
//	6         marker, footer: the header, but with the sector of the directory
//	7         the end: a sector of zeros
//
// The disk has the size of the extents. VMware may want a multiple of the grain:
// let the last extent end at one.
//
// # Byte map of a GPT disk
//
//	1  0        protective MBR, header, 128 entries; zeros up to 1 MiB
//	2  1048576  the extents: the one partition, of type "Linux filesystem data"
//	3           zeros up to a multiple of 4096, then the entries and header again
//
// # What is not in here
//
// Sparse and vmfs extents, parents, and changes to a disk. A stream holds up to
// 64 TiB, in 2 TiB. Descriptors and streams of other tools are read as far as every
// reader understands them in the same way.
package vmdk
