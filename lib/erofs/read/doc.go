// Package read reads EROFS images of any writer. Open checks an image, Source yields all of
// its files as entries, and Lookup finds one without reading the others. The package also
// reads data that an image has on other devices.
//
// Package disk decodes the records, package z those of compressed data, and the data itself. Contents are references, read from their place in the
// image only when they are needed: see Content. Images may be hostile: the package compares
// every offset and length with the length of the image before it uses it or allocates
// memory for it.
//
// # Limits
//
// Source yields files that are compressed by LZMA, but their contents cannot be read. Of
// images with 48-bit addresses Open takes those that have up to 2^32 blocks. It refuses
// compressed metadata.
//
// # Compressed contents
//
// The index of a compressed file is read only as far as needed, and never kept. An image keeps
// up to 8 MiB of decoded extents for reading at random, or the last one, which has up to 12
// MiB. A content that is written out takes up to 1 MiB for what is decoded ahead, or one extent
// of 12 MiB. Whoever reads, even one byte of it, gets a whole extent decoded and checked.
package read
