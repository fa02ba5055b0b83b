// Package lz4 compresses to raw LZ4 blocks of a given size, and decodes them.
//
// A raw block has no header, no checksum and no length: whoever stores it knows the sizes
// of both sides. [Encoder.Fill] turns the problem around that most encoders solve. It is
// given the room for the block and takes as much content as fits, which is how filesystems
// that allocate whole blocks want it.
//
// # The format
//
// A block is a row of sequences, each of them literals followed by a match:
//
//	token     1 byte; high nibble: number of literals, low nibble: length of the match - 4
//	          a nibble of 15 goes on in bytes that are added, up to and with the first below 255
//	literals  as many bytes as the token says
//	offset    2 bytes, little-endian, 1 to 65535: how far back the match begins
//	          followed by the rest of the match's length, if its nibble is 15
//
// The last sequence ends after its literals. Decoders that copy in wide strides rely on
// three more rules, which the specification calls end of block conditions and which bind
// encoders:
//
//   - the last 5 bytes of the content are literals
//   - the last match begins at least 12 bytes before the end of the content
//   - so content of less than 13 bytes is all literals
//
// The specification is lz4_Block_format.md of the LZ4 project. The authority on what a
// reader must refuse is LZ4_decompress_safe of liblz4, which the Linux kernel uses too.
//
// # Limits
//
// Fill takes at most [MaxTaken] bytes. Nothing is concurrent, dictionaries are not
// supported, and the LZ4 frame format is not either.
package lz4
