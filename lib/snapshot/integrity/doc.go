// Package integrity computes what proves that the content of a disk is what it was.
//
// [Root] and [Builder] compute the root of a Merkle tree, msb-file-merkle-blake3-v1. With D
// as the text "msb-file-merkle-blake3-v1" and a NUL, and plain BLAKE3 of 32 bytes:
//
//	leaf = BLAKE3(D, "leaf\0", 65536 bytes of content, the last one filled with zeros)
//	node = BLAKE3(D, "parent\0", left, right)
//	root = BLAKE3(D, "root\0", size, leaf size, height, top)
//
// The size is 8 bytes, the other numbers 4, little endian. There is at least one leaf, and
// leaves of zeros fill the number up to a power of two, 2^height.
//
// Nodes above nothing but zeros are computed once for each height. So the cost is that of
// the data, not of the size: holes are neither read nor hashed.
//
// Two older algorithms are verified, but nothing writes them: msb-sparse-sha256-v1, which
// despite its name hashes holes as zeros, and sha256.
package integrity
