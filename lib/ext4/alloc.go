package ext4

import (
	"math"
	"sort"
)

// area is blocks that lie together.
type area struct{ start, n uint64 }

func (a area) end() uint64 { return a.start + a.n }

// cursor gives out blocks in ascending order, around areas that are taken.
type cursor struct {
	taken []area // ascending
	i     int    // the first of them that does not end before next
	next  uint64
}

// at is a cursor over the same disk that begins at block.
func (c *cursor) at(block uint64) cursor {
	i := sort.Search(len(c.taken), func(i int) bool { return c.taken[i].end() > block })
	return cursor{taken: c.taken, i: i, next: block}
}

// settle moves to the next free block.
func (c *cursor) settle() uint64 {
	for c.i < len(c.taken) && c.taken[c.i].start <= c.next {
		c.next = max(c.next, c.taken[c.i].end())
		c.i++
	}
	return c.next
}

// room is how many free blocks lie together from the next one on.
func (c *cursor) room() uint64 {
	c.settle()
	if c.i == len(c.taken) {
		return math.MaxUint64 - c.next
	}
	return c.taken[c.i].start - c.next
}

// piece takes the next blocks that lie together, n at most.
func (c *cursor) piece(n uint64) area {
	a := area{n: min(n, c.room())}
	a.start = c.next
	c.next = a.end()
	return a
}

// pieces takes n blocks and calls fn for those that lie together.
func (c *cursor) pieces(n uint64, fn func(area)) {
	for n > 0 {
		a := c.piece(n)
		n -= a.n
		fn(a)
	}
}

// whole takes the next n blocks that lie together, and leaves out what is too
// short for them.
func (c *cursor) whole(n uint64) uint64 {
	for c.room() < n {
		c.piece(n)
	}
	return c.piece(n).start
}
