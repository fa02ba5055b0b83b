package grow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
)

// Disk is the disk that grows: an *os.File, open for reading and writing.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker // to find out the size
	Truncate(size int64) error
	Sync() error
}

// Options say how.
type Options struct {
	// Size is what the disk is to have, in bytes. A part of a block at its end is
	// left out, and so is a last group too small for its own metadata.
	Size int64
	// Device says that the disk is a block device: it keeps its size, and what it
	// held behind the file system need not be zero.
	Device bool
}

// Grow makes the file system on f larger, in place. A journal that was left by a
// disk that was not unmounted is replayed first. What this package does not know, and
// what is damaged as far as it looks, is refused before anything is written.
//
// With a journal, the change is one transaction in it: a crash at any point leaves
// the old or the new file system, for a kernel or e2fsck to replay. Until then a
// file may be longer than the old one, which does no harm. The new groups are
// written before, where no kernel looks yet, and the backups of the superblock in old
// groups after. Without a journal, or in one that is too short, the disk is marked
// as not clean meanwhile, and e2fsck -fy brings it back if it was interrupted.
//
// When ctx is done, Grow ends with its cause if the disk can still be put back. From when
// on it cannot, no more than what is in memory is left to be written.
//
// On an error without [ErrGrowing] the file system is what it was, if only with
// its journal replayed.
//
// Growing to the size that it has is an error, too, unless the journal had to be
// replayed: it may have been what an interrupted Grow left to do.
func Grow(ctx context.Context, f Disk, opts Options) error {
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
	return g.run(ctx)
}

// ErrGrowing is wrapped by the errors of a Grow that stopped in the middle, so
// that the journal has to be replayed, or e2fsck to run. Another Grow replays too.
var ErrGrowing = errors.New("stopped half-way, to be completed by e2fsck -fy")

// writes are the changed blocks, in order.
func (g *growth) writes() (list []journal.Block) {
	for _, n := range slices.Sorted(maps.Keys(g.changed)) {
		list = append(list, journal.Block{Number: n, Data: g.changed[n]})
	}
	return list
}

// run carries the plan out.
func (g *growth) run(ctx context.Context) error {
	err := cmp.Or(g.prepare(ctx), context.Cause(ctx))
	if err != nil {
		return g.undo(err)
	}
	journal := g.journal
	if n := len(g.changed); journal != nil && journal.Form.TransactionLength(n) <= int(journal.Super.Length-journal.Super.First) {
		return g.throughJournal()
	}
	return g.inOrder()
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
func (g *growth) prepare(ctx context.Context) error {
	if size := int64(g.new.Blocks()) * disk.BlockSize; size > g.size {
		if err := g.f.Truncate(size); err != nil {
			return err
		}
	}
	for _, r := range g.runs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
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
