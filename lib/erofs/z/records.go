package z

import (
	"encoding/binary"
	"sync"
)

// Encoded extents, struct z_erofs_extent. The records begin at the next multiple of their
// length after the header; records of 4 bytes are preceded by 8 bytes, where the first extent
// is stored, and the others follow it without gaps.
//
//	off size field     meaning
//	  0    4 size      bits 0-20: length of what is stored, bytes; 0: a hole
//	         partial   bit 27
//	         algorithm bits 28-31: its number and 1; 0: not compressed
//	  4    4 position  low 32 bits; records of 8 bytes have no more
//	  8    4           high 32 bits
//	 12    4 offset    in the file, low 32 bits
//	 16    4           high 32 bits; records of 16 bytes have none
//	 20   12 -         0
//
// The extents of records of 4 and 8 bytes all have the length that the header says. The last
// extent of a file with AdviseFragment is a part of the packed inode, at size as a number of
// 32 bits, and with position as its upper half.
const (
	sizeMask       = 1<<21 - 1
	extentPartial  = 1 << 27
	algorithmShift = 28

	sumDistance = windowSize // records between two known sums
)

// placeRecords finds the records.
func (c *cursor) placeRecords() {
	size := c.h.Advise.RecordSize()
	c.base = (c.base + size - 1) &^ (size - 1)
	if size == 4 {
		c.base += 8
	}
	if size > 8 {
		c.n = c.h.Extents
	}
}

// findRecord is find for encoded extents.
func (c *cursor) findRecord(off int64) (x Extent, next int64, err error) {
	if c.h.Advise.RecordSize() <= 8 {
		return c.load(off / c.cluster)
	}
	from, to := int64(0), c.n // the record is before to, or the first of them is after off
	end := c.size
	for from < to {
		mid := from + (to-from)/2
		at, err := c.offset(mid)
		switch {
		case err != nil:
			return x, 0, err
		case at <= off:
			from = mid + 1
		case at > end:
			return x, 0, corrupt("extent %d begins at %d, after %d", mid, at, end)
		default:
			to, end = mid, at
		}
	}
	if from == 0 {
		return Extent{Len: end, Algorithm: Raw}, 0, nil
	}
	return c.load(from - 1)
}

// offset is where the extent of record i begins in the file; the size of the file for the
// number of records.
func (c *cursor) offset(i int64) (int64, error) {
	if i == c.n {
		return c.size, nil
	}
	size := c.h.Advise.RecordSize()
	b, err := c.bytes(c.base+i*size, size)
	if err != nil {
		return 0, err
	}
	off := uint64(binary.LittleEndian.Uint32(b[12:]))
	if size > 16 {
		off |= uint64(binary.LittleEndian.Uint32(b[16:])) << 32
	}
	if off > uint64(c.size) {
		return 0, corrupt("extent %d begins at %d in a file of %d bytes", i, off, c.size)
	}
	return int64(off), nil
}

// record returns the extent of record i.
func (c *cursor) record(i int64) (x Extent, err error) {
	if i >= c.n {
		return x, corrupt("%d extents are too few for the file", c.n)
	}
	size := c.h.Advise.RecordSize()
	x.Off, x.Len = i*c.cluster, min(c.cluster, c.size-i*c.cluster)
	if size > 8 {
		var end int64
		if x.Off, err = c.offset(i); err == nil {
			end, err = c.offset(i + 1)
		}
		if err == nil && end <= x.Off {
			err = corrupt("extent %d does not begin after %d", i+1, x.Off)
		}
		if err != nil {
			return x, err
		}
		x.Len = end - x.Off
	}
	if size == 4 {
		if x.Pos, err = c.position(i); err != nil {
			return x, err
		}
	}
	b, err := c.bytes(c.base+i*size, size)
	if err != nil {
		return x, err
	}
	if size >= 8 {
		x.Pos = int64(binary.LittleEndian.Uint32(b[4:]))
	}
	if size >= 16 {
		x.Pos |= int64(binary.LittleEndian.Uint32(b[8:])) << 32
	}
	c.setRecord(&x, binary.LittleEndian.Uint32(b), i == c.n-1)
	return x, nil
}

// setRecord sets in x, which has its position, what the first word of its record says.
func (c *cursor) setRecord(x *Extent, word uint32, last bool) {
	x.Algorithm = Raw
	if last && c.h.Advise&AdviseFragment != 0 {
		x.Fragment = true
		if c.h.Advise.RecordSize() > 4 {
			x.Pos = x.Pos<<32 | int64(word)
		} else {
			x.Pos = int64(word)
		}
		return
	}
	if x.Size = int64(word & sizeMask); x.Size == 0 {
		x.Pos = 0
		return
	}
	x.Exact, x.Partial = true, word&extentPartial != 0
	if a := word >> algorithmShift; a > 0 {
		x.Algorithm = Algorithm(a - 1)
	} else if c.h.Advise&AdviseInterlaced != 0 && (x.Pos|x.Size)%c.p.BlockSize == 0 {
		x.Rotated = true
	}
}

// sums has the positions of some extents with records of 4 bytes, so that not all sizes before
// an extent have to be added for each.
type sums struct {
	mu sync.Mutex
	at []int64 // of each extent whose number is a multiple of sumDistance, as far as known
}

// position returns where the extent i with a record of 4 bytes is stored.
func (c *cursor) position(i int64) (int64, error) {
	s := c.sums.Load()
	if s == nil {
		c.sums.CompareAndSwap(nil, new(sums))
		s = c.sums.Load()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) == 0 {
		b, err := c.bytes(c.base-8, 8)
		if err != nil {
			return 0, err
		}
		s.at = append(s.at, int64(binary.LittleEndian.Uint64(b)))
	}
	known := min(i/sumDistance, int64(len(s.at))-1)
	at, k := s.at[known], known*sumDistance
	if k < c.summed && c.summed <= i {
		at, k = c.sum, c.summed
	}
	for ; k < i; k++ {
		b, err := c.bytes(c.base+k*4, 4)
		if err != nil {
			return 0, err
		}
		at += int64(binary.LittleEndian.Uint32(b) & sizeMask)
		if (k+1)%sumDistance == 0 && (k+1)/sumDistance == int64(len(s.at)) {
			s.at = append(s.at, at)
		}
	}
	c.summed, c.sum = i, at
	return at, nil
}
