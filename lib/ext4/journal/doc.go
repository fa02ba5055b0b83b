// Package journal reads the journal of an ext4 file system and encodes transactions for
// it. It is jbd2's (fs/jbd2, include/linux/jbd2.h): a log of whole blocks in the file
// of inode 8, in which everything is big endian. Each transaction is
//
//	descriptor  a tag for each of the blocks that follow it
//	data        the blocks, one for each tag; then maybe another descriptor
//	revoke      blocks that transactions up to this one must not bring back
//	commit      without it the transaction has not happened
//
// Block 0 of the file is the superblock ([Super]); the log runs from First to Length,
// or to the area of fast commits before that, and goes on at First.
//
// [Open] takes the file system as an io.ReaderAt, and the blocks of the journal, which
// the caller has found. [Log.Recover] finds the blocks to be replayed, and [Recovery.Over]
// shows the file system as it will be after the replay. This package does not write to
// the disk: lib/ext4/grow does.
//
// The package depends on lib/ext4/disk, for runs of blocks and errors.
//
// Journals with asynchronous commits are refused, and those with fast commits that have to be
// replayed.
package journal
