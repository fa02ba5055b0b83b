package lz4

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkFill compresses this test's program, block after block.
func BenchmarkFill(b *testing.B) {
	src := program(b)
	for _, level := range []int{Fast, 2, Default, Best} {
		for _, size := range []int{4096, 65536} {
			b.Run(fmt.Sprintf("level%d/%d", level, size), func(b *testing.B) {
				e, dst := NewEncoder(level), make([]byte, size)
				b.SetBytes(int64(len(src)))
				for b.Loop() {
					used := 0
					for rest := src; len(rest) > 0; {
						n, taken := e.Fill(dst, rest)
						used, rest = used+n, rest[taken:]
					}
					b.ReportMetric(100*float64(used)/float64(len(src)), "%")
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	src := program(b)
	block := make([]byte, 65536)
	n, taken := NewEncoder(Fast).Fill(block, src)
	dst := make([]byte, taken)
	b.SetBytes(int64(taken))
	for b.Loop() {
		if err := Decode(dst, block[:n]); err != nil {
			b.Fatal(err)
		}
	}
}

func program(b *testing.B) []byte {
	name, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	return src[:min(len(src), 4<<20)]
}
