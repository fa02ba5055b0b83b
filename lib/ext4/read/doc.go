// Package read reads ext4 file systems as trees: an image goes in, entries come out.
//
//	img, err := read.Open(f, size)
//	src := img.Source() // the whole tree; img.Subtree("upper") is a part
//
// [Image.Lookup] finds one file. The package reads everything that our writer, mke2fs or a
// kernel makes by default, and most of what mke2fs can be asked for. It does not read file
// systems with a block size other than 4096 bytes, bigalloc, inline data, encrypted or
// case-folded directories, block maps in place of extents, or values of xattrs in inodes
// of their own: such an error wraps disk.ErrUnsupported. An error about an image that
// breaks the rules of the format wraps disk.ErrCorrupt. Both name the byte.
//
// A file system that was not unmounted is refused with a volume.DirtyError.
//
// The package makes a tree of the inodes and directories that lib/ext4/volume reads. It
// depends on that, on lib/ext4/disk and on lib/tree.
package read
