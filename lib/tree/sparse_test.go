package tree

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// expanded is the whole file e as a machine reads it, done in the simplest way.
func expanded(e *Entry, data []byte) []byte {
	b := make([]byte, e.Size)
	for _, x := range e.Extents {
		copy(b[x.Off:x.End()], data)
		data = data[x.Len:]
	}
	return b
}

// sparseFile is a file of n extents of 1 to 3 bytes, gaps of 1 to maxGap between.
func sparseFile(rnd *rand.Rand, n, maxGap int) (*Entry, []byte) {
	e := &Entry{Path: "a", Type: File, Extents: []Extent{}}
	var data []byte
	for range n {
		e.Size += int64(1 + rnd.IntN(maxGap))
		x := Extent{e.Size, int64(1 + rnd.IntN(3))}
		e.Extents, e.Size = append(e.Extents, x), x.End()
		for range x.Len {
			data = append(data, byte(1+rnd.IntN(255)))
		}
	}
	e.Size += int64(rnd.IntN(maxGap))
	e.Content = fixed(data)
	return e, data
}

func TestWriteExpanded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		e, data := sparseFile(rnd, n, 200_000)
		for _, c := range []Content{fixed(data), oneByOne(data)} {
			e.Content = c
			var b bytes.Buffer
			if err := WriteExpanded(&b, e); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), expanded(e, data)) {
				t.Errorf("%d extents: contents differ", n)
			}
		}
	}
	var b bytes.Buffer
	if err := WriteExpanded(&b, &Entry{Type: File, Size: 5, Content: fixed("hello")}); err != nil || b.String() != "hello" {
		t.Errorf("without extents: %q, %v", b.String(), err)
	}
	if err := WriteExpanded(&b, &Entry{Type: File, Size: 5}); !errors.Is(err, errNoData) {
		t.Errorf("without content: %v", err)
	}
}

// oneByOne is content that writes each byte for itself.
type oneByOne []byte

func (c oneByOne) WriteTo(w io.Writer) (n int64, err error) {
	for i := range c {
		if _, err := w.Write(c[i : i+1]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestWriteExpandedFails(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	e, data := sparseFile(rnd, 5, 100)
	full := errors.New("full")
	for n := range e.Size {
		if err := WriteExpanded(&limitedWriter{n, full}, e); err != full {
			t.Errorf("sink of %d bytes: %v", n, err)
		}
	}
	e.Content = fixed(append(data, 1))
	if err := WriteExpanded(io.Discard, e); err == nil {
		t.Error("more data than extents were accepted")
	}
}

// TestLimitExtents has a file with more extents than a line has room for.
func TestLimitExtents(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	e, data := sparseFile(rnd, 100_000, 1000)
	before := *e
	LimitExtents(e)
	list := appendExtents(nil, e.Extents)
	if len(list) > maxExtentLen || len(list) < maxExtentLen*9/10 {
		t.Errorf("the list has %d bytes of %d", len(list), maxExtentLen)
	}
	if back, err := parseExtents(list, e.Size); err != nil || !reflect.DeepEqual(back, e.Extents) {
		t.Errorf("the list is not valid: %v", err)
	}
	var b bytes.Buffer
	if err := WriteExpanded(&b, e); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), expanded(&before, data)) {
		t.Error("contents differ")
	}
	b.Reset()
	if n, err := e.Content.WriteTo(&b); err != nil || n != e.DataSize() || int64(b.Len()) != n {
		t.Errorf("wrote %d of %d bytes, %v", n, e.DataSize(), err)
	}

	if _, ok := e.ReaderAt(); ok {
		t.Error("a stream can be read at random")
	}
	random := before
	random.Content = WithHoles(Bytes(data), before.Size, before.Extents)
	LimitExtents(&random)
	if r, ok := random.ReaderAt(); !ok {
		t.Error("cannot be read at random any more")
	} else if got, err := io.ReadAll(io.NewSectionReader(r, 0, e.Size)); err != nil || !bytes.Equal(got, expanded(&before, data)) {
		t.Errorf("other bytes at random, %v", err)
	}

	// The gaps that went are the smallest ones.
	left := e.Size
	for i := 1; i < len(e.Extents); i++ {
		left = min(left, e.Extents[i].Off-e.Extents[i-1].End())
	}
	gone := int64(0)
	for i := 1; i < len(before.Extents); i++ {
		gap := before.Extents[i].Off - before.Extents[i-1].End()
		if gap < left {
			gone = max(gone, gap)
		}
	}
	if gone >= left {
		t.Errorf("a gap of %d was filled, one of %d was left", gone, left)
	}

	again := before
	LimitExtents(&again)
	if !reflect.DeepEqual(again.Extents, e.Extents) {
		t.Error("a second run differs")
	}
	small, _ := sparseFile(rnd, 100, 1000)
	kept := *small
	LimitExtents(small)
	if !reflect.DeepEqual(small.Extents, kept.Extents) || !reflect.DeepEqual(small.Content, kept.Content) {
		t.Error("a short list was changed")
	}
}

// TestLimitExtentsWithoutContent has a hard link, which repeats the extents.
func TestLimitExtentsWithoutContent(t *testing.T) {
	e, _ := sparseFile(rand.New(rand.NewPCG(5, 6)), 100_000, 1000)
	link := *e
	link.Content, link.Hardlink = nil, "b"
	LimitExtents(e)
	LimitExtents(&link)
	if link.Content != nil || !reflect.DeepEqual(link.Extents, e.Extents) {
		t.Error("a link has another list, or a content")
	}
}

// TestLimitExtentsFar has extents at the end of what an offset can say.
func TestLimitExtentsFar(t *testing.T) {
	e := &Entry{Type: File, Size: 1<<63 - 1}
	for i := range 60_000 {
		off := int64(i) << 47
		e.Extents = append(e.Extents, Extent{off, 1})
	}
	LimitExtents(e)
	if n := len(appendExtents(nil, e.Extents)); n > maxExtentLen {
		t.Errorf("the list has %d bytes", n)
	}
}

// TestLimitExtentsEqual has gaps that are all alike: filling every one of them
// would make terabytes of what is sparse.
func TestLimitExtentsEqual(t *testing.T) {
	const n, step = 70_000, 1 << 30
	e := &Entry{Path: "sparse", Type: File, Size: n * step}
	for i := range int64(n) {
		e.Extents = append(e.Extents, Extent{i * step, 1})
	}
	LimitExtents(e)
	if got := extentsLen(e.Extents); got > maxExtentLen || got < maxExtentLen*9/10 {
		t.Errorf("list of %d bytes, the limit is %d", got, maxExtentLen)
	}
	if data, all := e.DataSize(), e.Size; data > all*3/4 {
		t.Errorf("%d bytes of data of %d", data, all)
	}
}

// TestExtentLen compares the length of extents with what is written.
func TestExtentLen(t *testing.T) {
	numbers := []int64{0, 1, math.MaxInt64 - 1, math.MaxInt64}
	for bit := range 63 {
		numbers = append(numbers, 1<<bit-1, 1<<bit, 1<<bit+1)
	}
	for p := int64(10); p <= math.MaxInt64/10; p *= 10 {
		numbers = append(numbers, p-1, p, p+1, 5*p, 10*p-1, 10*p)
	}
	for _, n := range numbers {
		for _, x := range []Extent{{n, 1}, {10, n}, {n, n}} {
			if got, want := extentLen(x), len(appendExtents(nil, []Extent{x}))+1; got != want {
				t.Errorf("%v takes %d bytes, not %d", x, want, got)
			}
		}
	}
}
