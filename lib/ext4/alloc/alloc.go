// Package alloc gives out the blocks of a disk in ascending order, around areas that
// are taken. It knows no format and depends on nothing.
package alloc

import (
	"math"
	"sort"
)

// Area is blocks that lie together.
type Area struct{ Start, N uint64 }

// End is the block just behind a.
func (a Area) End() uint64 { return a.Start + a.N }

// Cursor gives out blocks in ascending order, around areas that are taken.
type Cursor struct {
	Taken []Area // ascending
	i     int    // the first of them that does not end before next
	Next  uint64
}

// At is a cursor over the same disk that begins at block.
func (c *Cursor) At(block uint64) Cursor {
	i := sort.Search(len(c.Taken), func(i int) bool { return c.Taken[i].End() > block })
	return Cursor{Taken: c.Taken, i: i, Next: block}
}

// NextFree moves to the next free block.
func (c *Cursor) NextFree() uint64 {
	for c.i < len(c.Taken) && c.Taken[c.i].Start <= c.Next {
		c.Next = max(c.Next, c.Taken[c.i].End())
		c.i++
	}
	return c.Next
}

// Room is how many free blocks lie together from the next one on.
func (c *Cursor) Room() uint64 {
	c.NextFree()
	if c.i == len(c.Taken) {
		return math.MaxUint64 - c.Next
	}
	return c.Taken[c.i].Start - c.Next
}

// Piece takes the next blocks that lie together, n at most.
func (c *Cursor) Piece(n uint64) Area {
	a := Area{N: min(n, c.Room())}
	a.Start = c.Next
	c.Next = a.End()
	return a
}

// Pieces takes n blocks and calls fn for those that lie together.
func (c *Cursor) Pieces(n uint64, fn func(Area)) {
	for n > 0 {
		a := c.Piece(n)
		n -= a.N
		fn(a)
	}
}

// Whole takes the next n blocks that lie together, and leaves out what is too
// short for them.
func (c *Cursor) Whole(n uint64) uint64 {
	for c.Room() < n {
		c.Piece(n)
	}
	return c.Piece(n).Start
}
