package z

import "encoding/binary"

// What the indexes Full and Compact say of a logical cluster.
//
// Full, struct z_erofs_lcluster_index; the index begins 8 bytes after the header:
//
//	off size field        meaning
//	  0    2 kind         bits 0-1
//	         partial      bit 15: the cluster holds more; heads only
//	  2    2 at           where the extent begins in the logical cluster; heads only
//	  4    4 block        of the cluster; heads only
//	  4    2 back         nonhead: distance to the head, or blockCount
//	  6    2 ahead        nonhead: distance to the next head, or to the end
const (
	fullReserved = 8
	fullSize     = 8
	kindMask     = 3
	partialBit   = 1 << 15

	plain   = 0 // head of an extent that is not compressed
	head1   = 1
	nonhead = 2 // an extent continues
	head2   = 3

	// blockCount marks back of the first nonhead after the head of a cluster that may have
	// several blocks: the other bits are how many it has, and the distance is 1.
	blockCount = 1 << 11
)

// entry is a decoded entry of either index.
type entry struct {
	kind    uint8
	partial bool
	at      int64
	block   int64
	back    int64
	ahead   int64
	counts  bool // nonhead: blocks is how many the cluster has
	blocks  int64
}

// entry decodes the entry i.
func (c *cursor) entry(i int64) (entry, error) {
	if c.h.Index == Compact {
		return c.packed(i)
	}
	b, err := c.bytes(c.base+i*fullSize, fullSize)
	if err != nil {
		return entry{}, err
	}
	le := binary.LittleEndian
	flags := le.Uint16(b)
	e := entry{kind: uint8(flags & kindMask)}
	if e.kind != nonhead {
		e.partial, e.at, e.block = flags&partialBit != 0, int64(le.Uint16(b[2:])), int64(le.Uint32(b[4:]))
		if e.at >= c.cluster {
			return e, corrupt("extent of entry %d begins at byte %d of %d", i, e.at, c.cluster)
		}
		return e, nil
	}
	e.back, e.ahead = int64(le.Uint16(b[4:])), int64(le.Uint16(b[6:]))
	if e.back&blockCount != 0 {
		e.counts, e.blocks, e.back = true, e.back&^blockCount, 1
		if c.h.Advise&(AdviseBig1|AdviseBig2) == 0 {
			return e, corrupt("entry %d counts blocks in a file without big clusters", i)
		}
	}
	return e, nil
}

// headOf returns the number of the entry with the head of the extent that has byte off. The
// distances back to a head may be too short, because they have 11 bits; then they lead to
// another entry of the extent.
func (c *cursor) headOf(off int64) (int64, error) {
	i := off / c.cluster
	e, err := c.entry(i)
	if err != nil {
		return 0, err
	}
	if e.kind != nonhead {
		if e.at <= off-i*c.cluster {
			return i, nil
		}
		e.back = 1
	}
	for {
		if e.back < 1 || e.back > i {
			return 0, corrupt("entry %d is %d after its head", i, e.back)
		}
		i -= e.back
		if e, err = c.entry(i); err != nil || e.kind != nonhead {
			return i, err
		}
		if c.isTooLong(off/c.cluster - i) {
			return 0, unsupported("entry of byte %d is %d after its head", off, off/c.cluster-i)
		}
	}
}

// scan returns the extent whose head is the entry i, and the number of the entry with the next
// head. It checks that all entries of the extent lead back to its head, and that those that the
// kernel would follow ahead do not lead past the next one.
func (c *cursor) scan(i int64) (x Extent, next int64, err error) {
	head, err := c.entry(i)
	if err != nil {
		return x, 0, err
	}
	x.Off = i*c.cluster + head.at
	if head.kind == nonhead || x.Off >= c.size || i == 0 && head.at > 0 {
		return x, 0, corrupt("entry %d is not the head of an extent", i)
	}
	end, hop, blocks := c.size, i+1, int64(1) // hop is where the distances ahead lead from the head on
	for next = i + 1; next < c.n; next++ {
		e, err := c.entry(next)
		if err != nil {
			return x, 0, err
		}
		if e.kind != nonhead {
			end = next*c.cluster + e.at
			break
		}
		switch {
		case e.back < 1 || e.back > next-i || e.counts && next > i+1:
			return x, 0, corrupt("entry %d does not belong to the extent of entry %d", next, i)
		case e.counts:
			blocks = max(e.blocks, 1)
		}
		if next == hop {
			hop += max(e.ahead, 1)
		}
		if c.isTooLong(next - i) {
			return x, 0, unsupported("extent of entry %d has over %d bytes", i, MaxDecoded)
		}
	}
	if end < c.size && hop > next {
		return x, 0, corrupt("extent of entry %d reaches past entry %d", i, next)
	}
	x.Partial = head.partial || end > c.size
	x.Len = min(end, c.size) - x.Off
	c.place(&x, &head, blocks, i)
	if x.Exact && x.Pos%c.p.BlockSize+x.Size > c.p.BlockSize {
		return x, 0, corrupt("end of the file, %d bytes after the index, crosses a block boundary", x.Size)
	}
	return x, next, nil
}

// isTooLong reports whether an extent of so many entries, but for the first and the last, is
// refused whatever else is in it. That bounds the work for each extent: inodes can have
// indexes that overlap.
func (c *cursor) isTooLong(entries int64) bool {
	return c.h.Advise&AdviseFragment == 0 && entries > MaxDecoded/c.cluster+1
}

// place says where the extent x is stored, whose head is the entry i.
func (c *cursor) place(x *Extent, head *entry, blocks, i int64) {
	big := AdviseBig2
	switch head.kind {
	case plain:
		x.Algorithm, x.Rotated = Raw, c.h.Advise&AdviseInterlaced != 0
	case head1:
		x.Algorithm, big = c.h.Head1, AdviseBig1
	case head2:
		x.Algorithm = c.h.Head2
	}
	if c.h.Advise&big == 0 {
		blocks = 1
	}
	isTail := x.End() == c.size
	switch {
	case isTail && c.h.Tail != 0:
		x.Pos, x.Size, x.Exact = c.end(), int64(c.h.Tail), true
	case isTail && c.h.Advise&AdviseFragment != 0:
		x.Fragment, x.Pos = true, c.h.Fragment
		if c.h.Index == Full {
			x.Pos |= head.block << 32
		}
	default:
		x.Pos, x.Size = head.block*c.p.BlockSize, blocks*c.p.BlockSize
	}
}
