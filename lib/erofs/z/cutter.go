package z

import (
	"fmt"
	"math/bits"
)

// Encoding says how a Cutter compresses.
type Encoding struct {
	Algorithm Algorithm
	Level     int   // see CheckLevel
	PCluster  int64 // most bytes of a cluster: whole blocks, a power of two, at most MaxEncoded, and less than 2048 blocks unless Exact
	BlockSize int64

	// Exact is for encoded extents: clusters are as long as what is stored, and all but the
	// last extent have the length Piece. The first cluster has to begin at a multiple of
	// ExactAlign.
	Exact bool
}

// ExactAlign is the alignment in bytes of a file whose clusters are Exact.
const ExactAlign = 16

// unit is what the length of a cluster is a multiple of, unless it is the last one and raw.
//
// Linux reads a stream of deflate page by page, and fails if the last page holds nothing but
// the mark of its end, which has at most 5 bytes. So it has to end at a multiple of ExactAlign.
func (p *Encoding) unit() int64 {
	switch {
	case !p.Exact:
		return p.BlockSize
	case p.Algorithm == Deflate:
		return ExactAlign
	}
	return 1
}

// Piece is how much content an extent begins with, in bytes: zstd and deflate compress that
// much and then change it a little, and with Exact every algorithm takes just that. It is a
// power of two.
func (p *Encoding) Piece() int64 {
	if p.Exact {
		return min(2*p.PCluster, MaxEncoded)
	}
	return 2 * p.PCluster
}

// WindowLog is log2 of the window of zstd, in bytes. It is as long as most extents, so that
// their frames need no more memory than that.
func (p *Encoding) WindowLog() uint8 {
	return uint8(min(max(bits.Len64(uint64(p.Piece())), MinWindowLog), MaxWindowLog))
}

// Validate returns an error if p is not valid.
func (p *Encoding) Validate() error {
	if n := p.PCluster; bits.OnesCount64(uint64(n)) != 1 || n < p.BlockSize || n > MaxEncoded {
		return fmt.Errorf("a cluster of %d bytes is not possible: want a power of two from %d (a block) to %d", n, p.BlockSize, MaxEncoded)
	} else if !p.Exact && n > maxCluster(p.BlockSize) {
		return fmt.Errorf("a cluster of %d bytes is not possible: it has %d blocks of %d, and an index counts up to %d", n, n/p.BlockSize, p.BlockSize, blockCount-1)
	}
	return CheckLevel(p.Algorithm, p.Level)
}

// Cut is an extent that a Cutter made.
type Cut struct {
	Len    uint32 // bytes of content
	stored uint32 // bytes of the cluster, with all its blocks; and rawCut
}

const rawCut = 1 << 31

// Raw reports whether the content is stored as it is.
func (c Cut) Raw() bool { return c.stored&rawCut != 0 }

// Stored is the length of the cluster in bytes.
func (c Cut) Stored() int64 { return int64(c.stored &^ rawCut) }

// AppendExtents appends to xs the extents of a file that was cut into cuts by p, and whose
// clusters begin at pos.
func (p *Encoding) AppendExtents(xs []Extent, cuts []Cut, pos int64) []Extent {
	off := int64(0)
	for _, c := range cuts {
		x := Extent{Off: off, Len: int64(c.Len), Pos: pos, Size: c.Stored(), Algorithm: p.Algorithm, Exact: p.Exact}
		if c.Raw() {
			x.Algorithm = Raw
		}
		xs = append(xs, x)
		off, pos = x.End(), pos+x.Size
	}
	return xs
}

// encoder is an algorithm with a level.
type encoder interface {
	// fill compresses the beginning of src to at most limit bytes, or all of src if exact.
	// It returns these bytes, valid until the next call, and how much of src they hold. If
	// that compresses badly, stored may be nil, and taken is how much should be stored raw.
	// last is the extent before src; it is zero if that was raw.
	fill(src []byte, exact bool, last Cut) (stored []byte, taken int)
	// promises looks at a little of src and reports whether it seems to compress.
	promises(src []byte) bool
}

// Cutter cuts content into extents and compresses them. Its output depends on nothing but the
// Encoding and the content. It is not safe for concurrent use.
type Cutter struct {
	Encoding
	Stopped func() bool // if not nil and true, Cut returns before the next extent, with what it has
	enc     encoder
}

// NewCutter makes a Cutter; p is valid.
func NewCutter(p Encoding) *Cutter {
	if p.Algorithm == LZ4 {
		return &Cutter{Encoding: p, enc: newLZ4(&p)}
	}
	return &Cutter{Encoding: p, enc: newSearcher(&p)}
}

// Content that has not compressed is stored raw, and as much as there was of it is skipped
// before the next try, within these limits.
const maxSkip = 64 << 10

// Cut appends to dst the clusters of src, one after the other, and to cuts its extents. src is
// a file, or a part of one that begins at a multiple of the block size, and of Piece if Exact;
// so is its end, unless it is the end of the file.
func (c *Cutter) Cut(dst []byte, cuts []Cut, src []byte) ([]byte, []Cut) {
	failed := 0 // bytes that have not compressed, right before src
	last := Cut{}
	for len(src) > 0 && (c.Stopped == nil || !c.Stopped()) {
		var stored []byte
		n := min(failed, maxSkip)
		if failed == 0 || c.enc.promises(src) {
			stored, n = c.enc.fill(src, c.Exact, last)
		}
		room := c.room(len(stored))
		if stored == nil || room >= int64(n) {
			n = c.whole(src, int64(n))
			dst, cuts = c.raw(dst, cuts, src[:n])
			failed += n
			last = Cut{}
		} else {
			dst = append(dst, make([]byte, room-int64(len(stored)))...)
			dst = append(dst, stored...)
			last = Cut{uint32(n), uint32(room)}
			cuts = append(cuts, last)
			failed = 0
		}
		src = src[n:]
	}
	return dst, cuts
}

// raw stores p as it is.
func (c *Cutter) raw(dst []byte, cuts []Cut, p []byte) ([]byte, []Cut) {
	for _, cut := range c.RawCuts(int64(len(p))) {
		dst = append(dst, p[:cut.Len]...)
		dst = append(dst, make([]byte, cut.Stored()-int64(cut.Len))...)
		cuts = append(cuts, cut)
		p = p[cut.Len:]
	}
	return dst, cuts
}

// whole is n in whole blocks, or all of src; with Exact in pieces.
func (c *Cutter) whole(src []byte, n int64) int {
	unit := c.BlockSize
	if c.Exact {
		unit = c.Piece()
	}
	return int(min(max(n/unit, 1)*unit, int64(len(src))))
}

// room is the length of a cluster for n bytes.
func (c *Cutter) room(n int) int64 {
	unit := c.unit()
	return (int64(n) + unit - 1) / unit * unit
}

// RawCuts are the cuts of n bytes of content, a part of a file as for Cut, that are stored as
// they are.
func (p *Encoding) RawCuts(n int64) (cuts []Cut) {
	if !p.Exact {
		return []Cut{{uint32(n), uint32((n+p.BlockSize-1)/p.BlockSize*p.BlockSize) | rawCut}}
	}
	for ; n > 0; n -= p.Piece() {
		k := uint32(min(n, p.Piece()))
		cuts = append(cuts, Cut{k, k | rawCut})
	}
	return cuts
}
