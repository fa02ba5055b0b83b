package ext4

import (
	"cmp"
	"slices"

	"ocipipe/lib/ext4/disk"
)

// claims are blocks that belong to something, each to one thing only. They are
// kept as runs, so that what takes little on disk takes little here.
type claims struct {
	sorted []claim // ascending, not touching
	fresh  []claim // as they came
	dirs   numbers // blocks of directories: what is in them is kept, so none is read twice
}

type claim struct{ first, end uint64 }

const freshMax = 4096

// add takes n blocks from first on. That a block is claimed twice shows sooner or
// later, at the latest in settle.
func (c *claims) add(first, n uint64) error {
	if c == nil || n == 0 {
		return nil
	}
	if k := len(c.fresh); k > 0 && c.fresh[k-1].end == first {
		c.fresh[k-1].end += n
		return nil
	}
	c.fresh = append(c.fresh, claim{first, first + n})
	if len(c.fresh) > max(freshMax, len(c.sorted)) {
		return c.settle()
	}
	return nil
}

// settle brings the runs into order. It is an error if two of them overlap.
func (c *claims) settle() error {
	slices.SortFunc(c.fresh, func(a, b claim) int { return cmp.Compare(a.first, b.first) })
	all := make([]claim, 0, len(c.sorted)+len(c.fresh))
	a, b := c.sorted, c.fresh
	for len(a)+len(b) > 0 {
		from := &a
		if len(a) == 0 || len(b) > 0 && b[0].first < a[0].first {
			from = &b
		}
		next := (*from)[0]
		*from = (*from)[1:]
		if k := len(all); k == 0 || all[k-1].end < next.first {
			all = append(all, next)
		} else if all[k-1].end == next.first {
			all[k-1].end = next.end
		} else {
			return disk.Corrupt(int64(next.first)*disk.BlockSize, "block %d belongs to more than one file", next.first)
		}
	}
	c.sorted, c.fresh = all, c.fresh[:0]
	return nil
}

// numbers is a set of numbers, kept by the 4096.
type numbers map[uint64]*[64]uint64

// add puts n into the set. It reports false if it was there.
func (s numbers) add(n uint64) bool {
	page := s[n>>12]
	if page == nil {
		page = new([64]uint64)
		s[n>>12] = page
	}
	word, bit := &page[n>>6&63], uint64(1)<<(n&63)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// has reports whether n is in the set.
func (s numbers) has(n uint64) bool {
	page := s[n>>12]
	return page != nil && page[n>>6&63]>>(n&63)&1 != 0
}
