package erofs

import (
	"fmt"
	"math"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// BenchmarkDirectory plans a tree of one directory and encodes its blocks.
func BenchmarkDirectory(b *testing.B) {
	for _, n := range []int{20, 1000, 50_000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			t := tree.NewFlat()
			for i := range n {
				e := file(fmt.Sprintf("module-file-%d.js", i*7919%n), nil)
				if _, err := t.Put(&e); err != nil {
					b.Fatal(err)
				}
			}
			var entries []*tree.Entry
			for _, c := range t.Root().Children() {
				entries = append(entries, c.Entry)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, e := range entries {
					e.Content, e.Nlink = nil, 0 // as before the plan
				}
				t.Root().Entry.Nlink = 0
				p := &plan{bs: 4096, table: new(tree.Table[item])}
				if err := p.arrange(t, 1); err != nil {
					b.Fatal(err)
				}
				m := &metadataWriter{plan: p}
				size := 0
				m.eachDirBlock(p.items[0], 0, math.MaxInt64, func(block []byte) { size += len(block) })
				b.SetBytes(int64(size))
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "names/s")
		})
	}
}

// BenchmarkCRC32C checks the superblocks of images with small and usual blocks.
func BenchmarkCRC32C(b *testing.B) {
	for _, bs := range []int64{512, 4096} {
		block := make([]byte, disk.ChecksumLen(bs))
		copy(block, pattern(1, len(block)))
		b.Run(fmt.Sprintf("block=%d", bs), func(b *testing.B) {
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				disk.Checksum(block)
			}
		})
	}
}
