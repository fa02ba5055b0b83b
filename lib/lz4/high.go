package lz4

// Sizes of the tables of high compression.
const (
	headLog   = 15
	chainSize = 1 << 16
	chunkSize = 4096 // positions that are parsed at once
	minChunk  = 256
	longMatch = 256 // a match of that length or more is taken as it is

	longestShort = minMatch + longNibble - 1 // the longest match that takes no byte more

	costByte  = 16 // unit of costs
	costGuess = 7  // what a byte of content is guessed to cost
)

// effort is what a level spends.
type effort struct {
	attempts int // candidates that are tried for each position
	enough   int // a match of that length is not tried to be bettered
}

var efforts = [Best + 1]effort{
	2:  {4, 16},
	3:  {8, 24},
	4:  {12, 32},
	5:  {16, 32},
	6:  {32, 64},
	7:  {64, 64},
	8:  {96, 64},
	9:  {128, 128},
	10: {256, 256},
	11: {512, 256},
	12: {4096, 256},
}

// high are the tables of high compression: chains of the positions whose first 4 bytes
// have the same hash, and the plan for a chunk.
type high struct {
	head  [1 << headLog]uint32 // position of the newest, as in begin
	chain [chainSize]uint16    // by position: distance to the one before, 0 if too far

	// For each position of the chunk: the longest match, and the cost of the best way on.
	// A way may lead beyond the chunk.
	length [chunkSize]uint16
	offset [chunkSize]uint16
	cost   [chunkSize + longMatch]int32
	run    [chunkSize + longMatch]int32 // literals that the way begins with
}

func highHash(word uint32) uint32 { return word * 2654435761 >> (32 - headLog) }

// match is where a match starts in the content, how far back it refers, and how long it is.
type match struct{ at, offset, length int }

// fillHigh is Fill for high compression. It goes by chunks of some thousand positions: find
// the longest match at each, plan the cheapest row of sequences, append it.
func (e *Encoder) fillHigh(dst, src []byte) (n, taken int) {
	b := block{dst: dst}
	h := e.high
	anchor, s, indexed := 0, 0, 0
	for {
		// From limit on a match is not allowed, or its literals leave it no room.
		room := len(dst) - b.n
		limit := min(len(src), anchor+room) - lastMatch + 1
		if s >= limit {
			return b.n, anchor + b.last(src[anchor:])
		}
		h.index(e.base, src, max(indexed, s-maxOffset), s)
		size, long := h.find(e.base, src, s, min(limit-s, chunkSize, max(room, minChunk)), efforts[e.level])
		indexed = min(s+size+1, limit)
		h.plan(size, long.length > 0)

		at, end := s, s+size
		for at < end || long.length > 0 {
			m := match{at, int(h.offset[(at-s)%chunkSize]), int(h.length[(at-s)%chunkSize])}
			if at >= end {
				m = match{at, long.offset, long.at + long.length - at}
				long.length = 0
			}
			if m.length < minMatch {
				at++
				continue
			}
			fits := b.sequence(src[anchor:at], m.offset, m.length)
			if fits > 0 {
				anchor = at + fits
			}
			if fits < m.length {
				return b.n, anchor + b.last(src[anchor:])
			}
			at = anchor
		}
		s = at
	}
}

// index puts the positions from up to to into the tables.
func (h *high) index(base uint32, src []byte, from, to int) {
	for p := from; p < min(to, len(src)-3); p++ {
		h.insert(base, p, load32(src, p))
	}
}

// insert puts the position p, where word is, into the tables, and returns the distance to
// the one before in its chain, 0 if there is none near enough.
func (h *high) insert(base uint32, p int, word uint32) uint32 {
	at := base + uint32(p)
	head := &h.head[highHash(word)]
	distance := at - *head
	if distance > maxOffset {
		distance = 0
	}
	*head = at
	h.chain[p%chainSize] = uint16(distance)
	return distance
}

// find finds the longest match at each of the size positions from s. It stops at a long
// match, which it returns with the number of positions before it.
func (h *high) find(base uint32, src []byte, s, size int, eff effort) (int, match) {
	best, offset := 0, 0
	for i := range size {
		p := s + i
		first := h.insert(base, p, load32(src, p))
		best-- // the match at the position before also is one here
		if best < minMatch {
			best, offset = minMatch-1, 0
		}
		if best < eff.enough && first > 0 {
			best, offset = h.longest(src, p, int(first), best, offset, eff)
			if best >= longMatch {
				return i, match{p, offset, best}
			}
		}
		h.length[i%chunkSize], h.offset[i%chunkSize] = uint16(best), uint16(offset)
	}
	return size, match{}
}

// longest returns the longest match at p, and its offset, of those in the chain whose first
// is distance before p. It is what the caller has if there is no longer one.
func (h *high) longest(src []byte, p, distance, best, offset int, eff effort) (int, int) {
	here := src[p : len(src)-lastLiterals]
	if best >= len(here) {
		return best, offset
	}
	// A longer match has the same 4 bytes here.
	word := load32(here, best-3)
	for range eff.attempts {
		if load32(src, p-distance+best-3) == word {
			if n := matchLength(src[p-distance:], here); n > best {
				best, offset = n, distance
				if best >= eff.enough || best >= len(here) {
					break
				}
				word = load32(here, best-3)
			}
		}
		back := int(h.chain[(p-distance)%chainSize])
		distance += back
		if back == 0 || distance > maxOffset {
			break
		}
	}
	return best, offset
}

// plan finds the cheapest way through size positions, and leaves in h.length the matches
// that are on it: where the way has a literal, the length is 0. Positions behind cost
// nothing if a long match follows, and otherwise a guess.
func (h *high) plan(size int, long bool) {
	for i := range longMatch {
		guess := 0
		if !long {
			guess = -i * costGuess
		}
		h.cost[size+i], h.run[size+i] = int32(guess), 0
	}
	for i := size - 1; i >= 0; i-- {
		run := h.run[i+1] + 1
		cost := h.cost[i+1] + costByte
		if run >= longNibble && (run-longNibble)%255 == 0 {
			cost += costByte
		}
		chosen := 0
		if length := int(h.length[i]); length >= minMatch {
			// A longer match leads to a place that is not dearer, unless it takes a byte more.
			if c := h.cost[i+min(length, longestShort)] + 3*costByte; c <= cost {
				cost, chosen, run = c, min(length, longestShort), 0
			}
			if length > longestShort {
				if c := h.cost[i+length] + 4*costByte; c <= cost {
					cost, chosen, run = c, length, 0
				}
			}
		}
		h.cost[i], h.run[i], h.length[i] = cost, run, uint16(chosen)
	}
}
