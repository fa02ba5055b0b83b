package ext4

import (
	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
)

// bitmaps has, for each group, a bitmap of the blocks that belong to inodes: nil for a group
// without any.
type bitmaps struct {
	groups []*[disk.BlockSize]byte
	used   uint64
}

// fullBitmap is the bitmap that all full groups share.
var fullBitmap = func() *[disk.BlockSize]byte {
	b := new([disk.BlockSize]byte)
	disk.SetBits(b[:], 0, disk.BlocksPerGroup)
	return b
}()

func newBitmaps(groups uint32) *bitmaps {
	return &bitmaps{groups: make([]*[disk.BlockSize]byte, groups)}
}

// mark marks the blocks of a as in use. None of them has been marked before.
func (m *bitmaps) mark(a alloc.Area) {
	m.used += a.N
	for a.N > 0 {
		g, bit := a.Start/disk.BlocksPerGroup, a.Start%disk.BlocksPerGroup
		n := min(a.N, disk.BlocksPerGroup-bit)
		switch {
		case n == disk.BlocksPerGroup:
			m.groups[g] = fullBitmap
		case m.groups[g] == nil:
			m.groups[g] = new([disk.BlockSize]byte)
			fallthrough
		default:
			disk.SetBits(m.groups[g][:], bit, bit+n)
		}
		a = alloc.Area{Start: a.Start + n, N: a.N - n}
	}
}

// groupWriter writes bitmaps and makes the descriptors of all groups.
type groupWriter struct {
	geo    *geometry
	feat   Features
	seed   disk.Seed
	places []groupPlace
	files  *bitmaps
	fixed  []alloc.Area // also in use; ascending
	dirs   []uint32     // for each group, the number of directories; groups at the end may be missing
	last   uint32       // the highest inode in use; all lower ones are in use, too
	put    func(block uint64, data []byte) error

	stopped func() error // returns why to stop, or nil

	room       [disk.BlockSize]byte // of one bitmap
	freeBlocks uint64
}

// write writes the bitmaps and returns the descriptors, in whole blocks.
func (w *groupWriter) write() (gdt []byte, err error) {
	gdt = make([]byte, uint64(w.geo.gdt)*disk.BlockSize)
	for g := range w.geo.groups {
		if err := w.stopped(); err != nil {
			return nil, err
		}
		d, err := w.group(g)
		if err != nil {
			return nil, err
		}
		b := gdt[uint64(g)*uint64(w.geo.descSize):][:w.geo.descSize]
		d.Encode(b)
		if w.feat.has(metadataCsum) {
			w.seed.SealGroup(g, b)
		}
	}
	return gdt, nil
}

func (w *groupWriter) group(g uint32) (disk.GroupDesc, error) {
	p, ipg := w.places[g], w.geo.ipg
	used := min(w.last-min(w.last, g*ipg), ipg)
	d := disk.GroupDesc{BlockBitmap: p.blockBitmap, InodeBitmap: p.inodeBitmap, InodeTable: p.inodeTable, FreeInodes: ipg - used}
	if int(g) < len(w.dirs) {
		d.Dirs = w.dirs[g]
	}
	sums := w.feat.has(metadataCsum) // without it, flags of groups have no meaning
	if sums {
		d.Unused = d.FreeInodes
		d.Flags = disk.TableZeroed
	}
	if used == 0 && sums {
		d.Flags |= disk.InodeUninit
	} else if err := w.inodeBitmap(&d, used); err != nil {
		return d, err
	}
	bitmap, n := w.bitmap(g), w.geo.groupBlocks(g)
	d.FreeBlocks = uint32(n) - disk.CountOnes(bitmap)
	w.freeBlocks += uint64(d.FreeBlocks)
	// As mke2fs does: only a group without metadata, and neither the first nor the last.
	if sums && d.FreeBlocks == disk.BlocksPerGroup && g < w.geo.groups-1 {
		d.Flags |= disk.BlockUninit
		return d, nil
	}
	return d, w.blockBitmap(&d, bitmap, n)
}

// bitmap returns the bitmap of the blocks of group g that are in use. It is called for the
// groups in ascending order.
func (w *groupWriter) bitmap(g uint32) []byte {
	clear(w.room[:])
	if b := w.files.groups[g]; b != nil {
		w.room = *b
	}
	start := uint64(g) * disk.BlocksPerGroup
	end := start + disk.BlocksPerGroup
	for len(w.fixed) > 0 && w.fixed[0].Start < end {
		a := w.fixed[0]
		disk.SetBits(w.room[:], max(a.Start, start)-start, min(a.End(), end)-start)
		if a.End() > end {
			break
		}
		w.fixed = w.fixed[1:]
	}
	return w.room[:]
}

// inodeBitmap writes the inode bitmap of a group. used is how many inodes are in use, the
// first ones of the group.
func (w *groupWriter) inodeBitmap(d *disk.GroupDesc, used uint32) error {
	var b [disk.BlockSize]byte
	disk.SetBits(b[:], 0, uint64(used))
	disk.SetBits(b[:], uint64(w.geo.ipg), disk.MaxInodesPerGroup)
	d.InodeBitmapSum = w.sum(b[:w.geo.ipg/8])
	return w.put(d.InodeBitmap, b[:])
}

// blockBitmap writes the block bitmap of a group of n blocks. A bitmap of zeros stays a
// hole.
func (w *groupWriter) blockBitmap(d *disk.GroupDesc, b []byte, n uint64) error {
	disk.SetBits(b, n, disk.BlocksPerGroup)
	d.BlockBitmapSum = w.sum(b)
	if d.FreeBlocks == disk.BlocksPerGroup {
		return nil
	}
	return w.put(d.BlockBitmap, b)
}

// sum is the checksum of a bitmap, as wide as descriptors store it.
func (w *groupWriter) sum(b []byte) uint32 {
	switch {
	case !w.feat.has(metadataCsum):
		return 0
	case w.geo.descSize < disk.GroupDescSize:
		return w.seed.Bitmap(b) & 0xFFFF
	}
	return w.seed.Bitmap(b)
}
