package ext4

import (
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
)

// volume is a file system whose superblock has been checked. Its methods, and contents
// that came from it, may be used by several goroutines.
type volume struct {
	r     io.ReaderAt
	size  int64
	pages *blockio.Pages
	super disk.Superblock
	seed  disk.Seed
}

// read fills p from off. It is an error if the image ends before.
func (vol *volume) read(p []byte, off int64) error {
	if off < 0 || off > vol.size || int64(len(p)) > vol.size-off {
		return disk.Corrupt(off, "%d bytes are beyond the end of the image at %d", len(p), vol.size)
	}
	if n, err := vol.pages.ReadAt(p, off); err != nil {
		return fmt.Errorf("byte %d: %w", off+int64(n), err)
	}
	return nil
}

// readBlock fills b with a block of the file system.
func (vol *volume) readBlock(b []byte, block uint64) error {
	if block == 0 || block >= vol.super.Blocks() {
		return disk.Corrupt(disk.SuperOffset, "block %d of a file system of %d", block, vol.super.Blocks())
	}
	return vol.read(b[:disk.BlockSize], int64(block)*disk.BlockSize)
}

// openVolume checks the superblock of the file system in the first size bytes of r; what
// of its features can be handled, checkFeatures tells. What lies behind the blocks that
// the superblock counts does not matter.
func openVolume(r io.ReaderAt, size int64, checkFeatures func(*disk.Superblock) error) (*volume, error) {
	if size < disk.SuperOffset+disk.SuperSize {
		return nil, disk.Corrupt(0, "%d bytes are too few for a superblock", size)
	}
	vol := &volume{r: r, size: size, pages: blockio.NewPages(r)}
	var b [disk.SuperSize]byte
	if err := vol.read(b[:], disk.SuperOffset); err != nil {
		return nil, err
	}
	s := &vol.super
	s.Decode(b[:])
	switch {
	case s.Magic != disk.SuperMagic:
		return nil, disk.Corrupt(disk.SuperOffset, "no ext4 superblock here")
	case s.Rev != disk.DynamicRev:
		return nil, disk.Unsupported(disk.SuperOffset, "revision %d", s.Rev)
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
	vol.seed = s.Seed()
	if err := s.CheckGeometry(size); err != nil {
		return nil, err
	}
	return vol, nil
}

// readGroup reads and checks the descriptor of group g.
func (vol *volume) readGroup(d *disk.GroupDesc, g uint64) error {
	var room [1024]byte
	b, off := room[:vol.super.GroupDescSize()], vol.super.DescOffset(g)
	if err := vol.read(b, off); err != nil {
		return err
	}
	d.Decode(b)
	if sum := vol.seed.Group(uint32(g), b); vol.super.HasSums() && d.Checksum != sum {
		return disk.Corrupt(off, "descriptor of group %d has checksum %#04x, says %#04x", g, sum, d.Checksum)
	}
	end := vol.super.Blocks()
	table := vol.super.TableBlocks()
	if d.BlockBitmap == 0 || d.BlockBitmap >= end || d.InodeBitmap == 0 || d.InodeBitmap >= end ||
		d.InodeTable == 0 || d.InodeTable >= end || table > end-d.InodeTable {
		return disk.Corrupt(off, "group %d has its bitmaps and table at blocks %d, %d and %d of %d", g, d.BlockBitmap, d.InodeBitmap, d.InodeTable, end)
	}
	if d.Unused > vol.super.InodesPerGroup {
		return disk.Corrupt(off, "group %d has %d of %d inodes unused", g, d.Unused, vol.super.InodesPerGroup)
	}
	return nil
}
