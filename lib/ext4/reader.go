package ext4

import (
	"bytes"
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// Image is a file system to be read. Its methods, and contents that came from it,
// may be used by several goroutines.
type Image struct {
	r     io.ReaderAt
	size  int64
	pages *blockio.Pages
	super superblock
	seed  seed
}

// What is read: everything that a writer of ours, mke2fs or a kernel makes by
// default, and growth by the kernel, which may convert to meta_bg.
const (
	incompatRead = incompatFiletype | incompatMetaBG | incompatExtents | incompat64Bit | incompatMMP |
		incompatFlexBG | incompatEAInode | incompatCsumSeed | incompatLargeDir
	roCompatUnread = roCompatBigalloc | roCompatSharedBlocks // others that are not known may be read by definition
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
	root, err := img.readInode(rootIno)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.kind() != tree.Dir {
		return nil, corrupt(root.off, "root is no directory")
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
		return corrupt(off, "%d bytes are beyond the end of the image at %d", len(p), img.size)
	}
	if n, err := img.pages.ReadAt(p, off); err != nil {
		return fmt.Errorf("byte %d: %w", off+int64(n), err)
	}
	return nil
}

// readBlock fills b with a block of the file system.
func (img *Image) readBlock(b []byte, block uint64) error {
	if block == 0 || block >= img.super.blocks() {
		return corrupt(superOffset, "block %d of a file system of %d", block, img.super.blocks())
	}
	return img.read(b[:blockSize], int64(block)*blockSize)
}

func (img *Image) readSuper() error {
	if img.size < superOffset+superSize {
		return corrupt(0, "%d bytes are too few for a superblock", img.size)
	}
	var b [superSize]byte
	if err := img.read(b[:], superOffset); err != nil {
		return err
	}
	s := &img.super
	s.decode(b[:])
	switch {
	case s.Magic != superMagic:
		return corrupt(superOffset, "no ext4 superblock here")
	case s.Rev != dynamicRev:
		return unsupported(superOffset, "revision %d", s.Rev)
	case s.Incompat&incompatJournalDev != 0:
		return unsupported(superOffset, "an external journal, no file system")
	case s.Incompat&^(incompatRead|incompatRecover) != 0:
		return unsupported(superOffset, "%s", s.Incompat&^(incompatRead|incompatRecover))
	case s.RoCompat&roCompatUnread != 0:
		return unsupported(superOffset, "bigalloc or shared_blocks (features %#x)", uint32(s.RoCompat&roCompatUnread))
	case img.super.hasSums() && s.ChecksumType != checksumCRC32C:
		return unsupported(superOffset, "checksums of type %d", s.ChecksumType)
	case img.super.hasSums() && s.Checksum != superChecksum(b[:]):
		return corrupt(superOffset, "superblock has checksum %#08x, says %#08x", superChecksum(b[:]), s.Checksum)
	}
	img.seed = s.seed()
	return s.checkGeometry(img.size)
}

// readGroup reads and checks the descriptor of group g.
func (img *Image) readGroup(d *groupDesc, g uint64) error {
	var room [1024]byte
	b, off := room[:img.super.descSize()], img.super.descOffset(g)
	if err := img.read(b, off); err != nil {
		return err
	}
	d.decode(b)
	if sum := img.seed.group(uint32(g), b); img.super.hasSums() && d.Checksum != sum {
		return corrupt(off, "descriptor of group %d has checksum %#04x, says %#04x", g, sum, d.Checksum)
	}
	end := img.super.blocks()
	table := img.super.tableBlocks()
	if d.BlockBitmap == 0 || d.BlockBitmap >= end || d.InodeBitmap == 0 || d.InodeBitmap >= end ||
		d.InodeTable == 0 || d.InodeTable >= end || table > end-d.InodeTable {
		return corrupt(off, "group %d has its bitmaps and table at blocks %d, %d and %d of %d", g, d.BlockBitmap, d.InodeBitmap, d.InodeTable, end)
	}
	if d.Unused > img.super.InodesPerGroup {
		return corrupt(off, "group %d has %d of %d inodes unused", g, d.Unused, img.super.InodesPerGroup)
	}
	return nil
}
