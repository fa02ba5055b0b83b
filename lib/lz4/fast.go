package lz4

import "encoding/binary"

// Sizes of the table of the fast level.
const (
	fastLog  = 14
	smallLog = 12
	fastSize = 1 << fastLog
)

// Content of small blocks has few matches, and short ones count: they are found by 4 bytes.
// In larger blocks 5 bytes are better, because the table keeps less of what is of no use.
const smallBlock = 16 << 10

// fillFast is Fill for the fast level: greedy, with one candidate for each position.
func (e *Encoder) fillFast(dst, src []byte) (n, taken int) {
	b := block{dst: dst}
	base, table := e.base, e.fast
	shift, drop := 64-5*8, 64-fastLog
	if len(dst) < smallBlock {
		shift, drop = 64-4*8, 64-smallLog
	}
	hash := func(word uint64) uint64 {
		return word << (shift & 63) * 0x9E3779B185EBCA87 >> (drop & 63) & (fastSize - 1)
	}
	anchor, s := 0, 0
	for {
		// At limit a match is not allowed, or its literals leave it no room.
		limit := min(len(src)-lastMatch, anchor+len(dst)-b.n-lastMatch)
		var ref int
		for {
			if s >= limit {
				return b.n, anchor + b.last(src[anchor:])
			}
			word := load64(src, s)
			h, h1 := hash(word), hash(word>>8)
			at := base + uint32(s)
			c := table[h]
			table[h] = uint64(at)<<32 | uint64(uint32(word))
			c1 := table[h1]
			table[h1] = uint64(at+1)<<32 | uint64(uint32(word>>8))
			if uint32(c) == uint32(word) {
				if distance := at - uint32(c>>32); distance <= maxOffset {
					ref = s - int(distance)
					break
				}
			}
			if uint32(c1) == uint32(word>>8) {
				if distance := at + 1 - uint32(c1>>32); distance <= maxOffset {
					s++
					ref = s - int(distance)
					break
				}
			}
			s += 2 + (s-anchor)>>6
		}
		for s > anchor && ref > 0 && src[s-1] == src[ref-1] {
			s, ref = s-1, ref-1
		}
		length := minMatch + matchLength(src[ref+minMatch:], src[s+minMatch:len(src)-lastLiterals])
		literals := s - anchor
		if literals < longNibble && length < minMatch+longNibble && b.n <= len(dst)-48 && anchor <= len(src)-16 {
			out := dst[b.n:][:32]
			*(*[16]byte)(out[1:]) = *(*[16]byte)(src[anchor:])
			out[0] = byte(literals<<4 | (length - minMatch))
			binary.LittleEndian.PutUint16(out[1+literals:], uint16(s-ref))
			b.n += literals + 3
			s += length
			anchor = s
		} else {
			fits := b.sequence(src[anchor:s], s-ref, length)
			if fits > 0 {
				anchor = s + fits
			}
			if fits < length {
				return b.n, anchor + b.last(src[anchor:])
			}
			s = anchor
		}
		if s <= len(src)-lastMatch {
			word := load64(src, s-2)
			table[hash(word)] = uint64(base+uint32(s-2))<<32 | uint64(uint32(word))
		}
	}
}
