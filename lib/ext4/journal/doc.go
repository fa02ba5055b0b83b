// Package journal reads the journal of an ext4 file system and encodes transactions for
// it. It is jbd2's (fs/jbd2, include/linux/jbd2.h): a log of whole blocks in the file
// of inode 8, in which everything is big endian. Each transaction is
//
//	descriptor  tags of the blocks that follow it, one each
//	data        the blocks, as many as tags; then maybe another descriptor
//	revoke      blocks that transactions up to this one must not bring back
//	commit      without it the transaction has not happened
//
// Block 0 of the file is the superblock ([Super]); the log runs from First to Length
// and goes on at First.
//
// [Open] takes the file system as an io.ReaderAt and the blocks of the journal, which
// the caller has found. [Log.Recover] finds what the log has, and [Recovery.Over] shows
// the file system as it will be once all of that is where it belongs. Nothing is written
// here: lib/ext4/grow writes the blocks of a recovery to the disk.
//
// The package depends on lib/ext4/disk, for runs of blocks and errors.
//
// Journals of version 1 of the superblock, with fast commits or with asynchronous
// commits are refused.
package journal
