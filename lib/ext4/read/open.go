package read

import (
	"bytes"
	"fmt"
	"io"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Image is a file system to be read. Several goroutines may use its methods, and the
// contents of its entries, at once.
type Image struct{ vol *volume.Volume }

// Open opens the file system in the first size bytes of r. It checks the superblock, and
// that the root is a directory. It ignores bytes after the blocks that the superblock
// counts. It refuses a journal that has to be replayed: see OpenRecovered. Reading checks all
// checksums where the file system has metadata_csum.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	vol, err := volume.Open(r, size, checkFeatures)
	if err != nil {
		return nil, err
	}
	if err := volume.CheckState(&vol.Super); err != nil {
		return nil, err
	}
	return newImage(vol)
}

// OpenRecovered is Open for a file system that may not have been unmounted: a kernel crashed
// on it, or has it still. It replays the journal in memory, and so shows what the next kernel
// to mount it will show. Files that were open when they were removed are gone. Damage that the
// journal does not mend is a volume.DirtyError.
func OpenRecovered(r io.ReaderAt, size int64) (*Image, error) {
	vol, err := volume.OpenRecovered(r, size, checkFeatures)
	if err != nil {
		return nil, err
	}
	return newImage(vol)
}

func newImage(vol *volume.Volume) (*Image, error) {
	root, err := vol.ReadInode(disk.RootIno)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.Type() != tree.Dir {
		return nil, disk.Corrupt(root.Off, "root is no directory")
	}
	return &Image{vol}, nil
}

// Volume returns the volume of img, which reads its records.
func (img *Image) Volume() *volume.Volume { return img.vol }

// UUID is the UUID of the file system.
func (img *Image) UUID() [16]byte { return img.vol.Super.UUID }

// Length is how long the superblock says that the file system is, in bytes.
func (img *Image) Length() int64 { return int64(img.vol.Super.Blocks()) * img.vol.BlockSize() }

// Stored returns how many bytes the content of e, an entry of an image, takes on disk: whole
// blocks, also those that were reserved and never written, and the blocks of its index. It returns 0 if the
// content has none of its own, or is from elsewhere.
func Stored(e *tree.Entry) int64 {
	if c, ok := e.Content.(*volume.Content); ok {
		return c.Stored()
	}
	return 0
}

// Label is the label (volume name) of the file system.
func (img *Image) Label() string {
	label, _, _ := bytes.Cut(img.vol.Super.Label[:], []byte{0})
	return string(label)
}

// Features of the file systems that we read. Encrypted files and case-folded directories are
// refused where they are met.
const (
	incompatRead = disk.IncompatFiletype | disk.IncompatMetaBG | disk.IncompatExtents | disk.Incompat64Bit | disk.IncompatMMP |
		disk.IncompatFlexBG | disk.IncompatEAInode | disk.IncompatCsumSeed | disk.IncompatLargeDir |
		disk.IncompatInlineData | disk.IncompatEncrypt | disk.IncompatCasefold
	roCompatUnread = disk.RoCompatSharedBlocks // by definition, all others do not matter to a reader
)

// checkFeatures refuses features that we do not read.
func checkFeatures(s *disk.Superblock) error {
	switch unread := s.Incompat &^ (incompatRead | disk.IncompatRecover); {
	case s.Incompat&disk.IncompatJournalDev != 0:
		return disk.Unsupported(disk.SuperOffset, "an external journal, no file system")
	case unread != 0:
		return disk.Unsupported(disk.SuperOffset, "%s", unread)
	case s.RoCompat&roCompatUnread != 0:
		return disk.Unsupported(disk.SuperOffset, "shared_blocks")
	}
	return nil
}
