// Package read reads ext4 file systems as trees: an image goes in, entries come out.
//
//	img, err := read.Open(f, size)
//	src := img.Source() // the whole tree; img.Subtree("upper") is a part
//
// [Image.Lookup] finds one file. The package reads what our writer, mke2fs or a kernel makes:
// ext2, ext3 and ext4, with blocks of 1024 to 65536 bytes, extents or block maps, with and
// without checksums. It does not read bigalloc, inline data, encrypted or case-folded
// directories, or values of xattrs in inodes of their own: such an error wraps
// disk.ErrUnsupported. An error about an image that breaks the rules of the format wraps
// disk.ErrCorrupt. Both name the byte.
//
// Open refuses a file system that was not unmounted with a volume.DirtyError. OpenRecovered
// replays its journal in memory; it refuses external journals, and fast commits that are
// newer than the last transaction.
//
// The package makes a tree of the inodes and directories that lib/ext4/volume reads. It
// depends on that, on lib/ext4/disk and on lib/tree.
package read
