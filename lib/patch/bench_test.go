package patch

import (
	"context"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/tree"
)

// bigTree has n files in directories of a hundred.
func bigTree(n int) *tree.Tree {
	t := tree.NewFlat()
	for i := range n {
		if i%100 == 0 {
			t.Set(fmt.Sprintf("d%d", i/100), &tree.Entry{Type: tree.Dir, Mode: 0o755})
		}
		t.Set(fmt.Sprintf("d%d/f%d", i/100, i), &tree.Entry{Type: tree.File, Mode: 0o644})
	}
	return t
}

func drain(b *testing.B, src tree.Source) {
	for {
		if _, err := src.Next(); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResult patches one file of 200,000 and reads the result; "below" is the tree
// without a patch.
func BenchmarkResult(b *testing.B) {
	lower := bigTree(200_000)
	ops := []Op{Text{Path: "/d7/f700", Content: "new", Replace: true}}
	for name, read := range map[string]func() tree.Source{
		"below": func() tree.Source { return lower.Source(tree.Flat) },
		"whole": func() tree.Source { return patched(b, lower, ops).Source(tree.Flat) },
		"layer": func() tree.Source { return patched(b, lower, ops).Source(tree.Layer) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				drain(b, read())
			}
		})
	}
}

func patched(b *testing.B, lower *tree.Tree, ops []Op) *Result {
	r, err := Apply(context.Background(), lower, ops, Options{})
	if err != nil {
		b.Fatal(err)
	}
	return r
}
