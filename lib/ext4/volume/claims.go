package volume

import (
	"cmp"
	"slices"

	"ocipipe/lib/ext4/disk"
)

// Claims records which blocks are in use, and finds blocks that are claimed twice. A nil
// *Claims records nothing. Blocks are kept as runs, so memory grows with the number of runs,
// not of blocks.
type Claims struct {
	Sorted    []Claim // ascending, not touching; complete after Merge
	fresh     []Claim // claims since the last Merge, in the order of Add
	DirBlocks Set     // blocks of directories that were read; reading one twice is an error
	BlockSize int64   // for messages; 0: disk.BlockSize
}

// Claim is the blocks from First up to but not including End.
type Claim struct{ First, End uint64 }

const freshMax = 4096

// Add claims n blocks from first on. If one of them was claimed before, this or a later
// call fails, at the latest Merge.
func (c *Claims) Add(first, n uint64) error {
	if c == nil || n == 0 {
		return nil
	}
	if k := len(c.fresh); k > 0 && c.fresh[k-1].End == first {
		c.fresh[k-1].End += n
		return nil
	}
	c.fresh = append(c.fresh, Claim{first, first + n})
	if len(c.fresh) > max(freshMax, len(c.Sorted)) {
		return c.Merge()
	}
	return nil
}

// Merge moves all claims to Sorted. It is an error if two of them overlap.
func (c *Claims) Merge() error {
	slices.SortFunc(c.fresh, func(a, b Claim) int { return cmp.Compare(a.First, b.First) })
	all := make([]Claim, 0, len(c.Sorted)+len(c.fresh))
	a, b := c.Sorted, c.fresh
	for len(a)+len(b) > 0 {
		from := &a
		if len(a) == 0 || len(b) > 0 && b[0].First < a[0].First {
			from = &b
		}
		next := (*from)[0]
		*from = (*from)[1:]
		if k := len(all); k == 0 || all[k-1].End < next.First {
			all = append(all, next)
		} else if all[k-1].End == next.First {
			all[k-1].End = next.End
		} else {
			return disk.Corrupt(int64(next.First)*cmp.Or(c.BlockSize, disk.BlockSize), "block %d belongs to more than one file", next.First)
		}
	}
	c.Sorted, c.fresh = all, c.fresh[:0]
	return nil
}

// Set is a set of numbers: a bitmap for each range of 4096 that has any.
type Set map[uint64]*[64]uint64

// Add puts n into the set. It returns false if n was in it already.
func (s Set) Add(n uint64) bool {
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

// Has reports whether n is in the set.
func (s Set) Has(n uint64) bool {
	page := s[n>>12]
	return page != nil && page[n>>6&63]>>(n&63)&1 != 0
}
