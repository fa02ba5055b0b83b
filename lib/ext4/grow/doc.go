// Package grow makes ext4 file systems larger, in place: those of our writer, of mke2fs,
// and those that a kernel has used.
//
//	f, device, err := grow.Open("upper.ext4")
//	err = grow.Grow(f, grow.Options{Size: 16 << 30, Device: device})
//
// A file system grows within the reserve that it was made with: as long as its
// descriptors have room in the blocks of the resize inode, or in the last block that they
// have. Nothing that it holds is moved. It must not be mounted; [Open] takes care of that.
//
// [Grow] plans all changes before it writes, in the order of plan.go, groups.go and
// reserve.go, and makes them one transaction of the journal. Journals that have to be
// replayed are replayed first (replay.go).
//
// The package reads with lib/ext4/volume and encodes with lib/ext4/disk and
// lib/ext4/journal; new groups are laid out with lib/ext4/alloc. Not grown are file systems
// with other blocks than those of 4096 bytes, bigalloc, meta_bg, uninit_bg,
// sparse_super2, fast commits or an external journal.
package grow
