package ext4

import (
	"bytes"
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// Image is a file system to be read. Its methods, and contents that came from it,
// may be used by several goroutines.
type Image struct {
	r     io.ReaderAt
	size  int64
	pages *blockio.Pages
	super disk.Superblock
	seed  disk.Seed
}

// What is read: everything that a writer of ours, mke2fs or a kernel makes by
// default, and growth by the kernel, which may convert to meta_bg.
const (
	incompatRead = disk.IncompatFiletype | disk.IncompatMetaBG | disk.IncompatExtents | disk.Incompat64Bit | disk.IncompatMMP |
		disk.IncompatFlexBG | disk.IncompatEAInode | disk.IncompatCsumSeed | disk.IncompatLargeDir
	roCompatUnread = disk.RoCompatBigalloc | disk.RoCompatSharedBlocks // others that are not known may be read by definition
)

// Open checks the superblock of the file system in the first size bytes of r, and
// that its root is a directory. What lies behind the blocks that the superblock
// counts does not matter. A journal that has to be replayed refuses; so do blocks
// of other sizes than 4096. Checksums are checked where the file system has
// metadata_csum.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	img := &Image{r: r, size: size, pages: blockio.NewPages(r)}
	if err := img.readSuper(); err != nil {
		return nil, err
	}
	if err := checkState(&img.super); err != nil {
		return nil, err
	}
	root, err := img.readInode(disk.RootIno)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.kind() != tree.Dir {
		return nil, disk.Corrupt(root.off, "root is no directory")
	}
	return img, nil
}

// UUID is the file system's.
func (img *Image) UUID() [16]byte { return img.super.UUID }

// Label is the file system's volume name.
func (img *Image) Label() string {
	label, _, _ := bytes.Cut(img.super.Label[:], []byte{0})
	return string(label)
}

// read fills p from off. It is an error if the image ends before.
func (img *Image) read(p []byte, off int64) error {
	if off < 0 || off > img.size || int64(len(p)) > img.size-off {
		return disk.Corrupt(off, "%d bytes are beyond the end of the image at %d", len(p), img.size)
	}
	if n, err := img.pages.ReadAt(p, off); err != nil {
		return fmt.Errorf("byte %d: %w", off+int64(n), err)
	}
	return nil
}

// readBlock fills b with a block of the file system.
func (img *Image) readBlock(b []byte, block uint64) error {
	if block == 0 || block >= img.super.Blocks() {
		return disk.Corrupt(disk.SuperOffset, "block %d of a file system of %d", block, img.super.Blocks())
	}
	return img.read(b[:disk.BlockSize], int64(block)*disk.BlockSize)
}

func (img *Image) readSuper() error {
	if img.size < disk.SuperOffset+disk.SuperSize {
		return disk.Corrupt(0, "%d bytes are too few for a superblock", img.size)
	}
	var b [disk.SuperSize]byte
	if err := img.read(b[:], disk.SuperOffset); err != nil {
		return err
	}
	s := &img.super
	s.Decode(b[:])
	switch {
	case s.Magic != disk.SuperMagic:
		return disk.Corrupt(disk.SuperOffset, "no ext4 superblock here")
	case s.Rev != disk.DynamicRev:
		return disk.Unsupported(disk.SuperOffset, "revision %d", s.Rev)
	case s.Incompat&disk.IncompatJournalDev != 0:
		return disk.Unsupported(disk.SuperOffset, "an external journal, no file system")
	case s.Incompat&^(incompatRead|disk.IncompatRecover) != 0:
		return disk.Unsupported(disk.SuperOffset, "%s", s.Incompat&^(incompatRead|disk.IncompatRecover))
	case s.RoCompat&roCompatUnread != 0:
		return disk.Unsupported(disk.SuperOffset, "bigalloc or shared_blocks (features %#x)", uint32(s.RoCompat&roCompatUnread))
	case img.super.HasSums() && s.ChecksumType != disk.ChecksumCRC32C:
		return disk.Unsupported(disk.SuperOffset, "checksums of type %d", s.ChecksumType)
	case img.super.HasSums() && s.Checksum != disk.SuperChecksum(b[:]):
		return disk.Corrupt(disk.SuperOffset, "superblock has checksum %#08x, says %#08x", disk.SuperChecksum(b[:]), s.Checksum)
	}
	img.seed = s.Seed()
	return s.CheckGeometry(img.size)
}

// readGroup reads and checks the descriptor of group g.
func (img *Image) readGroup(d *disk.GroupDesc, g uint64) error {
	var room [1024]byte
	b, off := room[:img.super.GroupDescSize()], img.super.DescOffset(g)
	if err := img.read(b, off); err != nil {
		return err
	}
	d.Decode(b)
	if sum := img.seed.Group(uint32(g), b); img.super.HasSums() && d.Checksum != sum {
		return disk.Corrupt(off, "descriptor of group %d has checksum %#04x, says %#04x", g, sum, d.Checksum)
	}
	end := img.super.Blocks()
	table := img.super.TableBlocks()
	if d.BlockBitmap == 0 || d.BlockBitmap >= end || d.InodeBitmap == 0 || d.InodeBitmap >= end ||
		d.InodeTable == 0 || d.InodeTable >= end || table > end-d.InodeTable {
		return disk.Corrupt(off, "group %d has its bitmaps and table at blocks %d, %d and %d of %d", g, d.BlockBitmap, d.InodeBitmap, d.InodeTable, end)
	}
	if d.Unused > img.super.InodesPerGroup {
		return disk.Corrupt(off, "group %d has %d of %d inodes unused", g, d.Unused, img.super.InodesPerGroup)
	}
	return nil
}
