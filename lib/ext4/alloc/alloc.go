// Package alloc gives out the blocks of a disk in ascending order, around areas that
// are taken. It knows no on-disk format and depends on no other package.
package alloc

import (
	"math"
	"sort"
)

// Area is N consecutive blocks from Start on.
type Area struct{ Start, N uint64 }

// End is the first block after a.
func (a Area) End() uint64 { return a.Start + a.N }

// Cursor gives out blocks in ascending order, around areas that are taken.
type Cursor struct {
	Taken []Area // ascending
	i     int    // the first of Taken that does not end before Next
	Next  uint64 // no block before it is given out any more
}

// At returns a cursor over the same disk that begins at block.
func (c *Cursor) At(block uint64) Cursor {
	i := sort.Search(len(c.Taken), func(i int) bool { return c.Taken[i].End() > block })
	return Cursor{Taken: c.Taken, i: i, Next: block}
}

// NextFree moves Next to the next free block and returns it.
func (c *Cursor) NextFree() uint64 {
	for c.i < len(c.Taken) && c.Taken[c.i].Start <= c.Next {
		c.Next = max(c.Next, c.Taken[c.i].End())
		c.i++
	}
	return c.Next
}

// Room moves to the next free block and returns how many consecutive blocks from there on
// are free.
func (c *Cursor) Room() uint64 {
	c.NextFree()
	if c.i == len(c.Taken) {
		return math.MaxUint64 - c.Next
	}
	return c.Taken[c.i].Start - c.Next
}

// Piece takes the next consecutive free blocks, n at most.
func (c *Cursor) Piece(n uint64) Area {
	a := Area{N: min(n, c.Room())}
	a.Start = c.Next
	c.Next = a.End()
	return a
}

// Pieces takes the next n free blocks and calls fn for each area of consecutive ones.
func (c *Cursor) Pieces(n uint64, fn func(Area)) {
	for n > 0 {
		a := c.Piece(n)
		n -= a.N
		fn(a)
	}
}

// Whole takes the next n consecutive blocks and returns the first of them. It passes over
// areas that are too short, which are not given out later.
func (c *Cursor) Whole(n uint64) uint64 {
	for c.Room() < n {
		c.Piece(n)
	}
	return c.Piece(n).Start
}
