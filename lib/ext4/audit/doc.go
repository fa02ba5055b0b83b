// Package audit checks the structure of a whole ext4 file system, as e2fsck does, but
// changes nothing: that every block and inode belongs to one thing and is marked so, that
// counts and checksums are right, and that every directory leads where it says.
//
// The writer has its work checked by it ([Options.Fresh]); what kernels have written to
// since is checked as well, once it was unmounted.
//
// The package goes along the walk of lib/ext4/read, compares what that passes with what
// lib/ext4/volume reads, and depends on these, on lib/ext4/disk and on lib/tree. Not
// checked is meta_bg: [Check] refuses it.
package audit
