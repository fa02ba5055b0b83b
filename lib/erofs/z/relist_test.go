package z

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const shift = 5 << 20

// yields yields xs.
func yields(xs []Extent) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for _, x := range xs {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// relist lists xs anew with the header at the offset at, and reads that back.
func relist(xs []Extent, from Header, at, size, bs int64) (list Relisting, u Usage, have []Extent, err error) {
	list, err = NewRelisting(yields(xs), from, size, 1<<40, bs, &u)
	if err != nil {
		return list, u, nil, err
	}
	b := make([]byte, at)
	err = list.Write(yields(xs), at, shift, size, bs, func(p []byte) error { b = append(b, p...); return nil })
	if err != nil {
		return list, u, nil, err
	}
	if n := int64(len(b)) - at; n != list.Bytes(at, size, bs) {
		return list, u, nil, fmt.Errorf("%d bytes, expected %d", n, list.Bytes(at, size, bs))
	}
	p := Params{R: bytes.NewReader(b), End: int64(len(b)), BlockSize: bs, Big: u.Big, Padded: true, Config: Config{Algorithms: u.Algorithms, WindowLog: MaxWindowLog}}
	f, err := Open(&p, at, size, list.Index == Compact)
	if err == nil {
		have, err = extents(f)
	}
	return list, u, have, err
}

// shifted are xs, shift bytes later.
func shifted(xs []Extent) []Extent {
	xs = slices.Clone(xs)
	for i := range xs {
		if xs[i].Size > 0 {
			xs[i].Pos += shift
		}
	}
	return xs
}

// What is listed anew has the same extents, in the form that they allow.
func TestRelisting(t *testing.T) {
	const bs = 4096
	x := func(off, n, pos, size int64, a Algorithm) Extent {
		return Extent{Off: off, Len: n, Pos: pos, Size: size, Algorithm: a}
	}
	with := func(x Extent, change func(x *Extent)) Extent { change(&x); return x }
	exact := func(x *Extent) { x.Exact = true }
	partial := func(x *Extent) { x.Partial = true }
	rotated := func(x *Extent) { x.Rotated = true }
	records := func(size int64) Header {
		return Header{Index: Encoded, Advise: AdviseRecord(log(size / 4)), ClusterBits: 2}
	}
	for _, c := range []struct {
		name string
		from Header
		xs   []Extent
		want Header
		use  Usage
	}{
		{"small clusters", Header{Index: Full}, []Extent{x(0, 5000, bs, bs, LZ4), x(5000, 9000, 2*bs, bs, LZ4)},
			Header{Index: Compact, Advise: AdvisePacks}, Usage{Algorithms: 1 << LZ4, Largest: bs}},
		{"large clusters", Header{Index: Full}, []Extent{x(0, 50000, bs, 3*bs, LZ4), x(50000, 70001, 4*bs, 2*bs, LZ4)},
			Header{Index: Compact, Advise: AdvisePacks | AdviseBig1 | AdviseBig2}, Usage{Algorithms: 1 << LZ4, Largest: 3 * bs, Big: true}},
		{"zstd", Header{Index: Compact}, []Extent{x(0, 50000, bs, bs, Zstd), x(50000, 4096, 2*bs, bs, Raw)},
			Header{Index: Compact, Advise: AdvisePacks | AdviseBig1 | AdviseBig2, Head1: Zstd}, Usage{Algorithms: 1 << Zstd, Big: true}},
		{"not in a row", Header{Index: Full}, []Extent{x(0, 50000, 9*bs, 3*bs, LZ4), x(50000, 70001, bs, 2*bs, LZ4)},
			Header{Index: Full, Advise: AdviseBig1}, Usage{Algorithms: 1 << LZ4, Largest: 3 * bs, Big: true}},
		{"partial", Header{Index: Full}, []Extent{with(x(0, 9000, bs, 2*bs, LZ4), partial), x(9000, 9000, 3*bs, bs, LZ4)},
			Header{Index: Full, Advise: AdviseBig1}, Usage{Algorithms: 1 << LZ4, Largest: 2 * bs, Big: true, Partial: true}},
		{"partial, a cluster longer than its content", Header{Index: Full}, []Extent{with(x(0, 9000, bs, 14*bs, LZ4), partial)},
			Header{Index: Full, Advise: AdviseBig1}, Usage{Algorithms: 1 << LZ4, Largest: 14 * bs, Big: true, Partial: true}},
		{"partial, two blocks at the end", Header{Index: Full}, []Extent{x(0, 5000, bs, bs, LZ4), with(x(5000, 4000, 2*bs, 2*bs, LZ4), partial)},
			Header{Index: Full, Advise: AdviseBig1}, Usage{Algorithms: 1 << LZ4, Largest: 2 * bs, Big: true, Partial: true}},
		{"two blocks at the end", Header{Index: Full}, []Extent{x(0, 5000, bs, bs, LZ4), x(5000, 4000, 2*bs, 2*bs, LZ4)},
			Header{Index: Compact, Advise: AdvisePacks | AdviseBig1 | AdviseBig2}, Usage{Algorithms: 1 << LZ4, Largest: 2 * bs, Big: true}},
		{"two algorithms", Header{Index: Full}, []Extent{x(0, 50000, bs, bs, LZ4), x(50000, 50000, 2*bs, 2*bs, Deflate), x(100000, 9000, 4*bs, bs, LZ4)},
			Header{Index: Full, Advise: AdviseBig1 | AdviseBig2, Head2: Deflate}, Usage{Algorithms: 1<<LZ4 | 1<<Deflate, Largest: bs, Big: true}},
		{"raw clusters of several blocks", Header{Index: Full}, []Extent{x(0, 50000, 9*bs, bs, Deflate), x(50000, 3*bs, bs, 3*bs, Raw), x(50000+3*bs, 9000, 4*bs, bs, Deflate)},
			Header{Index: Full, Advise: AdviseBig1 | AdviseBig2, Head1: Deflate}, Usage{Algorithms: 1 << Deflate, Big: true}},
		{"rotated", Header{Index: Compact, Advise: AdviseInterlaced}, []Extent{x(0, 9000, bs, bs, LZ4), with(x(9000, bs, 2*bs, bs, Raw), rotated), x(9000+bs, 9000, 3*bs, bs, LZ4)},
			Header{Index: Compact, Advise: AdvisePacks | AdviseInterlaced}, Usage{Algorithms: 1 << LZ4, Largest: bs, Partial: true}},
		{"raw", Header{Index: Full, Head1: Zstd}, []Extent{x(0, bs, bs, bs, Raw), x(bs, bs, 2*bs, bs, Raw)}, Header{Index: Compact, Advise: AdvisePacks}, Usage{}},
		{"records of 4 bytes", records(4), []Extent{with(x(0, 4*bs, 77, 1000, Zstd), exact), {Off: 4 * bs, Len: 4 * bs, Algorithm: Raw}, with(x(8*bs, 5, 1077, 5, Raw), exact)},
			Header{Index: Encoded, Advise: AdviseRecord(0), ClusterBits: 2, Extents: 3}, Usage{Algorithms: 1 << Zstd, Exact: true}},
		{"records of 4 bytes, a hole first", records(4), []Extent{{Len: 4 * bs, Algorithm: Raw}, with(x(4*bs, 4*bs, 1077, 9000, LZ4), exact)},
			Header{Index: Encoded, Advise: AdviseRecord(0), ClusterBits: 2, Extents: 2}, Usage{Algorithms: 1 << LZ4, Largest: 9000, Exact: true}},
		{"records of 8 bytes", records(8), []Extent{with(x(0, 4*bs, 77, 1000, Zstd), exact), with(x(4*bs, 4*bs, 5, 2000, LZ4), exact)},
			Header{Index: Encoded, Advise: AdviseRecord(2), Extents: 2}, Usage{Algorithms: 1<<LZ4 | 1<<Zstd, Largest: 2000, Exact: true}},
		{"records of 16 bytes", records(16), []Extent{with(x(0, 77, 1<<35, 1000, Zstd), exact), with(with(x(77, 3*bs, 5, 2000, LZ4), exact), partial)},
			Header{Index: Encoded, Advise: AdviseRecord(2), Extents: 2}, Usage{Algorithms: 1<<LZ4 | 1<<Zstd, Largest: 2000, Exact: true, Partial: true}},
		{"records of 8 bytes, long", records(8), []Extent{{Len: 1 << 33, Algorithm: Raw}, with(x(1<<33, 4*bs, 5, 2000, LZ4), exact)},
			Header{Index: Encoded, Advise: AdviseRecord(3), Extents: 2}, Usage{Algorithms: 1 << LZ4, Largest: 2000, Exact: true}},
	} {
		for at := int64(32); at < 64; at += HeaderAlign {
			size := c.xs[len(c.xs)-1].Off + c.xs[len(c.xs)-1].Len
			list, u, have, err := relist(c.xs, c.from, at, size, bs)
			if err != nil || !slices.Equal(have, shifted(c.xs)) {
				t.Errorf("%s at %d: %v\nhave %v\nwant %v", c.name, at, err, have, shifted(c.xs))
			}
			if list.Header != c.want || u != c.use {
				t.Errorf("%s: header %+v, want %+v\n%+v, want %+v", c.name, list.Header, c.want, u, c.use)
			}
		}
	}
}

func log(n int64) (bits int) {
	for ; n > 1; n /= 2 {
		bits++
	}
	return bits
}

// Lists that are longer than what is written at a time, of extents in a row and elsewhere.
func TestLongRelisting(t *testing.T) {
	const bs = 4096
	r := rand.New(rand.NewPCG(1, 2))
	for _, inRow := range []bool{true, false} {
		for _, n := range []int{1, 2, 15, 16, 17, 300, 30000} {
			var xs []Extent
			off, pos := int64(0), int64(bs)
			for i := range int64(n) {
				x := Extent{Off: off, Len: bs + r.Int64N(100*bs), Pos: pos, Size: bs, Algorithm: LZ4}
				x.Size += r.Int64N(x.Len/bs) * bs
				if r.IntN(3) == 0 {
					x.Algorithm, x.Len, x.Size = Raw, bs, bs
				}
				if !inRow {
					x.Pos += bs * (r.Int64N(1000) + i%2*2000) // not where the last one is
				}
				xs = append(xs, x)
				off, pos = x.End(), pos+x.Size
			}
			at := 32 + HeaderAlign*r.Int64N(4)
			list, _, have, err := relist(xs, Header{Index: Full}, at, off, bs)
			if err != nil || !slices.Equal(have, shifted(xs)) {
				t.Fatalf("%d, in a row %v, at %d: %v, or other extents", n, inRow, at, err)
			}
			if want := inRow; (list.Index == Compact) != want && n > 2 {
				t.Errorf("%d, in a row %v: index %d", n, inRow, list.Index)
			}
		}
	}
}

func TestRelistingRefuses(t *testing.T) {
	const bs = 4096
	good := Extent{Len: 9000, Pos: bs, Size: bs, Algorithm: LZ4}
	with := func(change func(x *Extent)) []Extent { x := good; change(&x); return []Extent{x} }
	for _, c := range []struct {
		name string
		xs   []Extent
		is   error
		said string
	}{
		{"beyond the image", with(func(x *Extent) { x.Pos = 100 * bs }), ErrCorrupt, "beyond the end of the image"},
		{"far beyond", with(func(x *Extent) { x.Pos = 1<<63 - bs }), ErrCorrupt, "beyond the end of the image"},
		{"end beyond", with(func(x *Extent) { x.Pos = 99 * bs; x.Size = 2 * bs }), ErrCorrupt, "beyond the end of the image"},
		{"fragment", with(func(x *Extent) { x.Fragment = true }), ErrNoIndex, "parts of many"},
		{"tail", with(func(x *Extent) { x.Exact = true }), ErrNoIndex, "behind the index"},
		{"lzma", with(func(x *Extent) { x.Algorithm = LZMA }), ErrUnsupported, "lzma"},
		{"three algorithms", []Extent{good, {Off: 9000, Len: 9000, Pos: bs, Size: bs, Algorithm: Zstd}, {Off: 18000, Len: 9000, Pos: bs, Size: bs, Algorithm: Deflate}}, ErrNoIndex, "three algorithms"},
	} {
		_, err := NewRelisting(yields(c.xs), Header{Index: Full}, 9000, 100*bs, bs, new(Usage))
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.said) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	failed := errors.New("failed")
	if _, err := NewRelisting(func(yield func(Extent, error) bool) { yield(Extent{}, failed) }, Header{}, 9000, 100*bs, bs, new(Usage)); err != failed {
		t.Error(err)
	}
	list, err := NewRelisting(yields([]Extent{good}), Header{Index: Full}, 9000, 100*bs, bs, new(Usage))
	if err != nil {
		t.Fatal(err)
	}
	ignore := func([]byte) error { return nil }
	if err := list.Write(yields([]Extent{good}), 32, 0, 9000, bs, func([]byte) error { return failed }); err != failed {
		t.Error(err)
	}
	for _, xs := range [][]Extent{
		nil, with(func(x *Extent) { x.Len++ }), with(func(x *Extent) { x.Len-- }), with(func(x *Extent) { x.Off = 1 }), with(func(x *Extent) { x.Pos++ }),
		with(func(x *Extent) { x.Size = 0 }), with(func(x *Extent) { x.Exact = true }), with(func(x *Extent) { x.Pos = 1 << 44 }), with(func(x *Extent) { x.Size = blockCount * bs }),
		{{Len: 4096, Pos: bs, Size: 2 * bs, Algorithm: LZ4}, {Off: 4096, Len: 4904, Pos: bs, Size: bs, Algorithm: LZ4}},
	} {
		if err := list.Write(yields(xs), 32, 0, 9000, bs, ignore); !errors.Is(err, ErrNoIndex) {
			t.Errorf("%v: %v", xs, err)
		}
	}
}

// A list is never in memory, however long it is.
func TestRelistingMemory(t *testing.T) {
	const bs, n = 4096, 1 << 20
	xs := func(yield func(Extent, error) bool) {
		for i := int64(0); i < n; i++ {
			if x := (Extent{Off: i * bs, Len: bs, Pos: (n - i) * bs, Size: bs, Algorithm: Raw}); !yield(x, nil) {
				return
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := NewRelisting(xs, Header{Index: Full}, n*bs, 1<<40, bs, new(Usage))
	size := int64(0)
	if err == nil {
		err = list.Write(xs, 32, 0, n*bs, bs, func(b []byte) error { size += int64(len(b)); return nil })
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; err != nil || size != FullSize(n*bs, bs) || used > 256<<10 {
		t.Errorf("%v; a list of %d bytes took %d", err, size, used)
	}
}
