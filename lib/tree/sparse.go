package tree

import (
	"io"
	"math"
	"math/bits"
	"slices"
)

// WriteExpanded writes the whole file e to w, holes as zeros.
func WriteExpanded(w io.Writer, e *Entry) error {
	if e.Content == nil && e.DataSize() > 0 {
		return errNoData
	}
	if e.Size == 0 {
		return nil
	}
	if e.Extents == nil {
		n, err := e.Content.WriteTo(w)
		if err == nil && n != e.Size {
			err = shortContent(e.Size-n, e.Size)
		}
		return err
	}
	x := expander{w: w, data: e.Extents, out: []Extent{{0, e.Size}}}
	return x.run(e.Content)
}

// LimitExtents fills the smallest holes of e with zeros if its list of extents would take
// more than 512 KiB of a line.
func LimitExtents(e *Entry) {
	if len(e.Extents) < maxExtentLen/int(len("18446744073709551615")*2) || extentsLen(e.Extents) <= maxExtentLen {
		return
	}
	fits := func(gap, equal int64) bool {
		n := 0
		eachFilled(e.Extents, gap, equal, func(x Extent) { n += extentLen(x) })
		return n <= maxExtentLen
	}
	gap := leastTrue(e.Size, func(gap int64) bool { return fits(gap, math.MaxInt64) })
	// Of the gaps of that size, fill no more than necessary.
	equal := leastTrue(int64(len(e.Extents)), func(n int64) bool { return fits(gap, n) })
	var filled []Extent
	eachFilled(e.Extents, gap, equal, func(x Extent) { filled = append(filled, x) })
	filled = slices.Clip(filled)
	if e.Content != nil {
		c := &filledContent{content: e.Content, data: e.Extents, out: filled}
		if random, ok := e.Content.(RandomContent); ok {
			e.Content = filledRandom{c, random}
		} else {
			e.Content = c
		}
	}
	e.Extents = filled
}

// leastTrue returns the least number from 1 to high for which ok is true. ok must be
// true for high, and for every number above one for which it is true.
func leastTrue(high int64, ok func(int64) bool) int64 {
	low := int64(0) // ok(low) is false
	for low+1 < high {
		if mid := low + (high-low)/2; ok(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// eachFilled joins extents that are less than gap bytes apart, and the first equal pairs of
// those that are exactly gap bytes apart, and calls fn for each extent that results.
func eachFilled(xs []Extent, gap, equal int64, fn func(Extent)) {
	last := xs[0]
	for _, x := range xs[1:] {
		between := x.Off - last.End()
		if between == gap {
			equal--
		}
		if between < gap || between == gap && equal >= 0 {
			last.Len = x.End() - last.Off
		} else {
			fn(last)
			last = x
		}
	}
	fn(last)
}

// extentsLen is the length of the list as it is written.
func extentsLen(xs []Extent) (n int) {
	for _, x := range xs {
		n += extentLen(x)
	}
	return n
}

// extentLen is the length of x with the comma after it. It is called many times for
// each extent of a long list.
func extentLen(x Extent) int { return digits(x.Off) + digits(x.Len) + len("+,") }

// digits is the number of decimal digits of n, which is not negative.
func digits(n int64) int {
	guess := (bits.Len64(uint64(n)|1)*1233)>>12 + 1 // log10(2) is about 1233/4096
	if guess > 1 && n < powers[guess-1] {
		guess--
	}
	return guess
}

// powers are the powers of ten.
var powers = func() (p [19]int64) {
	p[0] = 1
	for i := range p[1:] {
		p[i+1] = 10 * p[i]
	}
	return
}()

// filledContent is content whose extents were joined.
type filledContent struct {
	content   Content
	data, out []Extent
}

// filledRandom is filledContent that can be read at random. Its ReadAt is that of the
// original content, which reads holes as zeros anyway.
type filledRandom struct {
	*filledContent
	io.ReaderAt
}

func (c *filledContent) WriteTo(w io.Writer) (int64, error) {
	counted := &countingWriter{w: w}
	x := expander{w: counted, data: c.data, out: c.out}
	err := x.run(c.content)
	return counted.n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// expander takes the data of a sparse file, and writes the bytes of the file that are in the
// ranges out. The ranges cover the data; where they have none, it writes zeros.
type expander struct {
	w    io.Writer
	data []Extent
	out  []Extent
	pos  int64 // in the file
}

func (x *expander) run(c Content) error {
	if len(x.out) > 0 {
		x.pos = x.out[0].Off
	}
	if len(x.data) > 0 {
		want := dataLen(x.data)
		if n, err := c.WriteTo(x); err != nil {
			return err
		} else if n < want {
			return shortContent(want-n, want)
		}
	}
	return x.advance(-1)
}

// Write takes data in the order of the extents.
func (x *expander) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(x.data) == 0 {
			return n, io.ErrShortWrite // more than the extents have room for
		}
		at := x.data[0]
		if err := x.advance(at.Off); err != nil {
			return n, err
		}
		m := min(int64(len(p)), at.End()-x.pos)
		if _, err := x.w.Write(p[:m]); err != nil {
			return n, err
		}
		x.pos += m
		n, p = n+int(m), p[m:]
		if x.pos == at.End() {
			x.data = x.data[1:]
		}
	}
	return n, nil
}

// advance writes zeros up to the offset to, or to the end of all ranges if it is
// negative.
func (x *expander) advance(to int64) error {
	for len(x.out) > 0 && (to < 0 || x.out[0].End() <= to) {
		if err := x.zeros(x.out[0].End() - x.pos); err != nil {
			return err
		}
		if x.out = x.out[1:]; len(x.out) > 0 {
			x.pos = x.out[0].Off
		}
	}
	return x.zeros(to - x.pos)
}

var zeroBlock [64 << 10]byte

func (x *expander) zeros(n int64) error {
	for n > 0 {
		m := min(n, int64(len(zeroBlock)))
		if _, err := x.w.Write(zeroBlock[:m]); err != nil {
			return err
		}
		n, x.pos = n-m, x.pos+m
	}
	return nil
}
