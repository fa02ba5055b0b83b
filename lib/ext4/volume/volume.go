package volume

import (
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/magic"
)

// Volume is a file system whose superblock has been checked. Several goroutines may use
// its methods, and the contents that it returns, at once.
type Volume struct {
	r     io.ReaderAt
	size  int64
	block int64 // length of a block
	pages *blockio.Pages
	Super disk.Superblock
	Seed  disk.Seed
}

// Open reads and checks the superblock of the file system in the first size bytes of r.
// The caller's checkFeatures returns an error if the superblock has features that the
// caller cannot handle. Open ignores bytes after the blocks that the superblock counts.
func Open(r io.ReaderAt, size int64, checkFeatures func(*disk.Superblock) error) (*Volume, error) {
	if size < disk.SuperOffset+disk.SuperSize {
		return nil, foreign(disk.Corrupt(0, "%d bytes are too few for a superblock", size), r, size)
	}
	vol := &Volume{r: r, size: size, pages: blockio.NewPages(r)}
	var b [disk.SuperSize]byte
	if err := vol.Read(b[:], disk.SuperOffset); err != nil {
		return nil, err
	}
	s := &vol.Super
	s.Decode(b[:])
	switch {
	case s.Magic != disk.SuperMagic:
		return nil, foreign(disk.Corrupt(disk.SuperOffset, "no ext4 superblock here"), r, size)
	case s.Rev > disk.DynamicRev:
		return nil, disk.Unsupported(disk.SuperOffset, "revision %d", s.Rev)
	case s.Rev < disk.DynamicRev: // these fields did not exist
		s.InodeSize, s.FirstIno = disk.SmallInodeSize, disk.FirstIno
	}
	if err := checkFeatures(s); err != nil {
		return nil, err
	}
	switch {
	case s.HasSums() && s.ChecksumType != disk.ChecksumCRC32C:
		return nil, disk.Unsupported(disk.SuperOffset, "checksums of type %d", s.ChecksumType)
	case s.HasSums() && s.Checksum != disk.SuperChecksum(b[:]):
		return nil, disk.Corrupt(disk.SuperOffset, "superblock has checksum %#08x, says %#08x", disk.SuperChecksum(b[:]), s.Checksum)
	}
	vol.Seed = s.Seed()
	if err := s.CheckGeometry(size); err != nil {
		return nil, err
	}
	vol.block = int64(s.BlockSize())
	return vol, nil
}

// foreign returns err, or if the image is recognised as something else, what it is.
func foreign(err error, r io.ReaderAt, size int64) error {
	return magic.ExplainFile(err, io.NewSectionReader(r, 0, size), magic.Ext4)
}

// BlockSize is the length of a block in bytes.
func (vol *Volume) BlockSize() int64 { return vol.block }

// Offset is where a block of the file system begins, in bytes.
func (vol *Volume) Offset(block uint64) int64 { return int64(block) * vol.block }

// Read fills p from byte off on. It is an error if the image ends before p is full.
func (vol *Volume) Read(p []byte, off int64) error {
	if off < 0 || off > vol.size || int64(len(p)) > vol.size-off {
		return disk.Corrupt(off, "%d bytes are beyond the end of the image at %d", len(p), vol.size)
	}
	if n, err := vol.pages.ReadAt(p, off); err != nil {
		return fmt.Errorf("byte %d: %w", off+int64(n), err)
	}
	return nil
}

// ReadBlock fills b, which has the length of a block, with a block of the file system.
func (vol *Volume) ReadBlock(b []byte, block uint64) error {
	if block == 0 || block >= vol.Super.Blocks() {
		return disk.Corrupt(disk.SuperOffset, "block %d of a file system of %d", block, vol.Super.Blocks())
	}
	return vol.Read(b[:vol.block], vol.Offset(block))
}

// ReadGroup reads and checks the descriptor of group g.
func (vol *Volume) ReadGroup(d *disk.GroupDesc, g uint64) error {
	b, off := make([]byte, vol.Super.GroupDescSize()), vol.Super.DescOffset(g)
	if err := vol.Read(b, off); err != nil {
		return err
	}
	d.Decode(b)
	if sum := vol.Seed.Group(uint32(g), b); vol.Super.HasSums() && d.Checksum != sum {
		return disk.Corrupt(off, "descriptor of group %d has checksum %#04x, says %#04x", g, sum, d.Checksum)
	}
	end := vol.Super.Blocks()
	table := vol.Super.TableBlocks()
	if d.BlockBitmap == 0 || d.BlockBitmap >= end || d.InodeBitmap == 0 || d.InodeBitmap >= end ||
		d.InodeTable == 0 || d.InodeTable >= end || table > end-d.InodeTable {
		return disk.Corrupt(off, "group %d has its bitmaps and table at blocks %d, %d and %d of %d", g, d.BlockBitmap, d.InodeBitmap, d.InodeTable, end)
	}
	if d.Unused > vol.Super.InodesPerGroup {
		return disk.Corrupt(off, "group %d has %d of %d inodes unused", g, d.Unused, vol.Super.InodesPerGroup)
	}
	return nil
}
