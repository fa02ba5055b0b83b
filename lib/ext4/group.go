package ext4

import (
	"encoding/binary"
	"math/bits"
)

// bitmaps say which blocks are in use. A group without any has none.
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

// free is how many blocks of group g, which has n, are not in use.
func (m *bitmaps) free(g uint32, n uint64) uint64 {
	if b := m.groups[g]; b != nil {
		for i := 0; i < blockSize; i += 8 {
			n -= uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b[i:])))
		}
	}
	return n
}

// setBits sets the bits of b from first up to end.
func setBits(b []byte, first, end uint64) {
	for ; first < end && first%8 != 0; first++ {
		b[first/8] |= 1 << (first % 8)
	}
	for ; first+8 <= end; first += 8 {
		b[first/8] = 0xFF
	}
	for ; first < end; first++ {
		b[first/8] |= 1 << (first % 8)
	}
}

// groupWriter writes bitmaps and makes the descriptors of all groups.
type groupWriter struct {
	geo    *geometry
	feat   Features
	seed   seed
	places []groupPlace
	blocks *bitmaps
	dirs   []uint32 // directories whose inode is in the group; may be shorter
	last   uint32   // the highest inode in use, all below are too
	put    func(block uint64, data []byte) error

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
	n := w.geo.groupBlocks(g)
	d := groupDesc{
		BlockBitmap: p.blockBitmap, InodeBitmap: p.inodeBitmap, InodeTable: p.inodeTable,
		FreeBlocks: uint32(w.blocks.free(g, n)),
		FreeInodes: ipg - used,
		Flags:      tableZeroed,
	}
	if int(g) < len(w.dirs) {
		d.Dirs = w.dirs[g]
	}
	w.freeBlocks += uint64(d.FreeBlocks)
	sums := w.feat.has(metadataCsum)
	if sums {
		d.Unused = d.FreeInodes
	} else {
		d.Flags = 0 // none has a meaning without checksums
	}
	if used == 0 && sums {
		d.Flags |= inodeUninit
	} else if err := w.inodeBitmap(&d, used); err != nil {
		return d, err
	}
	// mke2fs has no such group first or last, nor one with metadata in it.
	if w.blocks.groups[g] == nil && sums && g > 0 && g < w.geo.groups-1 {
		d.Flags |= blockUninit
		return d, nil
	}
	return d, w.blockBitmap(&d, g, n)
}

// inodeBitmap writes the bitmap of a group whose first used inodes are in use.
func (w *groupWriter) inodeBitmap(d *groupDesc, used uint32) error {
	var b [blockSize]byte
	setBits(b[:], 0, uint64(used))
	setBits(b[:], uint64(w.geo.ipg), maxInodesPerGroup)
	d.InodeBitmapSum = w.sum(b[:w.geo.ipg/8])
	return w.put(d.InodeBitmap, b[:])
}

// blockBitmap writes the bitmap of group g, which has n blocks. One of zeros stays
// a hole.
func (w *groupWriter) blockBitmap(d *groupDesc, g uint32, n uint64) error {
	var b [blockSize]byte
	if m := w.blocks.groups[g]; m != nil {
		b = *m
	}
	setBits(b[:], n, blocksPerGroup)
	d.BlockBitmapSum = w.sum(b[:])
	if w.blocks.groups[g] == nil && n == blocksPerGroup {
		return nil
	}
	return w.put(d.BlockBitmap, b[:])
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
