package ext4

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

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

	roCompatSharedBlocks roCompatFlags = 0x4000 // Android: one block for equal contents
)

// incompatNames are the features as mke2fs and dumpe2fs call them.
var incompatNames = []struct {
	flag incompatFlags
	name string
}{
	{incompatCompression, "compression"}, {incompatFiletype, "filetype"}, {incompatRecover, "needs_recovery"},
	{incompatJournalDev, "journal_dev"}, {incompatMetaBG, "meta_bg"}, {incompatExtents, "extent"}, {incompat64Bit, "64bit"},
	{incompatMMP, "mmp"}, {incompatFlexBG, "flex_bg"}, {incompatEAInode, "ea_inode"}, {incompatDirData, "dirdata"},
	{incompatCsumSeed, "metadata_csum_seed"}, {incompatLargeDir, "large_dir"}, {incompatInlineData, "inline_data"},
	{incompatEncrypt, "encrypt"}, {incompatCasefold, "casefold"},
}

func (f incompatFlags) String() string {
	var names []string
	for _, n := range incompatNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
			f &^= n.flag
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("feature %#x", uint32(f)))
	}
	return strings.Join(names, ", ")
}

// dirtyError is about a file system that was not unmounted.
type dirtyError struct{ what string }

func (e *dirtyError) Error() string { return e.what + ": " + ErrUnsupported.Error() }
func (e *dirtyError) Unwrap() error { return ErrUnsupported }

// Hint names what helps.
func (e *dirtyError) Hint() string {
	return "mount and unmount it once, or let e2fsck -fp put it in order"
}

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
	if err := img.super.checkState(); err != nil {
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

func corrupt(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrCorrupt)
}

func unsupported(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrUnsupported)
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

// hasSums reports whether there are checksums of metadata.
func (img *Image) hasSums() bool { return img.super.RoCompat&roCompatMetadataCsum != 0 }

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
	case img.hasSums() && s.ChecksumType != checksumCRC32C:
		return unsupported(superOffset, "checksums of type %d", s.ChecksumType)
	case img.hasSums() && s.Checksum != superChecksum(b[:]):
		return corrupt(superOffset, "superblock has checksum %#08x, says %#08x", superChecksum(b[:]), s.Checksum)
	}
	img.seed = s.seed()
	return s.checkGeometry(img.size)
}

// checkGeometry checks all that addresses are computed from.
func (s *superblock) checkGeometry(size int64) error {
	bad := func(format string, args ...any) error { return corrupt(superOffset, format, args...) }
	switch {
	case s.LogBlockSize > 6:
		return bad("block size of 2^%d bytes", 10+uint64(s.LogBlockSize))
	case 1024<<s.LogBlockSize != blockSize:
		return unsupported(superOffset, "blocks of %d bytes, only %d are read", 1024<<s.LogBlockSize, blockSize)
	case s.LogClusterSize != s.LogBlockSize, s.ClustersPerGroup != s.BlocksPerGroup:
		return bad("clusters of 2^%d bytes without bigalloc", 10+uint64(s.LogClusterSize))
	case s.FirstDataBlock != 0:
		return bad("first data block is %d", s.FirstDataBlock)
	case s.BlocksPerGroup < 8 || s.BlocksPerGroup > blocksPerGroup || s.BlocksPerGroup%8 != 0:
		return bad("%d blocks in a group", s.BlocksPerGroup)
	case s.InodeSize < smallInodeSize || s.InodeSize > blockSize || s.InodeSize&(s.InodeSize-1) != 0:
		return bad("inodes of %d bytes", s.InodeSize)
	case s.InodesPerGroup < blockSize/uint32(s.InodeSize) || s.InodesPerGroup > maxInodesPerGroup || s.InodesPerGroup%8 != 0:
		return bad("%d inodes in a group", s.InodesPerGroup)
	case s.descSize() < smallGroupDescSize || s.descSize() > 1024 || s.descSize()&(s.descSize()-1) != 0,
		s.Incompat&incompat64Bit != 0 && s.descSize() < groupDescSize:
		return bad("group descriptors of %d bytes", s.DescSize)
	case s.blocks() < 2:
		return bad("%d blocks", s.blocks())
	case s.blocks() > math.MaxInt64/blockSize || int64(s.blocks())*blockSize > size:
		return bad("cut short: %d blocks in a file of %d bytes", s.blocks(), size)
	case uint64(s.Inodes) != s.groups()*uint64(s.InodesPerGroup):
		return bad("%d inodes in %d groups of %d", s.Inodes, s.groups(), s.InodesPerGroup)
	case s.FirstIno < firstIno || s.FirstIno > s.Inodes:
		return bad("first inode is %d of %d", s.FirstIno, s.Inodes)
	}
	return nil
}

// checkState refuses what a clean unmount does not leave.
func (s *superblock) checkState() error {
	switch {
	case s.Incompat&incompatRecover != 0:
		return &dirtyError{"the journal has to be replayed: it was not unmounted"}
	case s.State&stateErrors != 0:
		return &dirtyError{"marked as damaged by a kernel"}
	case s.State&stateClean == 0:
		return &dirtyError{"it was not unmounted"}
	}
	return nil
}

// groups is how many groups there are.
func (s *superblock) groups() uint64 {
	n := uint64(s.BlocksPerGroup)
	return (s.blocks() + n - 1) / n
}

// inodesPerBlock is how many inodes a block of a table holds.
func (s *superblock) inodesPerBlock() uint32 { return blockSize / uint32(s.InodeSize) }

// tableBlocks is the length of a group's inode table.
func (s *superblock) tableBlocks() uint64 {
	n := uint64(s.inodesPerBlock())
	return (uint64(s.InodesPerGroup) + n - 1) / n
}

// hasBackup reports whether group g has copies of the superblock and of the
// descriptors, or with 0 the first.
func (s *superblock) hasBackup(g uint64) bool {
	if s.Compat&compatSparseSuper2 != 0 {
		return g == 0 || g == uint64(s.BackupGroups[0]) || g == uint64(s.BackupGroups[1])
	}
	return s.RoCompat&roCompatSparseSuper == 0 || isBackupGroup(uint32(g))
}

// descOffset is where the descriptor of group g is.
func (s *superblock) descOffset(g uint64) int64 {
	size := uint64(s.descSize())
	perBlock := blockSize / size
	block := 1 + g/perBlock
	if meta := g / perBlock; s.Incompat&incompatMetaBG != 0 && meta >= uint64(s.FirstMetaBG) {
		// Each run of perBlock groups has its descriptors at its own start.
		first := meta * perBlock
		block = first * uint64(s.BlocksPerGroup)
		if first == 0 || s.hasBackup(first) {
			block++
		}
	}
	return int64(block*blockSize + g%perBlock*size)
}

// readGroup reads and checks the descriptor of group g.
func (img *Image) readGroup(d *groupDesc, g uint64) error {
	var room [1024]byte
	b, off := room[:img.super.descSize()], img.super.descOffset(g)
	if err := img.read(b, off); err != nil {
		return err
	}
	d.decode(b)
	if sum := img.seed.group(uint32(g), b); img.hasSums() && d.Checksum != sum {
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
