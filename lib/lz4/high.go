package lz4

// Sizes of the tables of high compression.
const (
	headLog   = 17
	chainSize = 1 << 17 // more than an offset and a long match
	chunkSize = 8192    // positions that are planned at once
	minChunk  = 256
	longMatch = 1024 // a match of that length or more is taken as it is
	budget    = 64   // candidates for each position of a chunk, on average
)

// effort is what a level spends.
type effort struct {
	attempts int  // candidates that are tried for each position that is searched
	every    bool // search at every position, not only where a match may end
}

var efforts = [Best + 1]effort{
	2:  {2, false},
	3:  {3, false},
	4:  {4, false},
	5:  {6, false},
	6:  {8, false},
	7:  {10, false},
	8:  {12, false},
	9:  {15, false},
	10: {128, true},
	11: {512, true},
	12: {2048, true},
}

// high are the tables of high compression.
type high struct {
	head  [1 << headLog]uint32 // for each hash of 4 bytes: the newest position, as in begin
	chain [chainSize]uint16    // for each position: distance to the one before of the same hash, 0 if none is near

	indexed int // positions of src that are in the tables

	start, size int // the chunk, in src
	budget      int // candidates that may be tried there before searches become short

	// For each position of the chunk: the longest match that is known, and the best way on.
	length [chunkSize]uint16
	offset [chunkSize]uint16
	ways   [chunkSize + longMatch]way
	reach  int // where the last match ends, from the beginning of the chunk
}

// match is where a match starts in the content, how far back it refers, and how long it is.
type match struct{ at, offset, length int }

// fillHigh is Fill for high compression. It goes by chunks of some thousand positions: find
// the matches, plan the cheapest row of sequences, append it.
func (e *Encoder) fillHigh(dst, src []byte) (n, taken int) {
	b := block{dst: dst}
	h := e.high
	h.indexed = 0
	anchor, s := 0, 0
	for limit := len(src) - lastMatch + 1; s < limit; {
		// A chunk that is larger than the room would mostly be of no use.
		size := min(limit-s, chunkSize, max(len(dst)-b.n, minChunk))
		h.indexed = max(h.indexed, s-maxOffset)
		size, long := h.find(e.base, src, s, size, efforts[e.level])
		h.plan(size, long.length > 0)

		end := s + size
		for s < end || long.length > 0 {
			var m match
			if s < end {
				i := (s + size - end) & (chunkSize - 1)
				m = match{s, int(h.offset[i]), int(h.length[i])}
			} else {
				m = match{s, long.offset, long.at + long.length - s}
				long.length = 0
			}
			if m.length < minMatch {
				s++
				continue
			}
			fits := b.sequence(src[anchor:s], m.offset, m.length)
			if fits > 0 {
				anchor = s + fits
			}
			if fits < m.length {
				return b.n, anchor + b.last(src[anchor:])
			}
			s = anchor
		}
		if s-anchor > len(dst)-b.n {
			break
		}
	}
	return b.n, anchor + b.last(src[anchor:])
}

// index puts the positions before end into the tables.
func (h *high) index(base uint32, src []byte, end int) {
	for i := h.indexed; i < end; i++ {
		at := base + uint32(i)
		head := &h.head[load32(src, i)*2654435761>>(32-headLog)]
		distance := at - *head
		if distance > maxOffset {
			distance = 0
		}
		*head = at
		h.chain[i&(chainSize-1)] = uint16(distance)
	}
	h.indexed = max(h.indexed, end)
}

// find finds the matches at the size positions from s. It stops at a long match, which it
// returns with the number of positions before it.
//
// Where a match is known that ends at end, a match that starts within it is of use only if
// it goes beyond end. If it does, it has the 4 bytes from end-3 on in it. So it is enough to
// search there, and to extend backwards what was found. That misses a few: a match that
// goes less far than another, but starts earlier.
func (h *high) find(base uint32, src []byte, s, size int, eff effort) (int, match) {
	clear(h.length[:size])
	h.start, h.size, h.reach, h.budget = s, size, 0, size*budget
	for p := s; p < s+size; {
		known := max(minMatch-1, int(h.length[(p-s)&(chunkSize-1)]))
		h.index(base, src, p+known-2)
		link := 0
		if known >= minMatch {
			link = h.rarest(p, known-2) // a longer match has the 4 bytes from each of these on in it
		}
		first := int(h.chain[(p+link)&(chainSize-1)])
		if first == 0 || first > p {
			p++
			continue
		}
		m := h.longest(src, match{at: p, length: known}, link, first, eff)
		if m.offset > 0 && m.length < longMatch {
			h.note(m)
		}
		switch {
		case m.length >= longMatch:
			start := p - backLength(src, p, m.offset, h.floor(p, eff))
			return start - s, match{start, m.offset, p + m.length - start}
		case m.length < minMatch, eff.every:
			p++
		default:
			p += m.length - minMatch + 1
		}
	}
	return size, match{}
}

// floor is where a match may start that was found at p and is extended backwards. There is
// no need for that if all positions are searched.
func (h *high) floor(p int, eff effort) int {
	if eff.every {
		return p
	}
	return h.start
}

// longest returns the longest match at m.at, or m if none is longer. It notes those that
// start earlier. Candidates are what is in the chain of the position link behind, the first of them
// distance before.
func (h *high) longest(src []byte, m match, link, distance int, eff effort) match {
	p := m.at
	here := src[p : len(src)-lastLiterals]
	if m.length >= len(here) {
		return m
	}
	earliest, floor := p, h.floor(p, eff)
	word := load32(here, m.length-3)
	attempts := eff.attempts
	if h.budget < 0 {
		attempts = min(attempts, efforts[Default].attempts)
	}
	spent := 0
	for range attempts {
		spent++
		q := p - distance
		if load32(src, q+m.length-3) == word { // a longer match has the same 4 bytes here
			n := matchLength(src[q:], here)
			spent += n / 16
			if n > m.length {
				m.offset, m.length = distance, n
				if n >= longMatch || n == len(here) {
					break
				}
				if back := backLength(src, p, distance, floor); back > 0 {
					earliest = min(earliest, p-back)
					h.note(match{p - back, distance, back + n})
				}
				word = load32(here, n-3)
				link = h.rarest(q, min(n-3, distance)) // the n bytes are the same at q
			}
		} else if m.length >= minMatch && earliest > max(floor, distance) &&
			src[earliest-1-distance] == src[earliest-1] && load32(src, q) == load32(here, 0) {
			if back := backLength(src, p, distance, floor); p-back < earliest {
				earliest = p - back
				h.note(match{earliest, distance, back + matchLength(src[q:], here)})
			}
		}
		back := int(h.chain[(q+link)&(chainSize-1)])
		distance += back
		if back == 0 || distance > min(maxOffset, p) {
			break
		}
	}
	h.budget -= spent
	return m
}

// rarest returns which of the first n positions from q on, of which it looks at some, has the
// widest link in its chain, or has none. If matches that are looked for have the 4 bytes from
// each of these on in them, none is nearer than that.
func (h *high) rarest(q, n int) (link int) {
	widest := 0
	for k := max(0, n-128); k < n; k++ {
		back := int(h.chain[(q+k)&(chainSize-1)])
		if back == 0 {
			return k
		}
		if back > widest {
			link, widest = k, back
		}
	}
	return link
}

// note enters m at all positions of the chunk where it is the longest so far.
func (h *high) note(m match) {
	end := m.at + m.length - h.start
	h.reach = max(h.reach, end)
	for i := m.at - h.start; i < min(end-minMatch+1, h.size); i++ {
		if end-i <= int(h.length[i&(chunkSize-1)]) {
			break // one that was noted goes as far, or farther
		}
		h.length[i&(chunkSize-1)], h.offset[i&(chunkSize-1)] = uint16(end-i), uint16(m.offset)
	}
}

// backLength is by how much a match at p can be extended backwards, to floor at most.
func backLength(src []byte, p, offset, floor int) int {
	start := p
	for start > max(floor, offset) && src[start-1] == src[start-1-offset] {
		start--
	}
	return p - start
}
