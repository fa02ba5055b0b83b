package cas

import "slices"

// A Range is the bytes from Off up to but not including End.
type Range struct{ Off, End int64 }

// ranges are sorted and do not touch each other. None is empty.
type ranges []Range

// find returns the index of the first range that ends after off, or len(r).
func (r ranges) find(off int64) int {
	i, _ := slices.BinarySearchFunc(r, off, func(x Range, off int64) int {
		if x.End <= off {
			return -1
		}
		return 1
	})
	return i
}

// endAt returns where the range that holds off ends, or off if none does.
func (r ranges) endAt(off int64) int64 {
	if i := r.find(off); i < len(r) && r[i].Off <= off {
		return r[i].End
	}
	return off
}

// overlaps reports whether any byte of x is in r.
func (r ranges) overlaps(x Range) bool {
	i := r.find(x.Off)
	return i < len(r) && r[i].Off < x.End
}

// add returns r with x, which may overlap ranges of r.
func (r ranges) add(x Range) ranges {
	if x.Off >= x.End {
		return r
	}
	from := r.find(x.Off)
	if from > 0 && r[from-1].End == x.Off {
		from--
	}
	to := from
	for to < len(r) && r[to].Off <= x.End {
		x = Range{min(x.Off, r[to].Off), max(x.End, r[to].End)}
		to++
	}
	return slices.Replace(r, from, to, x)
}

// remove returns r without x.
func (r ranges) remove(x Range) ranges {
	var left ranges
	for _, y := range r {
		left = left.add(Range{y.Off, min(y.End, x.Off)})
		left = left.add(Range{max(y.Off, x.End), y.End})
	}
	return left
}

// missing returns what r lacks of the first size bytes.
func (r ranges) missing(size int64) (m ranges) {
	off := int64(0)
	for _, x := range r {
		if x.Off > off {
			m = append(m, Range{off, x.Off})
		}
		off = x.End
	}
	if off < size {
		m = append(m, Range{off, size})
	}
	return m
}
