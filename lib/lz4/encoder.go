package lz4

import (
	"encoding/binary"
	"math/bits"
)

// MaxTaken is how many bytes a block holds at most: what liblz4 allows.
const MaxTaken = 0x7E000000

// Levels of compression. From 2 on it is high compression, with more candidates for each
// match at each level: what 9 makes is about a tenth smaller than what Fast makes, and takes
// ten times as long; Best makes 0.2 % less of it. Decoding is equally fast.
const (
	Fast    = 1
	Default = 9 // of high compression
	Best    = 12
)

// An Encoder compresses one block after the other. It holds tables that are expensive to
// make, nothing else: a block depends only on the level and on what Fill is given, not on
// what was compressed before. It is not safe for concurrent use.
type Encoder struct {
	level int
	base  uint32     // position of src[0] in the tables, see begin
	fast  *fastTable // for level Fast
	high  *high      // for the others
}

// NewEncoder returns an Encoder for a level from [Fast] to [Best]; a level outside is taken
// for the nearer of the two.
func NewEncoder(level int) *Encoder {
	e := &Encoder{level: min(max(level, Fast), Best), base: maxOffset + 1}
	if e.level == Fast {
		e.fast = new(fastTable)
	} else {
		e.high = new(high)
	}
	return e
}

// Fill compresses as much of the beginning of src as fits dst to one block: the first n
// bytes of dst hold the first taken bytes of src, and [Decode] of them yields those. How
// well it compresses, and so taken, also depends on the bytes behind; but of these Fill looks
// only at as many as dst could hold at best, 256 times its size. It takes
// all of src if that fits, and no more than [MaxTaken].
//
// Content that does not compress takes more room than without compression: taken is less
// than n then. An empty content is a block of one byte. An empty dst has no room for any
// block: Fill returns 0, 0.
//
// The bytes behind n in dst are undefined. dst and src must not overlap.
func (e *Encoder) Fill(dst, src []byte) (n, taken int) {
	if len(dst) == 0 {
		return 0, 0
	}
	size := min(len(src), MaxTaken)
	if len(dst) < MaxTaken>>8 {
		size = min(size, len(dst)<<8)
	}
	src = src[:size:size]
	e.begin(len(src))
	defer e.end(len(src))
	if e.level == Fast {
		return e.fillFast(dst, src)
	}
	return e.fillHigh(dst, src)
}

// begin makes the tables forget what they hold, for a src of size bytes. Entries of the
// tables are positions in all that was ever compressed, and a gap before each src is as wide
// as an offset can be: older entries are too far away to be used. When the positions are used
// up, the tables are cleared.
func (e *Encoder) begin(size int) {
	if uint64(e.base)+uint64(size)+maxOffset+1 > 1<<32-1 {
		e.base = maxOffset + 1
		if e.level == Fast {
			clear(e.fast.entries[:])
		} else {
			clear(e.high.head[:])
		}
	}
}

// end ends what begin began.
func (e *Encoder) end(size int) { e.base += uint32(size) + maxOffset + 1 }

// load32 and load64 read src[i:].
func load32(src []byte, i int) uint32 { return binary.LittleEndian.Uint32(src[i:]) }
func load64(src []byte, i int) uint64 { return binary.LittleEndian.Uint64(src[i:]) }

// matchLength is how many bytes of a and b are equal, b being the shorter.
func matchLength(a, b []byte) int {
	a = a[:len(b)]
	n := 0
	for ; n <= len(b)-8; n += 8 {
		if x := load64(a, n) ^ load64(b, n); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
