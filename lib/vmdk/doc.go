// Package vmdk joins files end to end into one virtual disk: a VMDK descriptor that
// names them, a stream-optimized VMDK, a raw disk, a disk with a partition table, or
// a table for device-mapper. Specification: VMware's Virtual Disk Format 5.0, and
// where they differ, what QEMU (block/vmdk.c), VirtualBox and imago (of libkrun)
// make of it.
//
// The files are called extents, and every output is a function of them. Identifiers
// (the CID of a descriptor, the GUIDs of a GPT disk) derive from the size and the
// first 4 KiB of each extent, where EROFS and ext4 keep their UUIDs. They do not
// depend on names, so a disk is the same wherever its extents lie. The CID of a
// stream derives from the disk as one extent, because that is how a pipe gives it.
//
// # The descriptor
//
// Each extent has one line, RW n FLAT "name" 0: a whole file. Offsets are always 0
// because some readers take them in bytes; only the pieces of a split disk have
// others, in order. Names consist of A-Z a-z 0-9 . _ - / unless FlatOptions.Force
// waives that. They never contain quotes or line ends, which the format cannot
// express, and have at most 511 bytes. See [Descriptor.Encode] for the order of lines.
//
// # Byte map of a stream-optimized disk
//
// It is written from its beginning to its end, and read at random. A sector has 512
// bytes and a grain 128 sectors; all numbers are little endian.
//
//	1  0      header: the size of the disk, and that the directory is at the end
//	2  512    descriptor, 20 sectors, which names no other file
//	3  10752  zeros up to sector 128
//	4  65536  grains that are not all zero, in order: marker, a zlib stream (RFC
//	          1950), zeros up to a sector; after the last written grain of each
//	          512 grains of the disk: marker, table of their 512 sectors
//	5         marker, directory: the sector of each table; zeros up to a sector
//	6         marker, footer: the header, but with the sector of the directory
//	7         the end: a sector of zeros
//
// The disk is as large as the extents together. VMware may want a multiple of the
// grain: let the last extent end at one.
//
// # Byte map of a GPT disk
//
//	1  0        protective MBR, header, 128 entries; zeros up to 1 MiB
//	2  1048576  the extents: the one partition, of type "Linux filesystem data"
//	3           zeros up to a multiple of 4096, then the entries and header again
//
// # Limits
//
// Sparse and vmfs extents, parents, and changes to a disk are not supported. A stream
// holds a disk of up to 64 TiB, in up to 2 TiB of compressed data. Descriptors and
// streams of other tools are accepted if every reader understands them in the same way.
package vmdk
