// Package volume reads the parts of an ext4 file system by number: the superblock,
// descriptors of groups, inodes, the contents of files, the entries of directories,
// xattrs, the journal. It checks everything that it returns, checksums included where the
// file system has them.
//
// lib/ext4/read, lib/ext4/audit and lib/ext4/grow share it. It depends on lib/ext4/disk
// for records, on lib/ext4/journal, and on lib/tree and lib/blockio.
//
// [Open] takes an io.ReaderAt, and a function with which the caller refuses features. It
// also opens a file system whose journal has to be replayed, and shows it as it is on
// the disk. [OpenRecovered] shows it replayed.
package volume
