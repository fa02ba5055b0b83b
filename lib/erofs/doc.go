// Package erofs writes EROFS images: the read-only file system of the Linux kernel
// (fs/erofs), uncompressed.
//
// What is written mounts on Linux 5.15 and later; block sizes below 4096 need
// 6.4, and no kernel mounts blocks that are larger than its pages. An image is one
// device, or metadata alone over those of layers. All of it is a function of the
// entries and options: times come from the entries, the UUID from a digest over
// metadata and contents.
//
// # Byte map of an image
//
//	1  0      nothing (room for a boot sector), and from 1024 the superblock, 128 bytes
//	          where there are devices: a slot of 128 bytes for each from 1152 on
//	2  -      metadata up to the next block boundary ("head"): the root first
//	3         file data: whole blocks, in the order in which the files came
//	4         whole blocks of directories, and symbolic links that are not inline
//	5         metadata: inodes, each with its xattrs and then its inline tail or chunk map
//
// meta_blkaddr is 0, so that the number of an inode (nid) is its byte offset / 32,
// and the head holds metadata like any block of section 5. Only if the root does
// not fit into the head (blocks of 512 bytes, or very large xattrs), section 2 is
// empty and meta_blkaddr points at section 5. Shared xattrs are packed into
// section 5 as if they were one more inode. Sections 3 to 5 may be empty; a small
// image is one block of 4096 bytes. The image ends at a multiple of its block
// size and of 4096. The superblock is written last.
//
// # Layers
//
// The image of a layer keeps whiteouts (character devices 0:0) and the xattr
// trusted.overlay.opaque as overlayfs has them, and no regular file of it is inline,
// so that all data has block addresses. Other xattrs say what else a layer has:
//
//	trusted.ocipipe.implied=y    a directory that the layer only implies
//	trusted.ocipipe.link=PATH    a hard link to PATH in a layer below, or to the first of
//	                             several, separated by NUL, that exists there: an empty file.
//	                             trusted.overlay.metacopy and trusted.overlay.redirect
//	                             beside it make overlayfs refuse the file
//	trusted.ocipipe.else=PATH    beside it: if none exists, a hard link to PATH in this
//	                             image; or if that is empty, the file that has the mark
//	trusted.overlay.origin=      a directory that holds whiteouts: overlayfs then
//	                             hides them also where no layer below has it
//
// Package read turns them back into what they stand for. Flat images have none.
//
// # Layers merged
//
// An image of metadata alone (fsmeta) has no section 3. All its contents are blocks
// of layer images, and their addresses count as if these followed the image, one
// behind the other in the order of the device table: a contiguous file needs no
// more than its inode. So one image serves three ways of mounting:
//
//	-o device=LAYER,...     each layer once, in the order of the table; Linux 5.16
//	one device, a table     the layers behind the image; Linux 6.4
//	one device, no table    the same on any kernel, and that way only
//
// Without a table the superblock counts the blocks of the layers too. A slot's tag is
// the layer's UUID in hex. Only metadata of the layers is read: that contents are what
// they were, nothing proves but the UUID.
//
// # Content
//
// A file that is not sparse lies in consecutive blocks, its end behind the inode
// where that fits. A sparse one has a map of chunks; their size is chosen so that
// holes stay exact to the block while the map is short. Zeros in a file that is not
// sparse, from 64 KiB on, make it one, unless they are to be kept. Xattrs of several
// inodes are stored once where that saves bytes. Prefixes that Linux does not show in
// EROFS are dropped with a warning.
//
// # Packages
//
// This package writes. The records on disk are in package disk, for the writer and for
// whoever reads: package read takes an image in, and gives entries. Codecs for compressed
// data will be in a package z of their own beside disk: it will encode and decode extents
// and their indexes, which the writer puts where chunk maps are now and the reader finds
// there.
//
// # What is not in here
//
// Compression. A path whose record comes again later in the input leaves the blocks
// of its first content in the image, unused.
package erofs
