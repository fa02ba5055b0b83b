// Package read reads ext4 file systems as trees: an image goes in, entries come out.
//
//	img, err := read.Open(f, size)
//	src := img.Source() // of the whole, or img.Subtree("upper")
//
// [Image.Lookup] finds one file. Everything is read that our writer, mke2fs or a kernel
// makes by default, and most of what mke2fs can be asked for. Not read are file systems
// with other blocks than those of 4096 bytes, bigalloc, inline data, encrypted or
// case-folded directories, block maps in place of extents, and values of xattrs in inodes
// of their own: their errors wrap disk.ErrUnsupported. Those about what breaks the rules
// of the format wrap disk.ErrCorrupt. Both name the byte.
//
// A file system that was not unmounted is refused with a volume.DirtyError.
//
// The package turns into a tree what lib/ext4/volume reads by number, and depends on that,
// on lib/ext4/disk and on lib/tree.
package read
