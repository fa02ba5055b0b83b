package z

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Sizes of the records that are written. Linux 6.15 misreads those of 8 bytes at first.
const (
	recordWord  = 4  // the word alone: the extents have one size, and are stored one after the other
	recordFull  = 16 // that with 64 bits, and where the extent begins in the file
	recordLong  = 32 // that with 64 bits too
	maxSizeBits = 15 // log2 of the one size in blocks
)

// Records is the form of a list of encoded extents.
type Records struct {
	Size     int64 // bytes of a record
	SizeBits uint8 // log2 of the blocks of an extent, if Size is 4
	Count    int64
}

// RecordsOf chooses the form for the extents of a file in blocks of bs bytes: the shortest.
func RecordsOf(xs []Extent, bs int64) Records {
	r := Records{Size: recordFull, Count: int64(len(xs))}
	if xs[len(xs)-1].Off>>32 != 0 {
		r.Size = recordLong
	}
	unit := bs
	if len(xs) > 1 {
		unit = xs[0].Len
	}
	for unit < xs[0].Len {
		unit *= 2
	}
	if unit < bs || bits.OnesCount64(uint64(unit)) != 1 || unit > bs<<maxSizeBits {
		return r
	}
	for i := range xs {
		if i < len(xs)-1 && xs[i].Len != unit || xs[i].Len > unit || i > 0 && xs[i].Pos != xs[i-1].Pos+xs[i-1].Size {
			return r
		}
	}
	r.Size, r.SizeBits = recordWord, uint8(bits.TrailingZeros64(uint64(unit/bs)))
	return r
}

// Bytes is the length of the header at the offset at of the image and of the records.
func (r Records) Bytes(at int64) int64 {
	n := r.begin(at) - at + r.Size*r.Count
	if r.Size == recordWord {
		n += 8
	}
	return n
}

// begin is where the records begin.
func (r Records) begin(at int64) int64 {
	return (at + HeaderSize + r.Size - 1) / r.Size * r.Size
}

// AppendEncoded appends to b what follows the header at the offset at of the image in the list
// of xs, whose form is r:
//
//	off size meaning
//	  0    4 bytes stored in bits 0 to 20, Partial in bit 27, 0 or algorithm + 1 in bits 28 to 31
//	  4    8 where they are, in bytes     records of 16 bytes and more
//	 12    4 where the extent begins      the same
//	 16    4 the same, upper half         32
//	 20   12 0                            32
//
// Before records of 4 bytes are 8 bytes: where the first extent is stored (struct
// z_erofs_extent; Linux 6.15). The error wraps ErrNoIndex.
func (r Records) AppendEncoded(b []byte, at int64, xs []Extent) ([]byte, error) {
	le := binary.LittleEndian
	b = append(b, make([]byte, r.begin(at)-at-HeaderSize)...)
	if r.Size == recordWord {
		b = le.AppendUint64(b, uint64(xs[0].Pos))
	}
	end := int64(0)
	for i := range xs {
		x := &xs[i]
		if x.Off != end || x.Len <= 0 || x.Size < 0 || x.Size > sizeMask || x.Algorithm == Raw && x.Size > 0 && x.Size < x.Len {
			return b, fmt.Errorf("%w: %d+%d of %d bytes", ErrNoIndex, x.Off, x.Len, x.Size)
		}
		end = x.End()
		b = r.appendRecord(b, x)
	}
	return b, nil
}

// appendRecord appends the record of x to b.
func (r Records) appendRecord(b []byte, x *Extent) []byte {
	le := binary.LittleEndian
	word := uint32(x.Size)
	if x.Algorithm != Raw {
		word |= uint32(x.Algorithm+1) << algorithmShift
	}
	if x.Partial {
		word |= extentPartial
	}
	var raw [recordLong]byte
	le.PutUint32(raw[0:], word)
	le.PutUint64(raw[4:], uint64(x.Pos))
	if r.Size >= recordFull {
		le.PutUint64(raw[12:], uint64(x.Off))
	}
	return append(b, raw[:r.Size]...)
}
