// Package audit checks the structure of a whole ext4 file system, as e2fsck does, but
// changes nothing.
//
// It checks what our writer has made ([Options.Fresh]), and file systems that kernels have
// written to, once they were unmounted. [Check] refuses file systems with meta_bg.
//
// The package compares the files that the walk of lib/ext4/read finds with the metadata
// that lib/ext4/volume reads. It depends on these, on lib/ext4/disk, lib/ext4/journal and
// lib/tree.
package audit
