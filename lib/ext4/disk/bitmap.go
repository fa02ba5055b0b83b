package disk

import (
	"encoding/binary"
	"math/bits"
)

// SetBits sets the bits of b from first up to but not including end.
func SetBits(b []byte, first, end uint64) {
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

// CountOnes is how many bits of b are set. The length of b is a multiple of 8.
func CountOnes(b []byte) (n uint32) {
	for ; len(b) > 0; b = b[8:] {
		n += uint32(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	return n
}

// ClearBits clears the bits of b from from up to but not including to.
func ClearBits(b []byte, from, to uint64) {
	for ; from < to; from++ {
		b[from/8] &^= 1 << (from % 8)
	}
}

// CountBits is how many bits of b are set from from up to but not including to.
func CountBits(b []byte, from, to uint64) (n int) {
	for ; from < to; from++ {
		n += int(b[from/8] >> (from % 8) & 1)
	}
	return n
}
