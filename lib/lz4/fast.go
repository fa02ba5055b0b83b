package lz4

// Sizes of the table of the fast level.
const (
	fastLog  = 14
	smallLog = 12 // part that small blocks use
	fastSize = 1 << fastLog
)

// Blocks below these sizes use the small table, which stays in the nearest cache, and find
// matches by 4 bytes, not by 5. By 4 bytes more are found, but they are short, and push out
// of the table what is of more use, unless there is little content in any case.
const (
	smallBlock = 16 << 10
	tinyBlock  = 4 << 10
)

// fastTable has, for each hash of a few bytes, the newest position, as in begin, in the high
// half, and the 4 bytes there in the low one: most candidates that are none need no look at
// the content.
type fastTable struct {
	entries     [fastSize]uint64
	shift, drop int // what the hash drops of a word, and of the product
}

// size sets the table up for blocks of n bytes.
func (t *fastTable) size(n int) {
	t.shift, t.drop = 64-5*8, 64-fastLog
	if n < smallBlock {
		t.drop = 64 - smallLog
	}
	if n < tinyBlock {
		t.shift = 64 - 4*8
	}
}

func (t *fastTable) entry(word uint64) *uint64 {
	return &t.entries[word<<(t.shift&63)*0x9E3779B185EBCA87>>(t.drop&63)%fastSize]
}

// next returns the next position from anchor on where a match is known, and how far back
// that is: 0 if there is none before limit.
func (t *fastTable) next(base uint32, src []byte, anchor, limit int) (s, distance int) {
	for s = anchor; s < limit; s += 2 + (s-anchor)>>6 {
		word := load64(src, s) // two positions at once
		at := base + uint32(s)
		here, after := t.entry(word), t.entry(word>>8)
		candidate := *here
		*here = uint64(at)<<32 | uint64(uint32(word))
		candidate1 := *after
		*after = uint64(at+1)<<32 | uint64(uint32(word>>8))
		if uint32(candidate) == uint32(word) {
			if distance := at - uint32(candidate>>32); distance <= maxOffset {
				return s, int(distance)
			}
		}
		if uint32(candidate1) == uint32(word>>8) {
			if distance := at + 1 - uint32(candidate1>>32); distance <= maxOffset {
				return s + 1, int(distance)
			}
		}
	}
	return s, 0
}

// fillFast is Fill for the fast level: greedy, with one candidate for each position. The
// longer it finds nothing, the more positions it skips.
func (e *Encoder) fillFast(dst, src []byte) (n, taken int) {
	b := block{dst: dst}
	t := e.fast
	t.size(len(dst))
	anchor := 0
	for {
		// From limit on a match is not allowed, or its literals leave it no room.
		limit := min(len(src), anchor+len(dst)-b.n) - lastMatch
		s, distance := t.next(e.base, src, anchor, limit)
		if distance == 0 {
			return b.n, anchor + b.last(src[anchor:])
		}
		ref := s - distance
		length := minMatch + matchLength(src[ref+minMatch:], src[s+minMatch:len(src)-lastLiterals])
		for s > anchor && ref > 0 && src[s-1] == src[ref-1] {
			s, ref, length = s-1, ref-1, length+1
		}
		fits := b.sequence(src[anchor:s], distance, length)
		if fits > 0 {
			anchor = s + fits
		}
		if fits < length {
			return b.n, anchor + b.last(src[anchor:])
		}
		if anchor <= len(src)-lastMatch {
			word := load64(src, anchor-2)
			*t.entry(word) = uint64(e.base+uint32(anchor-2))<<32 | uint64(uint32(word))
		}
	}
}
