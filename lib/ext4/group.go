package ext4

// bitmaps say which blocks belong to inodes. A group without any has none.
type bitmaps struct {
	groups []*[blockSize]byte
	used   uint64
}

// fullBitmap is what all full groups share.
var fullBitmap = func() *[blockSize]byte {
	b := new([blockSize]byte)
	setBits(b[:], 0, blocksPerGroup)
	return b
}()

func newBitmaps(groups uint32) *bitmaps {
	return &bitmaps{groups: make([]*[blockSize]byte, groups)}
}

// mark says that a, which nobody marked before, is in use.
func (m *bitmaps) mark(a area) {
	m.used += a.n
	for a.n > 0 {
		g, bit := a.start/blocksPerGroup, a.start%blocksPerGroup
		n := min(a.n, blocksPerGroup-bit)
		switch {
		case n == blocksPerGroup:
			m.groups[g] = fullBitmap
		case m.groups[g] == nil:
			m.groups[g] = new([blockSize]byte)
			fallthrough
		default:
			setBits(m.groups[g][:], bit, bit+n)
		}
		a = area{a.start + n, a.n - n}
	}
}

// groupWriter writes bitmaps and makes the descriptors of all groups.
type groupWriter struct {
	geo    *geometry
	feat   Features
	seed   seed
	places []groupPlace
	files  *bitmaps
	fixed  []area   // in use, too; ascending
	dirs   []uint32 // directories whose inode is in the group; may be shorter
	last   uint32   // the highest inode in use, all below are too
	put    func(block uint64, data []byte) error

	room       [blockSize]byte // of one bitmap
	freeBlocks uint64
}

// write returns the descriptors, whole blocks.
func (w *groupWriter) write() (gdt []byte, err error) {
	gdt = make([]byte, uint64(w.geo.gdt)*blockSize)
	for g := range w.geo.groups {
		d, err := w.group(g)
		if err != nil {
			return nil, err
		}
		b := gdt[uint64(g)*uint64(w.geo.descSize):][:w.geo.descSize]
		d.encode(b)
		if w.feat.has(metadataCsum) {
			w.seed.sealGroup(g, b)
		}
	}
	return gdt, nil
}

func (w *groupWriter) group(g uint32) (groupDesc, error) {
	p, ipg := w.places[g], w.geo.ipg
	used := min(w.last-min(w.last, g*ipg), ipg)
	d := groupDesc{BlockBitmap: p.blockBitmap, InodeBitmap: p.inodeBitmap, InodeTable: p.inodeTable, FreeInodes: ipg - used}
	if int(g) < len(w.dirs) {
		d.Dirs = w.dirs[g]
	}
	sums := w.feat.has(metadataCsum) // without it flags have no meaning
	if sums {
		d.Unused = d.FreeInodes
		d.Flags = tableZeroed
	}
	if used == 0 && sums {
		d.Flags |= inodeUninit
	} else if err := w.inodeBitmap(&d, used); err != nil {
		return d, err
	}
	bitmap, n := w.bitmap(g), w.geo.groupBlocks(g)
	d.FreeBlocks = uint32(n) - countOnes(bitmap)
	w.freeBlocks += uint64(d.FreeBlocks)
	// mke2fs has no such group first or last, nor one with metadata in it.
	if sums && d.FreeBlocks == blocksPerGroup && g < w.geo.groups-1 {
		d.Flags |= blockUninit
		return d, nil
	}
	return d, w.blockBitmap(&d, bitmap, n)
}

// bitmap says which blocks of group g are in use, for groups one after the other.
func (w *groupWriter) bitmap(g uint32) []byte {
	clear(w.room[:])
	if b := w.files.groups[g]; b != nil {
		w.room = *b
	}
	start := uint64(g) * blocksPerGroup
	end := start + blocksPerGroup
	for len(w.fixed) > 0 && w.fixed[0].start < end {
		a := w.fixed[0]
		setBits(w.room[:], max(a.start, start)-start, min(a.end(), end)-start)
		if a.end() > end {
			break
		}
		w.fixed = w.fixed[1:]
	}
	return w.room[:]
}

// inodeBitmap writes the bitmap of a group whose first used inodes are in use.
func (w *groupWriter) inodeBitmap(d *groupDesc, used uint32) error {
	var b [blockSize]byte
	setBits(b[:], 0, uint64(used))
	setBits(b[:], uint64(w.geo.ipg), maxInodesPerGroup)
	d.InodeBitmapSum = w.sum(b[:w.geo.ipg/8])
	return w.put(d.InodeBitmap, b[:])
}

// blockBitmap writes the bitmap of a group of n blocks. One of zeros stays a hole.
func (w *groupWriter) blockBitmap(d *groupDesc, b []byte, n uint64) error {
	setBits(b, n, blocksPerGroup)
	d.BlockBitmapSum = w.sum(b)
	if d.FreeBlocks == blocksPerGroup {
		return nil
	}
	return w.put(d.BlockBitmap, b)
}

// sum is the checksum of a bitmap as far as a descriptor has room.
func (w *groupWriter) sum(b []byte) uint32 {
	switch {
	case !w.feat.has(metadataCsum):
		return 0
	case w.geo.descSize < groupDescSize:
		return w.seed.bitmap(b) & 0xFFFF
	}
	return w.seed.bitmap(b)
}
