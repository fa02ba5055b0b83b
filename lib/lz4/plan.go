package lz4

// Costs of the plan, in 1/16 bytes.
const (
	costByte  = 16
	costGuess = 8 // of a byte of content of which nothing is known
)

// longestShort is the longest match that takes no byte besides token and offset.
const longestShort = minMatch + longNibble - 1

// way is the cheapest way from a position on.
type way struct {
	cost int32
	run  int32 // literals that it begins with
}

// plan finds the cheapest way through size positions, and leaves in h.length the matches
// that are on it: where the way has a literal, the length is 0. Positions behind cost
// nothing if a long match follows, and otherwise a guess.
//
// From the end to the beginning, the cheapest way on is a literal or the longest match. A
// shorter one leads to a place that is not cheaper, with one exception: it may save the byte
// that a longer match takes.
func (h *high) plan(size int, long bool) {
	for i := range max(1, h.reach-size+1) {
		guess := 0
		if !long {
			guess = -i * costGuess
		}
		h.ways[size+i] = way{cost: int32(guess)}
	}
	w := h.ways[size]
	for i := size - 1; i >= 0; i-- {
		w.cost += costByte
		w.run++
		if w.run >= longNibble && (w.run-longNibble)%255 == 0 {
			w.cost += costByte
		}
		if length := int(h.length[i&(chunkSize-1)]); length >= minMatch {
			chosen := 0
			if c := h.ways[i+min(length, longestShort)].cost + 3*costByte; c <= w.cost {
				w, chosen = way{cost: c}, min(length, longestShort)
			}
			if length > longestShort {
				if c := h.ways[i+length].cost + int32(3+extra(length-minMatch))*costByte; c <= w.cost {
					w, chosen = way{cost: c}, length
				}
			}
			h.length[i&(chunkSize-1)] = uint16(chosen)
		}
		h.ways[i] = w
	}
}
