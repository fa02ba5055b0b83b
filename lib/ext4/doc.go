// Package ext4 writes ext4 file systems: the file system of the Linux kernel (fs/ext4),
// in blocks of 4096 bytes. Packages below it do the rest:
//
//	disk     the records of the format
//	alloc    free blocks around those that are taken
//	journal  the journal, read, and transactions for it
//	volume   groups, inodes and contents, read by number
//	read     a file system in, a tree out
//	audit    the check of a whole file system
//	grow     makes a file system larger
//
// [NewWriter] takes a file to write to and [Options]; the [Writer] is a tree.Sink. A root
// file system gets the size that its content needs, or one that is asked for; the upper
// disk of an overlay has one that is asked for.
//
// The package depends on lib/tree, on lib/blockio for writing, and on disk, alloc, journal
// (an empty one), and, to check what it wrote, on read and audit.
//
// What is written is what mke2fs -t ext4 of e2fsprogs 1.47 makes, but for default
// mount options and reserved blocks, of which there are none. It mounts on Linux
// 4.x and later (metadata_csum and 64bit; see [Features] for what can be left out),
// and e2fsck, resize2fs and tune2fs take it for one of their own. All of it is a
// function of entries and options: UUID and hash seed come from a digest over
// these, and there is no clock.
//
// There are two shapes. Both have the superblock, and copies of it with the
// descriptors of groups, where sparse_super wants them: at the start of groups 0, 1
// and of powers of 3, 5 and 7.
//
// # Byte map of an upper disk
//
//	1  0        superblock at 1024, descriptors, blocks reserved for more of them
//	2  -        of 16 groups: block bitmaps, inode bitmaps, inode tables
//	3  -        files of /upper as they came, around what else has its place; then
//	            directories, long link targets, extent trees and blocks of xattrs,
//	            the block of the resize inode
//	4  middle   the journal, of which only the first block is written
//
// Sections 1 and 2 come again in each run of 16 groups, 1 where there are copies.
// The size is known from the start, so all of this is as mke2fs has it.
//
// # Byte map of a root file system
//
//	1  0        superblock, descriptors, blocks reserved for more of them, and the
//	            same in each group with a copy: 128 blocks for up to 1 TiB
//	2  -        files as they came
//	3  -        directories, long link targets, extent trees and blocks of xattrs
//	4  -        journal, block of the resize inode
//	5  -        bitmaps and inode tables of the runs of 16 groups that began before
//	            here; those of later ones are where they are in an upper disk
//
// So contents go to their place in one pass, and the size can follow from them. That
// metadata lies in other groups is what flex_bg allows; e2fsck, the kernel and
// resize2fs, mounted or not, do not mind.
//
// # Sparseness
//
// Nothing is written that may be a hole: inode tables beyond the last inode, bitmaps
// of groups where nothing is (BLOCK_UNINIT, INODE_UNINIT), the journal but for its
// superblock, copies of reserved blocks. Descriptors say ITABLE_ZEROED, so that no
// kernel fills the tables either. Holes of files stay holes, to the block,
// and blocks of zeros in files that have none become holes, unless they are to be kept.
//
// # Content
//
// Inodes have numbers in the order of the tree, after lost+found. Directories of more
// than a block have an htree; xattrs lie in the inode or in one block, shared by those
// that have the same; ACLs are packed as the kernel has them. Times
// outside 1901 to 2446 become the nearest that there is, with a warning. A path whose
// record comes again later in the input leaves the blocks of its first content unused
// in the file system, but not zero.
//
// # Limits
//
// Files end at 16 TiB, and names of an inode at 65000. Xattrs of an inode that do not
// fit into it and a block are refused: ea_inode is not written. At 16 TiB the resize
// inode ends; larger disks have none, and only a kernel makes them grow, by meta_bg.
// A disk that is to grow without it has room for descriptors up to Options.MaxSize.
package ext4
