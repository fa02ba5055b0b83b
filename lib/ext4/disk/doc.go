// Package disk has the records of an ext4 file system (fs/ext4 of the Linux kernel):
// constants and structs with their encoding and decoding, checksums and hashes, and
// the structures built of records: directories with their htrees, extent trees, areas of
// xattrs, access control lists. It works on bytes in memory; where blocks have to be found
// or placed, the caller passes functions that do so.
//
// All packages of lib/ext4 encode and decode with this one, so every offset stands in one
// place. It depends only on lib/tree, for times, device numbers and xattrs.
//
// A record has one Encode, which writes it to the first bytes of a slice, and one Decode,
// which reads it from there. Decode checks nothing.
//
// What encodes makes blocks of [BlockSize] bytes. What decodes takes a block, whose length is
// that of all blocks of its file system. Numbers are little endian, and blocks are numbered
// from 0. Offsets in errors are bytes in the file system.
//
//	superblock.go  the superblock; geometry.go says what follows from it
//	feature.go     features that it names
//	groupdesc.go   descriptors of groups; bitmap.go sets and counts bits
//	inode.go       inodes, times and device numbers
//	extent*.go     extent trees
//	dir*.go        directories, htree*.go those with an htree, hash.go their hash
//	xattr*.go      xattrs, acl.go lists of access control
//	checksum.go    metadata_csum
//	reserved.go    the blocks reserved for descriptors, which are those of inode 7
package disk
