package erofs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// mostlyZeros is a file of size bytes with a byte of data at each offset.
func mostlyZeros(path string, size int, at ...int) tree.Entry {
	d := make(data, size)
	for _, off := range at {
		d[off] = 'x'
	}
	return file(path, d)
}

// Zeros that fill chunks become holes, whatever the block size; less do not, and a
// file whose map would be long has large chunks.
func TestZeros(t *testing.T) {
	const k = 1 << 10
	for _, bs := range []int{512, 4096, 65536} {
		for _, c := range []struct {
			name    string
			e       tree.Entry
			extents string
		}{
			{"all", mostlyZeros("f", 256*k), "[]"},
			{"all, with an end", mostlyZeros("f", 256*k+5), "[]"},
			{"begins", mostlyZeros("f", 256*k, 0), "[{0 65536}]"},
			{"ends in an end", mostlyZeros("f", 256*k+5, 256*k+4), "[{262144 5}]"},
			{"both sides", mostlyZeros("f", 512*k+5, 70*k, 200*k), "[{65536 65536} {196608 65536}]"},
			{"one below", mostlyZeros("f", 64*k-1), "nil"},
			{"one chunk", mostlyZeros("f", 64*k), "[]"},
			{"the end alone", mostlyZeros("f", 64*k+100, 0), "nil"},
			{"not aligned", mostlyZeros("f", 192*k, 32*k, 160*k), "[{0 65536} {131072 65536}]"},
			{"across chunks", mostlyZeros("f", 128*k, 0, 127*k), "nil"},
		} {
			for _, layer := range []bool{false, true} {
				opts := Options{BlockSize: bs, Layer: layer}
				img := open(t, build(t, opts, c.e))
				have := list(t, img.Source())["f"]
				text := "nil"
				if have.Extents != nil {
					text = fmt.Sprint(have.Extents)
				}
				if text != c.extents {
					t.Errorf("%d, %s: extents %s, expected %s", bs, c.name, text, c.extents)
				}
				compareFull(t, c.name, &c.e, &have)
				opts.KeepZeros = true
				kept := list(t, open(t, build(t, opts, c.e)).Source())["f"]
				if kept.Extents != nil {
					t.Errorf("%d, %s: kept zeros are %v", bs, c.name, kept.Extents)
				}
				compareFull(t, c.name, &c.e, &kept)
			}
		}
	}
	for _, size := range []int64{1, 64 << 10, 128 << 20, 128<<20 + 1, 1 << 40} {
		for _, bs := range []int64{512, 4096, 65536} {
			unit := holeUnit(size, bs)
			if unit < holeMin || mapSize(size, unit) > exactMapMax || unit > holeMin && mapSize(size, unit/2) <= exactMapMax {
				t.Errorf("%d bytes in blocks of %d: multiples of %d", size, bs, unit)
			}
		}
	}
}

// An image is the same whether contents come from memory or are read from a stream into the
// memory of the writer, wherever zeros begin and end.
func TestZerosOfStream(t *testing.T) {
	reftest.OneThread(t)
	rng := rand.New(rand.NewPCG(5, 6))
	var entries []tree.Entry
	for i := range 40 {
		var d data
		for len(d) < 3<<20 && (len(d) == 0 || rng.IntN(12) > 0) {
			n := 1 + rng.IntN([]int{100, 70 << 10, 300 << 10, 1 << 20}[rng.IntN(4)])
			if rng.IntN(2) == 0 {
				n = n/4096*4096 + 4096
			}
			if rng.IntN(2) == 0 {
				d = append(d, make(data, n)...)
			} else {
				d = append(d, pattern(byte(i), n)...)
			}
		}
		entries = append(entries, file(fmt.Sprintf("f%02d", i), d))
		if i%10 == 9 {
			entries = append(entries, sparse(fmt.Sprintf("s%02d", i), 3<<20, []tree.Extent{{Off: 8192, Len: 1 << 20}, {Off: 2<<20 + 100, Len: 300<<10 + 5}}))
		}
	}
	var text bytes.Buffer
	w := tree.NewWriter(&text, tree.WriterOptions{})
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []Options{{}, {Layer: true}, {KeepZeros: true}, {BlockSize: 512}} {
		want := build(t, opts, entries...)
		src, err := tree.NewReader(iotest.HalfReader(bytes.NewReader(text.Bytes())), tree.ReaderOptions{RequireCRC: true})
		if err != nil {
			t.Fatal(err)
		}
		have := &image{}
		opts.Check = true
		sink, err := NewWriter(t.Context(), have, opts)
		if err == nil {
			err = tree.Copy(t.Context(), sink, src)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have.B, want) {
			t.Errorf("block size %d, layer %v, zeros kept %v: the images differ", opts.BlockSize, opts.Layer, opts.KeepZeros)
		}
	}
}

func compareFull(t *testing.T, name string, want, have *tree.Entry) {
	t.Helper()
	var a, b bytes.Buffer
	if err := tree.WriteExpanded(&a, want); err != nil {
		t.Fatal(err)
	}
	err := tree.WriteExpanded(&b, have)
	if err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) || have.Size != want.Size {
		t.Errorf("%s: another content, %v", name, err)
	}
}

// inPieces is content that comes in pieces of n bytes.
type inPieces struct {
	data
	n int
}

func (c inPieces) WriteTo(w io.Writer) (total int64, err error) {
	for rest := c.data; len(rest) > 0 && err == nil; {
		var n int
		n, err = w.Write(rest[:min(len(rest), c.n)])
		rest, total = rest[n:], total+int64(n)
	}
	return total, err
}

// An image is the same whatever the pieces in which contents come, and small.
func TestZerosInPieces(t *testing.T) {
	e := mostlyZeros("f", 40<<20, 5, 1<<20, 30<<20)
	want := build(t, Options{}, e)
	if len(want) > 400<<10 {
		t.Errorf("%d bytes", len(want))
	}
	for _, n := range []int{1000, 4096, 65536, 300000} {
		other := e
		other.Content = inPieces{e.Content.(data), n}
		if !bytes.Equal(build(t, Options{}, other), want) {
			t.Errorf("pieces of %d: another image", n)
		}
	}
}

// What is read from an image makes the same image again, though its holes are stated
// then.
func TestZerosAgain(t *testing.T) {
	const k = 1 << 10
	es := []tree.Entry{
		dir("."), mostlyZeros("all", 1<<20), mostlyZeros("end", 256*k+5, 3), mostlyZeros("sides", 512*k+5, 70*k, 200*k, 512*k+4),
		mostlyZeros("large", 300<<20, 1, 50<<20, 150<<20, 150<<20+300*k, 300<<20-1), mostlyZeros("one", 128*k, 100*k), file("plain", pattern(1, 9000)),
	}
	for _, opts := range []Options{{}, {Layer: true}, {BlockSize: 512}} {
		b := build(t, opts, es...)
		again := &image{}
		w, err := NewWriter(t.Context(), again, opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(context.Background(), w, open(t, b).Source()); err != nil {
			t.Fatal(err)
		}
		first := &image{} // in the same order
		if w, err = NewWriter(t.Context(), first, opts); err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(context.Background(), w, sourceOf(t, es)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.B, again.B) {
			t.Errorf("%+v: another image", opts)
		}
	}
}

// What the kernel shows of holes that were zeros is what was added.
func TestInteropZeros(t *testing.T) {
	const k = 1 << 10
	es := []tree.Entry{
		dir("."), mostlyZeros("all", 1<<20), mostlyZeros("end", 256*k+5, 3), mostlyZeros("sides", 512*k+5, 70*k, 200*k, 512*k+4),
		mostlyZeros("none", 64*k+100, 0), xattrs(mostlyZeros("xattrs", 300*k, 299*k), "user.a", strings.Repeat("v", 300)),
		mostlyZeros("large", 100<<20, 1, 50<<20, 100<<20-1), file("plain", pattern(1, 9000)),
	}
	for _, bs := range []int{512, 4096} {
		f := write(t, Options{BlockSize: bs}, es...)
		img := openFile(t, f.Name())
		at := reftest.Mount(t, "erofs", f.Name(), "")
		if err := compareMount(at, sourceOf(t, es)); err != nil {
			t.Errorf("blocks of %d: %v", bs, err)
		}
		if err := compareMount(at, img.Source()); err != nil {
			t.Errorf("blocks of %d, with holes: %v", bs, err)
		}
	}
}
