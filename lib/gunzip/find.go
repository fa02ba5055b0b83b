package gunzip

import (
	"encoding/binary"
	"math/bits"
)

// headerRoom is an upper bound for the header of a block, in bytes: 17 bits, 19
// lengths of three bits, and 316 lengths of up to 7 bits with 7 extra bits.
const headerRoom = 600

// findHeader returns the first bit of b, at or after from, where the header of a block
// with dynamic codes may begin that is not the last block. It returns -1 if there is
// none, or none that b is sure to hold completely.
func findHeader(b []byte, from int) int {
	for at := from; at>>3+headerRoom <= len(b); {
		// At least 57 bits are loaded. Such a header begins with 0 (not the last
		// block) and 0 1 (dynamic codes).
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

// plausible reports whether the header at bit announces symbols that exist, and a
// complete code for the code lengths. One random bit position in thousands passes.
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

// taken is how many of the codes of seven bits are taken by four codes whose lengths
// are packed in the index, three bits each.
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
