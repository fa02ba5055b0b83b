package gunzip

import (
	"encoding/binary"
	"math/bits"
)

// headerRoom is more than the header of a block takes: 17 bits, 19 lengths of three
// bits, and 316 lengths of up to 7 bits and 7 more, in bytes.
const headerRoom = 600

// findHeader returns the first bit of b, from the given one on, where the header of
// a block may begin that has codes of its own and is not the last; -1 if there is
// none, or so late that b may not hold it whole.
func findHeader(b []byte, from int) int {
	for at := from; at>>3+headerRoom <= len(b); {
		// There are 57 bits at least. A header begins with 0, for a block that is
		// not the last, and 0 1, for codes of its own.
		const n = 54
		w := binary.LittleEndian.Uint64(b[at>>3:]) >> (at & 7)
		for m := ^w & (^w >> 1) & (w >> 2) & (1<<n - 1); m != 0; m &= m - 1 {
			if bit := at + bits.TrailingZeros64(m); plausible(b, bit) {
				return bit
			}
		}
		at += n
	}
	return -1
}

// plausible tells whether the header at bit announces symbols that exist, and a
// code for the lengths of codes that is complete. One in thousands of random ones
// does.
func plausible(b []byte, bit int) bool {
	w := binary.LittleEndian.Uint64(b[bit>>3:]) >> (bit & 7)
	if w>>3&31 > maxLitCodes-257 || w>>8&31 > maxDistCodes-1 {
		return false
	}
	n := (w>>13&15 + 4) * 3
	bit += 17
	w = binary.LittleEndian.Uint64(b[bit>>3:]) >> (bit & 7) & (1<<n - 1)
	return taken[w&0xfff]+taken[w>>12&0xfff]+taken[w>>24&0xfff]+taken[w>>36&0xfff]+taken[w>>48&0xfff] == 1<<lengthBits
}

// taken is how many of all codes of seven bits the codes take whose lengths are in
// four groups of three bits.
var taken = func() (t [1 << 12]uint16) {
	for i := range t {
		for lens := i; lens != 0; lens >>= 3 {
			if n := lens & 7; n > 0 {
				t[i] += 1 << (lengthBits - n)
			}
		}
	}
	return
}()
