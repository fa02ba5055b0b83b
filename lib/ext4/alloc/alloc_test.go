package alloc

import (
	"slices"
	"testing"
)

func TestCursor(t *testing.T) {
	c := Cursor{Taken: []Area{{0, 2}, {2, 1}, {10, 5}, {20, 1}}}
	var have []Area
	c.Pieces(14, func(a Area) { have = append(have, a) })
	if want := []Area{{3, 7}, {15, 5}, {21, 2}}; !slices.Equal(have, want) {
		t.Errorf("have %v, want %v", have, want)
	}
	again := c.At(9)
	if a := again.Piece(100); a != (Area{9, 1}) {
		t.Errorf("from 9: %v", a)
	}
	again = c.At(0)
	if start := again.Whole(6); start != 3 {
		t.Errorf("6 blocks together at %d", start)
	}
	if start := again.Whole(6); start != 21 || again.Next != 27 {
		t.Errorf("6 more at %d, next is %d", start, again.Next)
	}
	if again = c.At(12); again.NextFree() != 15 {
		t.Errorf("behind 12 comes %d", again.Next)
	}
}
