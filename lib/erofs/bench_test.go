package erofs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// smallFiles is a tree of n files of 10 bytes to 30 KiB, most of them small.
func smallFiles(n int) []tree.Entry {
	es := []tree.Entry{dir(".")}
	noise := pattern(1, 1<<16)
	for i := range n {
		size := 10 + (i*7919)%(1<<(4+i%12))
		e := file(fmt.Sprintf("node_modules/package-%d/lib/file-%d.js", i/100, i), noise[i%1000:][:size])
		e.Time = tree.Time{Sec: erofstest.Time.Sec + int64(i%50)}
		es = append(es, e)
	}
	return es
}

func BenchmarkSmallFiles(b *testing.B) {
	es := smallFiles(120000)
	var bytes int64
	for i := range es {
		bytes += es[i].Size
	}
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"flat", Options{}},
		{"layer", Options{Layer: true}},
		{"no-hash", Options{UUID: new([16]byte)}},
		{"check", Options{Check: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(bytes)
			b.ReportAllocs()
			for range b.N {
				f, err := os.Create(filepath.Join(b.TempDir(), "image"))
				if err != nil {
					b.Fatal(err)
				}
				if err := writeTo(f, c.opts, es); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

func BenchmarkLargeDirectory(b *testing.B) {
	es := []tree.Entry{dir(".")}
	for i := range 50000 {
		es = append(es, file(fmt.Sprintf("d/%d", i*7919%50000), nil))
	}
	for range b.N {
		if err := writeTo(&image{}, Options{}, es); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	img := open(b, build(b, Options{}, smallFiles(20000)...))
	for range b.N {
		src := img.Source()
		for n := 0; ; n++ {
			if _, err := src.Next(); err != nil {
				if n < 20000 {
					b.Fatal(err)
				}
				break
			}
		}
	}
}

// BenchmarkFsmeta merges ten layers of 4000 small files.
func BenchmarkFsmeta(b *testing.B) {
	lists := make([][]tree.Entry, 10)
	for l := range lists {
		lists[l] = append(lists[l], dir("."), dir("usr"), dir("usr/lib"))
		for i := range 720 {
			if i%6 == 0 {
				lists[l] = append(lists[l], dir(fmt.Sprintf("usr/lib/mod%d", i/6)))
			}
			lists[l] = append(lists[l], dir(fmt.Sprintf("usr/lib/mod%d/sub%d", i/6, i%6)))
		}
		for i := range 4000 {
			at := (i*7919 + l*31) % 720
			lists[l] = append(lists[l], file(fmt.Sprintf("usr/lib/mod%d/sub%d/file-%d-%d.js", at/6, at%6, l, i), pattern(byte(i), 100)))
		}
	}
	layers := layersOf(b, Options{BlockSize: 512}, lists...) // small blocks for a small benchmark
	b.ReportAllocs()
	for b.Loop() {
		for i := range layers { // nothing cached
			d := layers[i].Image.Device("")
			img, err := read.Open(d.R, d.Size)
			if err != nil {
				b.Fatal(err)
			}
			layers[i].Image = img
		}
		if err := WriteFsmeta(context.Background(), &image{B: make([]byte, 0, 16<<20)}, layers, tree.Limits{}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
