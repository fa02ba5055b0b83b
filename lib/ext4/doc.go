// Package ext4 writes ext4 file systems: the file system of the Linux kernel (fs/ext4),
// in blocks of 4096 bytes. Packages below it do the rest:
//
//	disk     encodes and decodes the records of the format
//	alloc    gives out free blocks around those that are taken
//	journal  reads the journal, and encodes transactions for it
//	volume   reads groups, inodes and contents by number
//	read     makes a tree of a file system
//	audit    checks a whole file system
//	grow     makes a file system larger
//
// [NewWriter] takes a file to write to and [Options]; the [Writer] is a tree.Sink. A root
// file system gets the size that its content needs, unless the options give one. The upper
// disk of an overlay has the size that the options give.
//
// The package depends on lib/tree, on lib/blockio for writing, on disk, alloc and journal,
// and, to check what it wrote, on read and audit.
//
// File systems are what mke2fs -t ext4 of e2fsprogs 1.47 makes, but have no default mount
// options and no reserved blocks. They mount on Linux 4.x and later (metadata_csum and
// 64bit; [Features] says what can be left out), and e2fsck, resize2fs and tune2fs treat
// them like their own. Every byte is a function of entries and options, and no clock is read.
// UUID and hash seed come from XXH3, a hash of 128 bits, over these. The hash is not
// cryptographic: the UUID tells file systems apart, and proves neither origin nor content.
//
// File systems have one of two layouts. In both, the superblock and the descriptors of
// groups are at the start of group 0, and copies of them where sparse_super wants these: at
// the start of group 1 and of groups that are powers of 3, 5 and 7.
//
// # Byte map of an upper disk
//
//	1  0        superblock at 1024, descriptors, blocks reserved for more of them
//	2  -        of 16 groups: block bitmaps, inode bitmaps, inode tables
//	3  -        files of /upper in the order of the input, around the other sections; then
//	            directories, long link targets, extent trees and blocks of xattrs,
//	            the block of the resize inode
//	4  middle   the journal, of which only the first block is written
//
// Section 2 is repeated in each run of 16 groups, and section 1 in each group with a copy.
// The size is known from the start, so everything is where mke2fs puts it.
//
// # Byte map of a root file system
//
//	1  0        superblock, descriptors, blocks reserved for more of them, and the
//	            same in each group with a copy: 128 blocks for up to 1 TiB
//	2  -        files in the order of the input
//	3  -        directories, long link targets, extent trees and blocks of xattrs
//	4  -        journal, block of the resize inode
//	5  -        bitmaps and inode tables of the runs of 16 groups that began before
//	            here; those of later ones are where they are in an upper disk
//
// So contents are written to their places in one pass, and the size can follow from them.
// The feature flex_bg allows the metadata of a group to be in another group; e2fsck, the
// kernel and resize2fs, on mounted file systems or not, handle that.
//
// # Sparseness
//
// Blocks that may be holes are not written: inode tables after the last inode, bitmaps of
// empty groups (BLOCK_UNINIT, INODE_UNINIT), the journal except its superblock, copies of
// reserved blocks. Descriptors say ITABLE_ZEROED, so that no kernel fills the tables
// either. Holes of files stay holes, to the block. Blocks of zeros in files become holes,
// too, unless Options.KeepZeros is set: the image does not depend on what the tree says of
// holes, but on the bytes.
//
// # Content
//
// Inodes have numbers in the order of the tree, after lost+found. Directories of more
// than a block have an htree. Xattrs are in the inode or in one block, which inodes with
// the same xattrs share. ACLs have the form of the kernel. Times outside 1901 to 2446 become
// the nearest time that the format has, with a warning. If a path has several records with
// content in the input, the blocks of all but the last content are free in the file system,
// but not zero.
//
// # Limits
//
// A file has at most 16 TiB, and an inode at most 65000 names. Xattrs that do not fit into
// the inode and one block are refused: the package does not write ea_inode. Disks over
// 16 TiB have no resize inode, and only a kernel makes them grow, with meta_bg. Smaller
// disks have room for the descriptors of a size of up to Options.MaxSize.
package ext4
