package cas

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRanges compares ranges with a table of bytes.
func TestRanges(t *testing.T) {
	const size = 40
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var r ranges
		var there [size]bool
		for range 30 {
			off := rnd.Int64N(size)
			x := Range{off, off + 1 + rnd.Int64N(size-off)}
			overlaps := slices.Contains(there[x.Off:x.End], true)
			if got := r.overlaps(x); got != overlaps {
				t.Fatalf("%v overlaps %v: %v", r, x, got)
			}
			add := rnd.IntN(3) > 0
			was := slices.Clone(r)
			if add {
				r = r.add(x)
			} else {
				r = r.remove(x)
			}
			for i := x.Off; i < x.End; i++ {
				there[i] = add
			}
			if want := runs(there[:], true); !slices.Equal(r, want) {
				t.Fatalf("%v, %v %v: %v, want %v", was, map[bool]string{true: "with", false: "without"}[add], x, r, want)
			}
			if got, want := r.missing(size), runs(there[:], false); !slices.Equal(got, want) {
				t.Fatalf("%v lacks %v, want %v", r, got, want)
			}
			for i := range int64(size) {
				end := i
				for end < size && there[end] {
					end++
				}
				if got := r.endAt(i); got != end {
					t.Fatalf("%v at %d ends at %d, want %d", r, i, got, end)
				}
			}
		}
	}
}

// runs are the ranges of there that are value.
func runs(there []bool, value bool) (r ranges) {
	for i := 0; i < len(there); i++ {
		from := i
		for i < len(there) && there[i] == value {
			i++
		}
		if i > from {
			r = append(r, Range{int64(from), int64(i)})
		}
	}
	return r
}
