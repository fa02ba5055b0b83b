package ext4

import (
	"errors"
	"math"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// Blocks and inodes that an upper disk needs beside its content, so that overlayfs can make
// its work directory, and users can make files.
const (
	workBlocks = 8 << 20 / disk.BlockSize
	workInodes = 16
)

// keptBlocks is how many free blocks of a file system of so many blocks the kernel keeps to
// itself (ext4_calculate_resv_clusters).
func keptBlocks(blocks uint64) uint64 { return min(blocks/50, 4096) }

// demand is what the entries of a file system take.
type demand struct {
	live     uint64 // blocks in use
	replaced uint64 // blocks of contents that were replaced: they are free, but the disk must have them
	inodes   uint64
	dirs     uint64 // directories on an upper disk
}

// demand returns what the inodes take.
func (w *Writer) demand() demand {
	d := demand{live: uint64(len(w.acls)), replaced: w.contents, inodes: uint64(len(w.inodes.list)) - 1 + disk.FirstIno - 1}
	for _, it := range w.inodes.list {
		d.live += it.blocks()
		if it.entry.Type == tree.File {
			d.replaced -= it.blocks()
		}
		if it.dir != nil && w.opts.Upper {
			d.dirs++
		}
		if w.inodes.tree(it) != 0 {
			d.live += uint64(disk.ExtentTreeBlocks(it.runs(&w.files)))
		}
	}
	return d
}

// room is how many blocks of a file system of so many blocks have to be free in the end.
// When overlayfs looks up directories on an upper disk it gives them xattrs, which take a
// block each in the worst case.
func (o *Options) room(d demand, blocks uint64) uint64 {
	if !o.Upper {
		return 0
	}
	return keptBlocks(blocks) + workBlocks + d.dirs
}

// layout returns the places of the metadata, after all files have their places.
func (w *Writer) layout() (*layout, error) {
	d := w.demand()
	if w.opts.Upper {
		return w.checkUpper(d)
	}
	if w.opts.Size == 0 {
		return w.sized(d)
	}
	blocks := uint64(w.opts.Size) / disk.BlockSize
	g, err := w.opts.shorten(blocks, w.opts.inodes(blocks, d.inodes, 0))
	if err == nil {
		if g.inodes() < d.inodes {
			return nil, w.opts.tooFewInodes(g.inodes(), d.inodes)
		}
		if l := w.opts.atEnd(w.files, g); l.end <= g.blocks && !w.short {
			return l, nil
		}
		err = errNoRoom
	}
	if !errors.Is(err, errNoRoom) {
		return nil, err
	}
	return nil, w.tooSmall(d)
}

// checkUpper returns the plan of an upper disk, or an error if it lacks room for d.
func (w *Writer) checkUpper(d demand) (*layout, error) {
	g := &w.plan.geo
	if have, want := g.inodes(), d.inodes+workInodes; want > have {
		return nil, w.opts.tooFewInodes(have, want)
	}
	w.plan.claim(&w.files)
	if w.short || w.files.Next > w.limit || d.live+w.plan.used()+w.opts.room(d, g.blocks) > g.blocks {
		return nil, w.tooSmall(d)
	}
	return w.plan, nil
}

// tooSmall returns an error that says how large the disk would have to be for d.
func (w *Writer) tooSmall(d demand) error {
	o := w.opts
	const unit = sizeUnit / disk.BlockSize
	blocks, planned := uint64(o.Size)/sizeUnit*unit, d.inodes
	if o.Upper {
		planned = 0 // as in begin
	}
	for {
		blocks += unit
		o.Size = int64(blocks * disk.BlockSize)
		if o.Size > MaxSize {
			return &RoomError{Lack: LackSpace, Have: w.opts.Size, Upper: o.Upper}
		}
		g, err := o.shorten(blocks, o.inodes(blocks, planned, 0))
		if err != nil || o.Upper && g.inodes() < d.inodes+workInodes {
			continue
		}
		l := &layout{geo: g, journal: []alloc.Area{{Start: 0, N: o.journalLength(blocks)}}}
		used := d.live + l.used()
		need := used + max(d.replaced, o.room(d, g.blocks))
		if need > g.blocks {
			blocks = max(blocks, need/unit*unit-unit)
			continue
		}
		free := g.blocks - used
		free -= min(free, keptBlocks(g.blocks))
		return &RoomError{Lack: LackSpace, Have: w.opts.Size, Size: o.Size, Free: int64(free * disk.BlockSize), Upper: o.Upper}
	}
}

// sized returns the layout of a file system whose size follows from its content.
func (w *Writer) sized(d demand) (*layout, error) {
	o := &w.opts
	blocks, unit := w.files.NextFree()+1, uint64(sizeUnit/disk.BlockSize)
	if o.Shrink {
		unit = 1
	}
	used := d.live
	for !w.short && blocks <= w.limit {
		free := o.free(used)
		want := o.inodes(blocks, d.inodes, free)
		if want < d.inodes {
			return nil, o.tooFewInodes(want, d.inodes)
		}
		g := o.geometry(blocks, want)
		if g.inodes() < want {
			blocks += disk.BlocksPerGroup // one more group has room for more inodes
			continue
		}
		l := o.atEnd(w.files, g)
		used = max(used, d.live+l.used())
		need := max(l.end, withFree(used, o.free(used)), blocks+g.lastGroupShort())
		if need = disk.DivUp(need, unit) * unit; need <= blocks {
			return l, nil
		}
		blocks = need
	}
	return nil, &RoomError{Lack: LackGrowth, Have: int64(w.limit * disk.BlockSize)}
}

// free is how many blocks are to be left for more files if used blocks are in use.
func (o *Options) free(used uint64) uint64 {
	switch {
	case o.Shrink:
		return 0
	case o.FreeSpace != nil:
		return disk.DivUp(uint64(*o.FreeSpace), disk.BlockSize)
	}
	return max(DefaultFree/disk.BlockSize, used/4)
}

// withFree is how many blocks a file system needs if used blocks are in use, and free blocks
// are left that files can have.
func withFree(used, free uint64) uint64 {
	if free == 0 {
		return used
	}
	n := used + free
	return n + min(n/49+1, keptBlocks(math.MaxUint64)) // a fiftieth of the sum
}
