package lz4

// Sizes of the table of the fast level.
const (
	fastLog  = 14
	fastSize = 1 << fastLog
)

// fastHash hashes the first 5 bytes of a word.
func fastHash(word uint64) uint32 {
	return uint32((word << 24) * 0x9E3779B185EBCA87 >> (64 - fastLog))
}

// fillFast is Fill for the fast level: greedy, with one candidate for each position.
func (e *Encoder) fillFast(dst, src []byte) (n, taken int) {
	b := block{dst: dst}
	base, table := e.base, &e.table
	anchor, s := 0, 0
	for {
		// Behind limit a match is not allowed, or its literals leave it no room.
		limit := min(len(src)-lastMatch, anchor+len(dst)-b.n-lastMatch)
		var ref int
		for {
			if s > limit {
				return b.n, anchor + b.last(src[anchor:])
			}
			word := load64(src, s)
			h := fastHash(word)
			distance := base + uint32(s) - table[h]
			table[h] = base + uint32(s)
			if distance <= maxOffset {
				ref = s - int(distance)
				if load32(src, ref) == uint32(word) {
					break
				}
			}
			s += 1 + (s-anchor)>>6
		}
		for s > anchor && ref > 0 && src[s-1] == src[ref-1] {
			s, ref = s-1, ref-1
		}
		length := minMatch + matchLength(src[ref+minMatch:], src[s+minMatch:len(src)-lastLiterals])
		fits := b.sequence(src[anchor:s], s-ref, length)
		if fits > 0 {
			anchor = s + fits
		}
		if fits < length {
			return b.n, anchor + b.last(src[anchor:])
		}
		s = anchor
		if s <= len(src)-lastMatch {
			table[fastHash(load64(src, s-2))] = base + uint32(s-2)
		}
	}
}
