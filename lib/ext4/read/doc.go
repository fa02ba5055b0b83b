// Package read reads ext4 file systems as trees: an image goes in, entries come out.
//
//	img, err := read.Open(f, size)
//	src := img.Source() // the whole tree; img.Subtree("upper") is a part
//
// [Image.Lookup] finds one file. The package reads what our writer, mke2fs or a kernel makes:
// ext2, ext3 and ext4 with blocks of 1024 to 65536 bytes and any size of inodes, extents or
// block maps, inline data, values of xattrs in inodes of their own, bigalloc, with and without
// checksums. It does not read encrypted files and case-folded directories, where it meets
// them, and file systems with external journals that are needed, shared_blocks or features
// that it does not know: such an error wraps disk.ErrUnsupported. An error about an image that
// breaks the rules of the format wraps disk.ErrCorrupt. Both name the byte.
//
// [Open] refuses a file system that was not unmounted with a volume.DirtyError.
// [OpenRecovered] replays its journal in memory. It refuses a journal with asynchronous
// commits, and one with fast commits that are newer than its last transaction. Inodes to be
// deleted are not in the tree, of those to be truncated the data after their end is left out.
//
// The package makes a tree of the inodes and directories that lib/ext4/volume reads. It
// depends on that, on lib/ext4/disk and on lib/tree.
package read
