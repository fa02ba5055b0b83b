// Package erofs writes EROFS images: the read-only file system of the Linux kernel
// (fs/erofs), compressed or not.
//
// Images that are not compressed mount on Linux 5.15 and later; block sizes below 4096 need 6.4, and no kernel
// mounts blocks that are larger than its pages. An image is one device, or only metadata
// whose data is on the devices of layers. Every byte is a function of the entries and
// options: times come from the entries, the UUID from metadata and contents.
//
// # Byte map of an image
//
//	1  0      nothing (room for a boot sector), and from 1024 the superblock, 128 bytes;
//	          behind it, from 1152 on, records of the algorithms, if files are compressed;
//	          where there are devices, then a slot of 128 bytes for each, from 1280 on if one
//	          of them is compressed; or 32 bytes that stand for a table of them, from the
//	          next multiple of 32 on
//	2  -      metadata up to the next block boundary ("head"): the root first
//	3         file data: whole blocks, in the order in which the files came
//	4         whole blocks of directories, and symbolic links that are not inline
//	5         metadata: inodes, each with its xattrs and then its inline tail, its chunk map
//	          or its list of compressed extents
//
// meta_blkaddr is 0, so that the number of an inode (nid) is its byte offset / 32,
// and the head holds metadata like any block of section 5. If the root does not fit into
// the head (blocks of 512 bytes, or very large xattrs), section 2 is empty and
// meta_blkaddr points at section 5. Shared xattrs are packed into section 5 as if they
// were one more inode. Sections 3 to 5 may be empty; a small image is one block of 4096
// bytes. The length of the image is a multiple of its block size and of 4096. The
// superblock is written last.
//
// # UUID
//
// Unless Options.UUID is given, the UUID has version 8 and is made of XXH3, a hash of 128
// bits, over all bytes of the image: sections 3 to 5, then 1 and 2 with zeros in place of UUID
// and checksum. So the same bytes have the same UUID, and chance does not give other bytes
// that UUID. But the hash is not cryptographic: somebody who wants another image with the same
// UUID can make one. The UUID tells images apart and reveals damage ([VerifyUUID]); it proves
// neither origin nor content.
//
// # Layers
//
// The image of a layer keeps whiteouts (character devices 0:0) and the xattr
// trusted.overlay.opaque in the form of overlayfs. None of its regular files is inline, so
// all data has block addresses. Xattrs stand for the other marks of a layer:
//
//	trusted.ocipipe.implied=y    a directory that the layer only implies
//	trusted.ocipipe.link=PATH    a hard link to PATH in a layer below, or to the first of
//	                             several, separated by NUL, that exists there: an empty file.
//	                             trusted.overlay.metacopy and trusted.overlay.redirect
//	                             beside it make overlayfs refuse the file
//	trusted.ocipipe.else=PATH    beside link: if no such file exists, a hard link to PATH
//	                             in this image; if PATH is empty, the file with the mark
//	trusted.overlay.origin=      a directory that holds whiteouts: without it overlayfs
//	                             shows them if no layer below has the directory
//
// Package read turns these xattrs into the fields of Entry again. Flat images have none.
//
// # Layers merged
//
// A metadata-only image (fsmeta) has no section 3. All its contents are blocks of layer
// images. Their addresses count as if these images followed it one after the other, in the
// order of the device table, so a contiguous file needs only its inode. Such an image can
// be mounted in three ways:
//
//	-o device=LAYER,...     each layer once, in the order of the table; Linux 5.16
//	one device, a table     the image followed by the layers; Linux 6.4
//	one device, no table    the same on any kernel; the only way without a table
//
// Without a table the superblock counts the blocks of the layers, too. A slot's tag is
// the layer's UUID in hex; without a table a hash of the tags is in its place. So the UUID of
// the image depends on those of the layers. The writer reads only metadata of the layers, so
// only their UUIDs show that their contents have not changed.
//
// Compressed files of layers stay compressed. The image lists their extents anew, with the
// addresses that run through all layers: in a compact index if the clusters of a file are in a
// row, else in a full one; as records of encoded extents if the layer has these. Its superblock
// has the algorithms of the files that it shows, the largest cluster and window that the layers
// say of these, and the features of Linux that they need. Plain and compressed layers mix. The
// lists are read and written in pieces. WriteFsmeta refuses what is not in blocks of a layer's
// own: ends of files behind an inode or index, and parts of a file that many share; LZMA,
// because nothing here reads it; and streams in the form that Linux had before 5.4.
//
// # Content
//
// A file that is not sparse is in consecutive blocks, except that its end follows the inode
// if it fits there. A sparse file has a map of chunks, whose size is chosen so that holes
// are exact to the block while the map is short. A file that is not sparse becomes sparse
// if it has runs of zeros of 64 KiB or more, unless Options.KeepZeros is set. Xattrs of
// several inodes are stored once where that saves bytes. Prefixes that Linux does not show
// in EROFS are dropped with a warning.
//
// # Compression
//
// With Options.Compression the content of each file that is not sparse is cut into extents,
// which are compressed one by one; the file is stored like that if it takes less room than
// otherwise, its index included. Contents are cut into segments first, of 4 MiB mostly, which
// several goroutines compress at a time. So the bytes depend on the segments, but not on the
// goroutines. A file that is one segment of zeros, or several of them, is a hole. Clusters
// of a file are in a row, in whole blocks; with encoded extents, which Linux reads since 6.15,
// those of several files lie one after the other without gaps.
//
// LZ4 fills clusters with as much content as fits. zstd and deflate compress a fixed length of
// content and then change it a little, so that the last block is full. What does not save a
// block is stored as it is, and content that does not compress is tried only now and then.
//
// An image with LZ4 alone mounts on Linux 5.4 if its clusters are single blocks, and otherwise
// on 5.13; deflate needs 6.6, blocks of less than 4096 bytes 6.8, and zstd 6.10. The bytes of
// zstd and deflate depend on the version of github.com/klauspost/compress.
//
// # Packages
//
// This package writes images. Package disk has the records, package read makes entries of
// an image, and package merge makes one tree of the images of layers. Package z has the
// extents, indexes and codecs of compressed files.
//
// # Limits
//
// Compressed files have neither fragments nor inline ends, and share extents only with files of
// the same content, in one segment. If a path has several records with content in the input,
// the blocks of all but the last content stay in the image, unused.
package erofs
