package grow

import (
	"fmt"
	"io"
	"math/bits"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/volume"
)

// growth is a change to a file system, planned to the last byte.
type growth struct {
	f        Disk
	opts     Options
	size     int64 // of the disk before the change, in bytes
	vol      *volume.Volume
	journal  *journal.Log      // nil: none
	recovery *journal.Recovery // nil: the journal is empty
	old, new disk.Superblock
	desc     []byte // descriptors of all groups, in whole blocks
	first    int    // the first block of desc that changes
	runs     []groupRun
	changed  map[uint64][]byte // new content of blocks of the old file system
}

// planGrowth plans the whole change. It writes nothing.
func planGrowth(f Disk, opts Options) (*growth, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	g := &growth{f: f, opts: opts, size: size, changed: make(map[uint64][]byte)}
	if err := g.open(f); err != nil {
		return nil, err
	}
	if err := g.readOld(); err != nil {
		return nil, err
	}
	if err := g.resize(); err != nil {
		return nil, err
	}
	if g.new.Blocks() == g.old.Blocks() {
		return g, nil
	}
	g.first = int(g.old.Groups() * uint64(g.old.GroupDescSize()) / disk.BlockSize)
	for _, step := range []func() error{g.extendLastGroup, g.addGroups, g.moveReserved} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	g.finishSuper()
	return g, nil
}

// Features that a file system may have and still grow. Most of them do not concern what
// this package changes.
const (
	compatGrows   = disk.CompatKnown
	incompatGrows = disk.IncompatKnown | disk.IncompatEAInode | disk.IncompatLargeDir | disk.IncompatInlineData | disk.IncompatEncrypt | disk.IncompatCasefold
	roCompatGrows = disk.RoCompatKnown | disk.RoCompatQuota | disk.RoCompatProject | disk.RoCompatVerity
)

// unknownFeature names a feature of s with which a file system cannot grow; "" if s has
// none.
func unknownFeature(s *disk.Superblock) string {
	compat, incompat, ro := s.Compat&^compatGrows, s.Incompat&^incompatGrows, s.RoCompat&^roCompatGrows
	switch {
	case incompat != 0:
		return incompat.String()
	case compat&disk.CompatFastCommit != 0:
		return "fast_commit"
	case compat&disk.CompatSparseSuper2 != 0:
		return "sparse_super2"
	case compat != 0:
		return fmt.Sprintf("compatible feature %#x", uint32(compat))
	case ro&disk.RoCompatBigalloc != 0:
		return "bigalloc"
	case ro&disk.RoCompatGdtCsum != 0:
		return "uninit_bg"
	case ro != 0:
		return fmt.Sprintf("read-only compatible feature %#x", uint32(ro))
	}
	return ""
}

// open reads the superblock and the journal of f, and sets g.vol, g.journal and g.recovery.
// g.vol shows the disk as it will be after the replay of its journal.
func (g *growth) open(f io.ReaderAt) error {
	vol, err := openVolume(f, g.size)
	if err != nil {
		return err
	}
	g.vol = vol
	dirty := vol.Super.Incompat&disk.IncompatRecover != 0
	if vol.Super.Compat&disk.CompatJournal == 0 {
		if dirty {
			return disk.Corrupt(disk.SuperOffset, "a journal to be replayed, and no journal")
		}
		return nil
	}
	if g.journal, err = vol.OpenJournal(); err != nil {
		return err
	}
	switch js := &g.journal.Super; {
	case js.Incompat&journal.IncompatFastCommit != 0 || js.FastBlocks != 0:
		return disk.Unsupported(g.journal.Offset(), "a journal with fast commits")
	case js.Type == journal.KindSuperV1:
		return disk.Unsupported(g.journal.Offset(), "a journal of version 1")
	case js.Errno != 0:
		return &volume.DirtyError{Problem: fmt.Sprintf("the journal has been given up by a kernel (error %d)", int32(js.Errno))}
	case !dirty && js.Start != 0:
		return &volume.DirtyError{Problem: "the journal has transactions that the superblock does not know of"}
	case !dirty:
		return nil
	}
	if g.recovery, err = g.journal.Recover(); err != nil {
		return err
	}
	if g.vol, err = openVolume(g.recovery.Over(f), g.size); err != nil {
		return fmt.Errorf("with the journal replayed: %w", err)
	}
	g.vol.Super.Incompat &^= disk.IncompatRecover
	return nil
}

// openVolume opens a file system that may have a journal to be replayed.
func openVolume(r io.ReaderAt, size int64) (*volume.Volume, error) {
	vol, err := volume.Open(r, size, func(s *disk.Superblock) error {
		if name := unknownFeature(s); name != "" {
			return disk.Unsupported(disk.SuperOffset, "growing with %s", name)
		}
		return s.CheckWritten()
	})
	if err != nil {
		return nil, err
	}
	if err := checkState(&vol.Super); err != nil {
		return nil, err
	}
	return vol, nil
}

// checkState refuses file systems that are damaged or were not unmounted, and geometries
// that Grow cannot change.
func checkState(s *disk.Superblock) error {
	switch {
	case s.GroupDescSize() > disk.GroupDescSize:
		return disk.Unsupported(disk.SuperOffset, "group descriptors of %d bytes", s.DescSize)
	case s.State&disk.StateErrors != 0 || s.ErrorCount != 0:
		return &volume.DirtyError{Problem: "marked as damaged by a kernel"}
	case s.State != disk.StateClean:
		return &volume.DirtyError{Problem: "it was not unmounted"}
	case s.Compat&disk.CompatResizeInode == 0 && s.ReservedGDT != 0:
		return disk.Unsupported(disk.SuperOffset, "reserved blocks of descriptors without a resize inode")
	case s.Compat&disk.CompatResizeInode != 0 && s.RoCompat&disk.RoCompatSparseSuper == 0:
		return disk.Unsupported(disk.SuperOffset, "a resize inode without sparse_super")
	case s.ReservedBlocks() > s.Blocks():
		return disk.Corrupt(disk.SuperOffset, "%d blocks reserved for root, of %d", s.ReservedBlocks(), s.Blocks())
	case s.ReservedGDT > disk.MaxReservedGDT || s.HeadBlocks(0) >= min(s.GroupSize(), s.Blocks()):
		return disk.Corrupt(disk.SuperOffset, "%d blocks reserved for descriptors, of %d", s.ReservedGDT, s.Blocks())
	}
	return nil
}

// readOld reads all descriptors. It takes the counts of free blocks and inodes from them,
// because those of the superblock may be out of date.
func (g *growth) readOld() error {
	s := &g.vol.Super
	g.old = *s
	if s.Compat&disk.CompatOrphanFile == 0 && s.RoCompat&disk.RoCompatOrphans != 0 {
		return disk.Corrupt(disk.SuperOffset, "orphans without an orphan file")
	}
	g.desc = make([]byte, s.DescBlocks()*disk.BlockSize)
	if err := g.vol.Read(g.desc[:s.Groups()*uint64(s.GroupDescSize())], disk.BlockSize); err != nil {
		return err
	}
	var blocks, inodes uint64
	for n := range s.Groups() {
		var d disk.GroupDesc
		if err := g.vol.ReadGroup(&d, n); err != nil {
			return err
		}
		if d.FreeBlocks > s.BlocksPerGroup || d.FreeInodes > s.InodesPerGroup {
			return disk.Corrupt(s.DescOffset(n), "group %d has %d free blocks and %d free inodes", n, d.FreeBlocks, d.FreeInodes)
		}
		blocks, inodes = blocks+uint64(d.FreeBlocks), inodes+uint64(d.FreeInodes)
	}
	g.old.SetFreeBlocks(blocks)
	g.old.FreeInodes = uint32(inodes)
	g.new = g.old
	return nil
}

// growLimit is the largest number of blocks: a resize inode stores block numbers in 32
// bits.
const growLimit = 1<<32 - 1

// SizeError says that a file system cannot grow to a size. Sizes are in bytes.
type SizeError struct {
	Size     int64 // the size that was asked for
	Min, Max int64 // the sizes that the file system can grow to; 0: unknown
	Movable  bool  // resize2fs can grow the file system beyond Max, by moving blocks

	problem string
}

func (e *SizeError) Error() string { return e.problem }

// sizeError returns a SizeError about Options.Size.
func (g *growth) sizeError(format string, args ...any) *SizeError {
	return &SizeError{Size: g.opts.Size, problem: fmt.Sprintf(format, args...)}
}

// resize computes the new number of blocks and groups.
func (g *growth) resize() error {
	s := &g.new
	blocks := uint64(max(g.opts.Size, 0)) / disk.BlockSize
	if blocks > growLimit {
		return g.sizeError("%d bytes: only less than 16 TiB can be grown to", g.opts.Size)
	}
	s.SetBlocks(blocks)
	last := s.Groups() - 1
	if rest := blocks % s.GroupSize(); rest != 0 && s.Groups() > g.old.Groups() &&
		rest < g.old.HeadBlocks(last)+2+s.TableBlocks()+disk.LastGroupRoom {
		blocks -= rest
		s.SetBlocks(blocks)
	}
	switch have := g.old.Blocks(); {
	case blocks < have:
		return g.sizeError("it has %d bytes, more than %d, and cannot shrink", have*disk.BlockSize, g.opts.Size)
	case blocks == have && g.recovery == nil:
		e := g.sizeError("it has %d bytes already; the next larger size is %d", have*disk.BlockSize, g.nextSize())
		e.Min = int64(g.nextSize())
		return e
	case g.opts.Device && int64(blocks)*disk.BlockSize > g.size:
		e := g.sizeError("the device has only %d bytes", g.size)
		e.Max = g.size
		return e
	}
	if limit := g.maxGroups(); s.Groups() > limit {
		e := g.sizeError("it can grow to %d bytes at most: there are %d blocks reserved for descriptors of groups, and %d inodes in each",
			limit*s.GroupSize()*disk.BlockSize, s.ReservedGDT, s.InodesPerGroup)
		e.Max = int64(limit * s.GroupSize() * disk.BlockSize)
		e.Movable = g.old.Groups()*uint64(s.InodesPerGroup) < limit*uint64(s.InodesPerGroup)
		return e
	}
	s.Inodes = uint32(s.Groups() * uint64(s.InodesPerGroup))
	s.ReservedGDT -= uint16(s.DescBlocks() - g.old.DescBlocks())
	return nil
}

// nextSize is the smallest size, in bytes, that the file system can grow to.
func (g *growth) nextSize() uint64 {
	s := &g.old
	if s.Blocks()%s.GroupSize() != 0 {
		return (s.Blocks() + 1) * disk.BlockSize
	}
	return (s.Blocks() + s.HeadBlocks(s.Groups()) + 2 + s.TableBlocks() + disk.LastGroupRoom) * disk.BlockSize
}

// maxGroups is how many groups the file system can have at most.
func (g *growth) maxGroups() uint64 {
	s := &g.old
	perBlock := disk.DescsPerBlock(uint32(s.GroupDescSize()))
	return min((s.DescBlocks()+uint64(s.ReservedGDT))*perBlock, growLimit/uint64(s.InodesPerGroup))
}

// finishSuper completes the new superblock.
func (g *growth) finishSuper() {
	s := &g.new
	hi, lo := bits.Mul64(g.old.ReservedBlocks(), s.Blocks())
	reserved, _ := bits.Div64(hi, lo, g.old.Blocks()) // the same fraction as before
	s.ReservedLo, s.ReservedHi = disk.Split(reserved)
}

// block returns block n of the old file system as planned so far. The caller may change it,
// and so changes the plan.
func (g *growth) block(n uint64) ([]byte, error) {
	if b := g.changed[n]; b != nil {
		return b, nil
	}
	b := make([]byte, disk.BlockSize)
	if err := g.vol.Read(b, int64(n)*disk.BlockSize); err != nil {
		return nil, err
	}
	g.changed[n] = b
	return b, nil
}
