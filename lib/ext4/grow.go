package ext4

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/volume"
)

// GrowFile is the disk that grows: an *os.File, open for reading and writing.
type GrowFile interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker // to find out the size
	Truncate(size int64) error
	Sync() error
}

// GrowOptions say how.
type GrowOptions struct {
	// Size is what the disk is to have, in bytes. A part of a block at its end is
	// left out, and so is a last group too small for its own metadata.
	Size int64
	// Device says that the disk is a block device: it keeps its size, and what it
	// held behind the file system need not be zero.
	Device bool
	// Stop, when it is closed, ends Grow with ErrStopped if the disk can still be put
	// back. From when on it cannot, no more than what is in memory is left to be
	// written.
	Stop <-chan struct{}
}

// Grow makes the file system on f larger, in place. A journal that was left by a
// disk that was not unmounted is replayed first. What this package does not know, and
// what is damaged as far as it looks, is refused before anything is written.
//
// With a journal, the change is one transaction in it: a crash at any point leaves
// the old or the new file system, for a kernel or e2fsck to replay. Until then a
// file may be longer than the old one, which does no harm. The new groups are
// written before, where nobody looks yet, and the backups of the superblock in old
// groups after. Without a journal, or in one that is too short, the disk is marked
// as not clean meanwhile, and e2fsck -fy brings it back if it was interrupted.
//
// On an error without [ErrGrowing] the file system is what it was, if only with
// its journal replayed.
//
// Growing to the size that it has is an error, too, unless the journal had to be
// replayed: it may have been what an interrupted Grow left to do.
func Grow(f GrowFile, opts GrowOptions) error {
	g, err := planGrowth(f, opts)
	if err != nil {
		return err
	}
	if g.recovery != nil {
		if err := applyRecovery(f, g.recovery, &g.old); err != nil {
			return fmt.Errorf("replay the journal: %w: %w", ErrGrowing, err)
		}
	}
	if g.new.Blocks() == g.old.Blocks() { // it was the replay that did it, but for the backups
		return g.writeBackups(0)
	}
	return g.run()
}

// ErrGrowing is wrapped by the errors of a Grow that stopped in the middle, so
// that the journal has to be replayed, or e2fsck to run. Another Grow replays too.
var ErrGrowing = errors.New("stopped half-way, to be completed by e2fsck -fy")

// ErrStopped is wrapped by the error of a Grow that was stopped in time.
var ErrStopped = errors.New("stopped")

// growth is a change to a file system, planned to the last byte.
type growth struct {
	f        GrowFile
	opts     GrowOptions
	size     int64 // of the disk, before
	vol      *volume.Volume
	journal  *journal.Log      // nil: none
	recovery *journal.Recovery // nil: the journal is empty
	old, new disk.Superblock
	desc     []byte // descriptors of all groups, in whole blocks
	first    int    // the first block of desc that changes
	runs     []groupRun
	changed  map[uint64][]byte // blocks of the old file system
}

// planGrowth finds out all that will be written. It writes nothing.
func planGrowth(f GrowFile, opts GrowOptions) (*growth, error) {
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

// What a file system may have that grows. Most features do not touch what is
// changed here.
const (
	compatGrows   = disk.CompatKnown
	incompatGrows = disk.IncompatKnown | disk.IncompatEAInode | disk.IncompatLargeDir | disk.IncompatInlineData | disk.IncompatEncrypt | disk.IncompatCasefold
	roCompatGrows = disk.RoCompatKnown | disk.RoCompatQuota | disk.RoCompatProject | disk.RoCompatVerity
)

// unknownToGrow names the features of s that are not known here.
func unknownToGrow(s *disk.Superblock) string {
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

// open looks at the superblock and the journal of what f holds. Afterwards vol
// shows the disk as the replay of its journal will leave it.
func (g *growth) open(f io.ReaderAt) error {
	vol, err := openToGrow(f, g.size)
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
	if g.vol, err = openToGrow(g.recovery.Over(f), g.size); err != nil {
		return fmt.Errorf("with the journal replayed: %w", err)
	}
	g.vol.Super.Incompat &^= disk.IncompatRecover
	return nil
}

// openToGrow opens a file system that may have a journal to be replayed.
func openToGrow(r io.ReaderAt, size int64) (*volume.Volume, error) {
	vol, err := volume.Open(r, size, func(s *disk.Superblock) error {
		if name := unknownToGrow(s); name != "" {
			return disk.Unsupported(disk.SuperOffset, "growing with %s", name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := checkToGrow(&vol.Super); err != nil {
		return nil, err
	}
	return vol, nil
}

// checkToGrow is CheckGeometry and checkState for what grows.
func checkToGrow(s *disk.Superblock) error {
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

// readOld reads all descriptors and takes the counts of free blocks and inodes
// from them: those of the superblock may be old.
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

// growLimit is the first number that no block has: those of a resize inode have 32
// bits.
const growLimit = 1<<32 - 1

// sizeError is about a size that a file system cannot grow to.
type sizeError struct{ what, hint string }

func (e *sizeError) Error() string { return e.what }
func (e *sizeError) Hint() string  { return e.hint }

// resize finds the new number of blocks and groups.
func (g *growth) resize() error {
	s := &g.new
	blocks := uint64(max(g.opts.Size, 0)) / disk.BlockSize
	if blocks > growLimit {
		return &sizeError{what: fmt.Sprintf("%d bytes: only less than 16 TiB can be grown to", g.opts.Size)}
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
		return &sizeError{what: fmt.Sprintf("it has %d bytes, more than %d, and cannot shrink", have*disk.BlockSize, g.opts.Size)}
	case blocks == have && g.recovery == nil:
		return &sizeError{what: fmt.Sprintf("it has %d bytes already; the next larger size is %d", have*disk.BlockSize, g.nextSize())}
	case g.opts.Device && int64(blocks)*disk.BlockSize > g.size:
		return &sizeError{what: fmt.Sprintf("the device has only %d bytes", g.size)}
	}
	if most := g.mostGroups(); s.Groups() > most {
		e := &sizeError{what: fmt.Sprintf("it can grow to %d bytes at most: there are %d blocks reserved for descriptors of groups, and %d inodes in each",
			most*s.GroupSize()*disk.BlockSize, s.ReservedGDT, s.InodesPerGroup)}
		if g.old.Groups()*uint64(s.InodesPerGroup) < most*uint64(s.InodesPerGroup) {
			e.hint = "resize2fs grows it further, by moving blocks"
		}
		return e
	}
	s.Inodes = uint32(s.Groups() * uint64(s.InodesPerGroup))
	s.ReservedGDT -= uint16(s.DescBlocks() - g.old.DescBlocks())
	return nil
}

// nextSize is the smallest one that is larger.
func (g *growth) nextSize() uint64 {
	s := &g.old
	if s.Blocks()%s.GroupSize() != 0 {
		return (s.Blocks() + 1) * disk.BlockSize
	}
	return (s.Blocks() + s.HeadBlocks(s.Groups()) + 2 + s.TableBlocks() + disk.LastGroupRoom) * disk.BlockSize
}

// mostGroups is how many groups there can be.
func (g *growth) mostGroups() uint64 {
	s := &g.old
	perBlock := disk.DescsPerBlock(uint32(s.GroupDescSize()))
	return min((s.DescBlocks()+uint64(s.ReservedGDT))*perBlock, growLimit/uint64(s.InodesPerGroup))
}

// finishSuper completes the new superblock.
func (g *growth) finishSuper() {
	s := &g.new
	hi, lo := bits.Mul64(g.old.ReservedBlocks(), s.Blocks())
	reserved, _ := bits.Div64(hi, lo, g.old.Blocks()) // as large a part as before
	s.ReservedLo, s.ReservedHi = disk.Split(reserved)
}

// block returns the block of the old file system as the plan has it, to be
// changed.
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

// writes are the changed blocks, in order.
func (g *growth) writes() (list []journal.Block) {
	for _, n := range slices.Sorted(maps.Keys(g.changed)) {
		list = append(list, journal.Block{Number: n, Data: g.changed[n]})
	}
	return list
}

// run carries the plan out.
func (g *growth) run() error {
	err := g.prepare()
	if err == nil {
		err = g.stopped()
	}
	if err != nil {
		return g.undo(err)
	}
	journal := g.journal
	if n := len(g.changed); journal != nil && journal.Form.TransactionLength(n) <= int(journal.Super.Length-journal.Super.First) {
		return g.throughJournal()
	}
	return g.inOrder()
}

// stopped is an error if nobody wants to go on.
func (g *growth) stopped() error {
	select {
	case <-g.opts.Stop:
		return ErrStopped
	default:
		return nil
	}
}

// undo gives the disk the size that it had. What was written lies behind the file
// system, and is of no concern to it.
func (g *growth) undo(err error) error {
	if !g.opts.Device && g.size < int64(g.new.Blocks())*disk.BlockSize {
		if e := g.f.Truncate(g.size); e != nil {
			return fmt.Errorf("%w; the file system is as it was, but the file is longer: %w", err, e)
		}
	}
	return fmt.Errorf("%w; the file system is as it was", err)
}

// prepare writes what lies behind the old file system.
func (g *growth) prepare() error {
	if size := int64(g.new.Blocks()) * disk.BlockSize; size > g.size {
		if err := g.f.Truncate(size); err != nil {
			return err
		}
	}
	for _, r := range g.runs {
		if err := g.stopped(); err != nil {
			return err
		}
		if err := g.writeRun(r); err != nil {
			return err
		}
	}
	return g.f.Sync()
}

// throughJournal makes the change a transaction of the journal and then does what
// a replay would do. Its number is not used again, so that what a crash leaves in
// the log cannot become part of another one.
func (g *growth) throughJournal() error {
	sequence := g.journal.Super.Sequence
	super := g.old
	super.Incompat |= disk.IncompatRecover
	err := setLog(g.f, g.journal, 0, sequence+1)
	if err == nil {
		err = writeSuper(g.f, &super) // nothing to be replayed so far
	}
	if err == nil {
		err = g.writeLog(sequence)
	}
	if err != nil {
		if e := writeSuper(g.f, &g.old); e != nil {
			return fmt.Errorf("%w: %w", ErrGrowing, err)
		}
		return g.undo(err)
	}
	err = setLog(g.f, g.journal, g.journal.Super.First, sequence) // from here on the file system is the new one
	if err == nil {
		err = g.checkpoint()
	}
	if err == nil {
		err = setLog(g.f, g.journal, 0, sequence+1)
	}
	if err == nil {
		err = writeSuper(g.f, &g.new)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGrowing, err)
	}
	return nil
}

// writeLog writes the transaction into the log, which is empty.
func (g *growth) writeLog(sequence uint32) error {
	j := g.journal
	super := g.new
	super.Incompat |= disk.IncompatRecover // until the log is empty again
	super.Seal(g.changed[0][disk.SuperOffset:])
	at := j.Super.First
	for _, b := range j.Form.Transaction(sequence, g.writes()) {
		if _, err := g.f.WriteAt(b, int64(j.Physical(at))*disk.BlockSize); err != nil {
			return err
		}
		at = j.Next(at)
	}
	return g.f.Sync()
}

// checkpoint writes all changed blocks to where they belong, and the backups.
func (g *growth) checkpoint() error {
	err := writeHome(g.f, slices.Sorted(maps.Keys(g.changed)), func(n uint64) error {
		return g.write(g.changed[n], n)
	})
	if err != nil {
		return err
	}
	return g.writeBackups(g.first)
}

// writeBackups writes the backups in old groups, descriptors from a block of them
// on.
func (g *growth) writeBackups(from int) error {
	for n := uint64(1); n < g.old.Groups(); n++ {
		if err := g.writeBackup(n, from); err != nil {
			return err
		}
	}
	return g.f.Sync()
}

// inOrder makes the change without a journal: the superblock last.
func (g *growth) inOrder() error {
	super := g.old
	super.State &^= disk.StateClean
	err := writeSuper(g.f, &super)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGrowing, err)
	}
	super = g.new
	super.State &^= disk.StateClean
	super.Seal(g.changed[0][disk.SuperOffset:])
	if err = g.checkpoint(); err == nil {
		err = writeSuper(g.f, &g.new)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGrowing, err)
	}
	return nil
}
