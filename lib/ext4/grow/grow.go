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

// Options are for Grow.
type Options struct {
	// Size is the new size of the disk in bytes. Grow rounds it down to whole blocks, and
	// leaves out a last group that is too small for its own metadata.
	Size int64
	// Device says that the disk is a block device: it keeps its size, and its bytes after
	// the file system need not be zero.
	Device bool
}

// Grow makes the file system on f larger, in place. If the file system was not unmounted,
// Grow first replays its journal. Before it writes anything it refuses features that this
// package does not know, and damage in the parts that it reads.
//
// With a journal, the change is one transaction in it: a crash at any point leaves
// the old or the new file system, for a kernel or e2fsck to replay. Until the replay a
// file may be longer than its file system, which does no harm. Grow writes the new groups
// before the transaction, where no kernel looks yet, and the backups of the superblock in
// old groups after it. Without a journal, or if it is too short, Grow marks the disk as
// not clean while it writes; if it is interrupted, e2fsck -fy repairs the file system.
//
// When ctx is done, Grow undoes the change and returns the cause of ctx, unless it has begun
// to write the transaction or the blocks in their places. All that is left to be written
// then is in memory, and Grow completes it.
//
// On an error that does not wrap [ErrGrowing] the file system is unchanged, except that its
// journal may have been replayed.
//
// If the file system has the new size already, that is an error, unless the journal had to
// be replayed: an interrupted Grow may have left it.
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
	if g.new.Blocks() == g.old.Blocks() { // the replay completed an earlier Grow, but for the backups
		return g.writeBackups(0)
	}
	return g.run(ctx)
}

// ErrGrowing is wrapped by the errors of a Grow that stopped in the middle. The file system
// then needs its journal replayed, by a kernel, e2fsck or another Grow, or a run of e2fsck
// if it has no journal.
var ErrGrowing = errors.New("stopped half-way, to be completed by e2fsck -fy")

// writes returns the changed blocks of the old file system, in order.
func (g *growth) writes() (list []journal.Block) {
	for _, n := range slices.Sorted(maps.Keys(g.changed)) {
		list = append(list, journal.Block{Number: n, Data: g.changed[n]})
	}
	return list
}

// run carries out the plan.
func (g *growth) run(ctx context.Context) error {
	err := cmp.Or(g.prepare(ctx), context.Cause(ctx))
	if err != nil {
		return g.undo(err)
	}
	j := g.journal
	if n := len(g.changed); j != nil && j.Form.TransactionLength(n) <= int(j.Super.Length-j.Super.First) {
		return g.throughJournal()
	}
	return g.inOrder()
}

// undo gives the disk its old size and returns err. Everything that was written is after
// the end of the old file system, which it does not affect.
func (g *growth) undo(err error) error {
	if !g.opts.Device && g.size < int64(g.new.Blocks())*disk.BlockSize {
		if e := g.f.Truncate(g.size); e != nil {
			return fmt.Errorf("%w; the file system is as it was, but the file is longer: %w", err, e)
		}
	}
	return fmt.Errorf("%w; the file system is as it was", err)
}

// prepare writes the blocks after the end of the old file system.
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

// throughJournal writes the change as a transaction of the journal and then does what a
// replay would do. No other transaction gets its number, so what a crash leaves in the log
// cannot become part of another transaction.
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

// writeLog writes the transaction to the log, which is empty.
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

// checkpoint writes all changed blocks to their places, and the backups.
func (g *growth) checkpoint() error {
	err := writeHome(g.f, slices.Sorted(maps.Keys(g.changed)), func(n uint64) error {
		return g.write(g.changed[n], n)
	})
	if err != nil {
		return err
	}
	return g.writeBackups(g.first)
}

// writeBackups writes the backups in old groups, as writeBackup does.
func (g *growth) writeBackups(from int) error {
	for n := uint64(1); n < g.old.Groups(); n++ {
		if err := g.writeBackup(n, from); err != nil {
			return err
		}
	}
	return g.f.Sync()
}

// inOrder makes the change without a journal. It writes the superblock last.
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
