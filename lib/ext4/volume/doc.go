// Package volume reads the parts of an ext4 file system by number: the superblock and
// what it says of the disk, descriptors of groups, inodes, the contents of files and the
// names in directories, xattrs, the journal. What it returns has been checked, checksums
// included where the file system has them.
//
// It is what lib/ext4/read, which makes a tree of a file system, lib/ext4/audit and
// lib/ext4/grow share; it depends on lib/ext4/disk for records, on lib/ext4/journal, and
// on lib/tree and lib/blockio.
//
// [Open] takes an io.ReaderAt and what the caller can do with features. A file system
// with a journal to be replayed opens, too: [Volume.OpenJournal] leads to a reader that
// shows it replayed, and Open takes that one.
package volume
