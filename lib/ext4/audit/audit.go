package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Options are for Check.
type Options struct {
	// Fresh says that nothing has been written to the file system since it was made, so
	// the copies of the superblock and of the descriptors have to be equal, too.
	Fresh bool
	// Entry, if it is not nil, is called for each file in the order of [read.Image.Source],
	// lost+found included. If it returns an error, Check ends and returns that error.
	Entry func(e *tree.Entry) error
}

// Check checks the structure of img as e2fsck does: every block and inode in use has one
// user and is marked as used, counts and checksums are right, and every name in a
// directory leads to an inode of its kind. Check returns an error about the first problem
// that it finds. When ctx is done, it returns the cause of ctx.
func Check(ctx context.Context, img *read.Image, opts Options) error {
	const unaudited = disk.IncompatMetaBG | disk.IncompatInlineData | disk.IncompatEncrypt | disk.IncompatCasefold
	if s := &img.Volume().Super; s.Incompat&unaudited != 0 {
		return disk.Unsupported(disk.SuperOffset, "%s", s.Incompat&unaudited)
	} else if s.RoCompat&(disk.RoCompatQuota|disk.RoCompatProject) != 0 {
		return disk.Unsupported(disk.SuperOffset, "quota or project")
	}
	if err := img.Volume().Super.CheckWritten(); err != nil {
		return err
	}
	a := auditor{ctx: ctx, vol: img.Volume(), opts: opts, dirs: make(map[uint64]uint32)}
	a.source = img.Walk(a.visit)
	for _, step := range []func() error{a.layout, a.special, a.walk, a.xattrs, a.bitmaps, a.totals, a.backups} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type auditor struct {
	ctx    context.Context
	vol    *volume.Volume
	opts   Options
	source *read.Walk        // records the blocks and numbers of inodes, and blocks of fixed
	fixed  volume.Claims     // blocks of metadata that do not depend on the files
	dirs   map[uint64]uint32 // number of directories in each group

	overhead   uint64 // blocks of fixed and of the journal
	freeBlocks uint64
	freeInodes uint64
}

// layout claims the blocks of fixed metadata.
func (a *auditor) layout() error {
	s := &a.vol.Super
	var d disk.GroupDesc
	for g := range s.Groups() {
		if err := cmp.Or(a.stopped(), a.vol.ReadGroup(&d, g)); err != nil {
			return err
		}
		first := g * uint64(s.BlocksPerGroup)
		own := volume.Claim{First: first, End: min(first+uint64(s.BlocksPerGroup), s.Blocks())}
		if err := a.fix(first, s.HeadBlocks(g), own); err != nil {
			return err
		}
		if s.Incompat&disk.IncompatFlexBG != 0 {
			own = volume.Claim{First: 0, End: s.Blocks()}
		}
		err := cmp.Or(a.fix(d.BlockBitmap, 1, own), a.fix(d.InodeBitmap, 1, own), a.fix(d.InodeTable, s.TableBlocks(), own))
		if err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
		last := g == s.Groups()-1
		if d.Flags&disk.BlockUninit != 0 && (g == 0 || last) || !a.vol.Super.HasSums() && d.Flags&(disk.BlockUninit|disk.InodeUninit) != 0 && s.RoCompat&disk.RoCompatGdtCsum == 0 {
			return disk.Corrupt(s.DescOffset(g), "group %d has flags %#x, its bitmaps must be there", g, d.Flags)
		}
	}
	if s.Incompat&disk.IncompatMMP != 0 {
		if err := a.fix(s.MMPBlock, 1, volume.Claim{First: 1, End: s.Blocks()}); err != nil {
			return err
		}
		a.overhead-- // this block does not count
	}
	return a.fixed.Merge()
}

// fix claims n blocks of fixed metadata from first on, which must be among own.
func (a *auditor) fix(first, n uint64, own volume.Claim) error {
	if first < own.First || first > own.End || n > own.End-first {
		return disk.Corrupt(int64(first)*disk.BlockSize, "%d blocks at %d are outside of their group", n, first)
	}
	a.overhead += n
	return cmp.Or(a.fixed.Add(first, n), a.source.Owned.Add(first, n))
}

// stopped returns the cause of the context if it is done, else nil.
func (a *auditor) stopped() error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return nil
}

// walk visits everything that has a name.
func (a *auditor) walk() error {
	for {
		if err := a.stopped(); err != nil {
			return err
		}
		e, err := a.source.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && a.opts.Entry != nil {
			err = a.opts.Entry(e)
		}
		if err != nil {
			return err
		}
	}
}

// visit checks details of an inode that reading it does not depend on.
func (a *auditor) visit(ino *volume.Inode, c *volume.Content, names []disk.Dirent) error {
	if len(a.source.Xattrs.Values) > 0 {
		return disk.Unsupported(ino.Off, "an xattr with its value in an inode (ea_inode)")
	}
	if err := a.inode(ino, c); err != nil {
		return err
	}
	if ino.Type() != tree.Dir {
		return nil
	}
	for _, d := range names {
		if d.Kind == disk.KindUnknown && a.vol.Super.Incompat&disk.IncompatFiletype != 0 {
			return disk.Corrupt(ino.Off, "directory %d does not say what %q is", ino.Number, d.Name)
		}
	}
	a.dirs[uint64((ino.Number-1)/a.vol.Super.InodesPerGroup)]++
	if ino.Flags&disk.FlagIndex == 0 {
		return nil
	}
	block := make([]byte, disk.BlockSize)
	err := disk.CheckIndex(uint32(c.Size/disk.BlockSize), a.vol.Super.DirOptions(), func(i uint32) ([]byte, error) {
		_, err := c.ReadAt(block, int64(i)*disk.BlockSize)
		return bytes.Clone(block), err
	})
	if err != nil {
		return fmt.Errorf("directory %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return nil
}

// xattrs checks the blocks of xattrs: the count of inodes that use each, and its hashes.
func (a *auditor) xattrs() error {
	blocks := a.source.Xattrs.Blocks
	block := make([]byte, disk.BlockSize)
	for _, at := range slices.Sorted(maps.Keys(blocks)) {
		b, off := blocks[at], int64(at)*disk.BlockSize
		if b.Refs != b.Used {
			return disk.Corrupt(off, "block of xattrs counts %d users, has %d", b.Refs, b.Used)
		}
		if err := a.vol.ReadBlock(block, at); err != nil {
			return err
		}
		if err := disk.CheckXattrHashes(block); err != nil {
			return fmt.Errorf("byte %d: %w", off, err)
		}
	}
	return nil
}

// inode checks an inode with the content c, which is nil if the inode has no blocks.
func (a *auditor) inode(ino *volume.Inode, c *volume.Content) error {
	blocks := uint64(0)
	if c != nil {
		blocks = uint64(c.Blocks)
	}
	if ino.FileACL != 0 {
		blocks++
	}
	if ino.Flags&disk.FlagHugeFile == 0 {
		blocks *= disk.SectorBlocks
	}
	switch {
	case ino.Blocks != blocks:
		return disk.Corrupt(ino.Off, "inode %d counts %d blocks (i_blocks), has %d", ino.Number, ino.Blocks, blocks)
	case ino.Dtime != 0:
		return disk.Corrupt(ino.Off, "inode %d was deleted at %d", ino.Number, ino.Dtime)
	case ino.Flags&disk.FlagIndex != 0 && (ino.Type() != tree.Dir || a.vol.Super.Compat&disk.CompatDirIndex == 0):
		return disk.Corrupt(ino.Off, "inode %d has an index", ino.Number)
	case ino.Type() == tree.Link && ino.Size <= disk.FastMax && ino.Flags&disk.FlagExtents != 0:
		return disk.Corrupt(ino.Off, "inode %d has a short target in a block", ino.Number)
	}
	for _, s := range []disk.Timestamp{ino.Atime, ino.Ctime, ino.Crtime} {
		if _, ok := s.Decode(); !ok {
			return disk.Corrupt(ino.Off, "inode %d has %d nanoseconds", ino.Number, s.Extra>>2)
		}
	}
	return nil
}

// bitmaps compares the bitmaps and counts of each group with the blocks and inodes that
// are in use.
func (a *auditor) bitmaps() error {
	s := &a.vol.Super
	owned, fixed := a.source.Owned.Sorted, a.fixed.Sorted
	block, want := make([]byte, disk.BlockSize), make([]byte, disk.BlockSize)
	var d disk.GroupDesc
	for g := range s.Groups() {
		if err := cmp.Or(a.stopped(), a.vol.ReadGroup(&d, g)); err != nil {
			return err
		}
		first := g * uint64(s.BlocksPerGroup)
		end := min(first+uint64(s.BlocksPerGroup), s.Blocks())
		clear(want)
		used := mark(want, &owned, first, end)
		if d.Flags&disk.BlockUninit != 0 {
			if n := mark(nil, &fixed, first, end); n != used {
				return disk.Corrupt(s.DescOffset(g), "group %d has %d blocks in use, and no bitmap", g, used-n)
			}
		} else {
			mark(nil, &fixed, first, end)
			if err := a.bitmap(block, want, d.BlockBitmap, end-first, uint64(s.BlocksPerGroup), d.BlockBitmapSum); err != nil {
				return fmt.Errorf("block bitmap of group %d: %w", g, err)
			}
		}
		free := end - first - used
		if uint64(d.FreeBlocks) != free {
			return disk.Corrupt(s.DescOffset(g), "group %d counts %d free blocks, has %d", g, d.FreeBlocks, free)
		}
		a.freeBlocks += free
		if err := a.inodes(g, &d, block, want); err != nil {
			return err
		}
	}
	return nil
}

// mark sets the bits of b, unless it is nil, for the claimed blocks from first up to end,
// and returns their number. It removes claims that end before end from the list.
func mark(b []byte, list *[]volume.Claim, first, end uint64) (used uint64) {
	for len(*list) > 0 && (*list)[0].First < end {
		c := (*list)[0]
		from, to := max(c.First, first), min(c.End, end)
		used += to - from
		if b != nil {
			disk.SetBits(b, from-first, to-first)
		}
		if c.End > end {
			break
		}
		*list = (*list)[1:]
	}
	return used
}

// bitmap reads the bitmap in block at into b and compares it with want. The first n bits
// count; all others have to be ones. sum is the checksum over the first full bits.
func (a *auditor) bitmap(b, want []byte, at, n, full uint64, sum uint32) error {
	if err := a.vol.ReadBlock(b, at); err != nil {
		return err
	}
	off := int64(at) * disk.BlockSize
	disk.SetBits(want, n, 8*disk.BlockSize)
	for i := range b {
		if b[i] != want[i] {
			return disk.Corrupt(off+int64(i), "bits are %08b, should be %08b", b[i], want[i])
		}
	}
	have := a.vol.Seed.Bitmap(b[:full/8])
	if a.vol.Super.GroupDescSize() < disk.GroupDescSize {
		have &= 0xFFFF
	}
	if a.vol.Super.HasSums() && have != sum {
		return disk.Corrupt(off, "checksum is %#08x, the descriptor says %#08x", have, sum)
	}
	return nil
}

// inodes checks the inodes of group g.
func (a *auditor) inodes(g uint64, d *disk.GroupDesc, block, want []byte) error {
	s := &a.vol.Super
	n := s.InodesPerGroup
	clear(want)
	used := uint32(0)
	for i := range n {
		if number := uint32(g)*n + i + 1; number < s.FirstIno || a.source.Seen.Has(uint64(number)) {
			want[i/8] |= 1 << (i % 8)
			used++
		} else if err := a.free(number, i, d); err != nil {
			return err
		}
	}
	switch {
	case d.FreeInodes != n-used:
		return disk.Corrupt(s.DescOffset(g), "group %d counts %d free inodes, has %d", g, d.FreeInodes, n-used)
	case d.Dirs != a.dirs[g]:
		return disk.Corrupt(s.DescOffset(g), "group %d counts %d directories, has %d", g, d.Dirs, a.dirs[g])
	case d.Flags&disk.InodeUninit != 0 && used > 0:
		return disk.Corrupt(s.DescOffset(g), "group %d has %d inodes in use, and no bitmap", g, used)
	}
	a.freeInodes += uint64(n - used)
	if d.Flags&disk.InodeUninit != 0 {
		return nil
	}
	if err := a.bitmap(block, want, d.InodeBitmap, uint64(n), uint64(n), d.InodeBitmapSum); err != nil {
		return fmt.Errorf("inode bitmap of group %d: %w", g, err)
	}
	return nil
}

// free checks that an inode without a name is not in use. It is the one at index in the
// group d.
func (a *auditor) free(number, index uint32, d *disk.GroupDesc) error {
	if d.Flags&disk.InodeUninit != 0 || a.vol.Super.HasSums() && index >= a.vol.Super.InodesPerGroup-d.Unused {
		return nil
	}
	var b [disk.SmallInodeSize]byte
	off := int64(d.InodeTable)*disk.BlockSize + int64(index)*int64(a.vol.Super.InodeSize)
	if err := a.vol.Read(b[:], off); err != nil {
		return err
	}
	if links := binary.LittleEndian.Uint16(b[0x1A:]); links != 0 {
		return disk.Corrupt(off, "inode %d counts %d links, but no directory has it", number, links)
	}
	return nil
}

// totals compares the counts of the superblock with the sums over all groups.
func (a *auditor) totals() error {
	s := &a.vol.Super
	switch {
	case s.FreeBlocks() != a.freeBlocks:
		return disk.Corrupt(disk.SuperOffset, "superblock counts %d free blocks, there are %d", s.FreeBlocks(), a.freeBlocks)
	case uint64(s.FreeInodes) != a.freeInodes:
		return disk.Corrupt(disk.SuperOffset, "superblock counts %d free inodes, there are %d", s.FreeInodes, a.freeInodes)
	case s.ReservedBlocks() > s.Blocks():
		return disk.Corrupt(disk.SuperOffset, "%d of %d blocks are reserved", s.ReservedBlocks(), s.Blocks())
	case s.Overhead != 0 && uint64(s.Overhead) != a.overhead:
		return disk.Corrupt(disk.SuperOffset, "superblock counts %d blocks of metadata, there are %d", s.Overhead, a.overhead)
	case s.LastOrphan != 0:
		return disk.Corrupt(disk.SuperOffset, "inode %d is to be deleted", s.LastOrphan)
	case s.ErrorCount != 0:
		return disk.Corrupt(disk.SuperOffset, "%d errors were noted", s.ErrorCount)
	}
	return nil
}

// backups compares the copies of the superblock and of the descriptors with the originals.
func (a *auditor) backups() error {
	s := &a.vol.Super
	if !a.opts.Fresh {
		return nil
	}
	first, copied := make([]byte, disk.BlockSize), make([]byte, disk.BlockSize)
	for g := uint64(1); g < s.Groups(); g++ {
		if !s.HasBackup(g) {
			continue
		}
		at := g * uint64(s.BlocksPerGroup)
		if err := a.backupSuper(g, copied); err != nil {
			return err
		}
		for i := range s.DescBlocks() {
			if err := cmp.Or(a.vol.ReadBlock(first, 1+i), a.vol.ReadBlock(copied, at+1+i)); err != nil {
				return err
			}
			if !bytes.Equal(first, copied) {
				return disk.Corrupt(int64(at+1+i)*disk.BlockSize, "copy of the descriptors in group %d differs", g)
			}
		}
	}
	return nil
}

// backupSuper compares the copy of the superblock in group g with the original. The copy
// has the number of its group, and may differ in State.
func (a *auditor) backupSuper(g uint64, b []byte) error {
	at := g * uint64(a.vol.Super.BlocksPerGroup)
	if err := a.vol.ReadBlock(b, at); err != nil {
		return err
	}
	var have disk.Superblock
	have.Decode(b)
	if sum := disk.SuperChecksum(b); a.vol.Super.HasSums() && have.Checksum != sum {
		return disk.Corrupt(int64(at)*disk.BlockSize, "copy of the superblock has checksum %#08x, says %#08x", sum, have.Checksum)
	}
	want := a.vol.Super
	want.BlockGroup, want.State, want.Checksum = uint16(g), have.State, have.Checksum
	if have != want {
		return disk.Corrupt(int64(at)*disk.BlockSize, "copy of the superblock in group %d differs", g)
	}
	return nil
}
