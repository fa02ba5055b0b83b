// Package grow makes ext4 file systems larger, in place: those of our writer, of mke2fs,
// and those that a kernel has used.
//
//	f, device, err := exclusive.Open("upper.ext4", exclusive.Write)
//	err = grow.Grow(ctx, f, grow.Options{Size: 16 << 30, Device: device})
//
// A file system can grow while its descriptors have room in the blocks of the resize
// inode, which were reserved when it was made, or in the last block that they use. Grow
// moves nothing that the file system holds. The file system must not be mounted; exclusive.Open
// sees to that.
//
// [Grow] plans all changes before it writes, in the order of plan.go, groups.go and
// reserve.go, and makes them one transaction of the journal. It first replays a journal
// that has to be replayed (replay.go).
//
// The package reads with lib/ext4/volume, encodes with lib/ext4/disk and
// lib/ext4/journal, and lays out new groups with lib/ext4/alloc. It refuses file systems
// with a block size other than 4096 bytes, and those with bigalloc, meta_bg, uninit_bg,
// sparse_super2, fast commits or an external journal.
package grow
