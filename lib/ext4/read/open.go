package read

import (
	"bytes"
	"fmt"
	"io"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Image is a file system to be read. Its methods, and contents that came from it,
// may be used by several goroutines.
type Image struct{ vol *volume.Volume }

// Open checks the superblock of the file system in the first size bytes of r, and
// that its root is a directory. What lies behind the blocks that the superblock
// counts does not matter. A journal that has to be replayed refuses; so do blocks
// of other sizes than 4096. Checksums are checked where the file system has
// metadata_csum.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	vol, err := volume.Open(r, size, checkFeatures)
	if err != nil {
		return nil, err
	}
	if err := checkState(&vol.Super); err != nil {
		return nil, err
	}
	root, err := vol.ReadInode(disk.RootIno)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.Type() != tree.Dir {
		return nil, disk.Corrupt(root.Off, "root is no directory")
	}
	return &Image{vol}, nil
}

// Volume is the file system as its records have it.
func (img *Image) Volume() *volume.Volume { return img.vol }

// UUID is the file system's.
func (img *Image) UUID() [16]byte { return img.vol.Super.UUID }

// Label is the file system's volume name.
func (img *Image) Label() string {
	label, _, _ := bytes.Cut(img.vol.Super.Label[:], []byte{0})
	return string(label)
}

// What is read: everything that a writer of ours, mke2fs or a kernel makes by
// default, and growth by the kernel, which may convert to meta_bg.
const (
	incompatRead = disk.IncompatFiletype | disk.IncompatMetaBG | disk.IncompatExtents | disk.Incompat64Bit | disk.IncompatMMP |
		disk.IncompatFlexBG | disk.IncompatEAInode | disk.IncompatCsumSeed | disk.IncompatLargeDir
	roCompatUnread = disk.RoCompatBigalloc | disk.RoCompatSharedBlocks // others that are not known may be read by definition
)

// checkFeatures refuses what cannot be read.
func checkFeatures(s *disk.Superblock) error {
	switch unread := s.Incompat &^ (incompatRead | disk.IncompatRecover); {
	case s.Incompat&disk.IncompatJournalDev != 0:
		return disk.Unsupported(disk.SuperOffset, "an external journal, no file system")
	case unread != 0:
		return disk.Unsupported(disk.SuperOffset, "%s", unread)
	case s.RoCompat&roCompatUnread != 0:
		return disk.Unsupported(disk.SuperOffset, "bigalloc or shared_blocks (features %#x)", uint32(s.RoCompat&roCompatUnread))
	}
	return nil
}

// checkState refuses what a clean unmount does not leave.
func checkState(s *disk.Superblock) error {
	switch {
	case s.Incompat&disk.IncompatRecover != 0:
		return &volume.DirtyError{Problem: "the journal has to be replayed: it was not unmounted"}
	case s.State&disk.StateErrors != 0:
		return &volume.DirtyError{Problem: "marked as damaged by a kernel"}
	case s.State&disk.StateClean == 0:
		return &volume.DirtyError{Problem: "it was not unmounted"}
	}
	return nil
}
