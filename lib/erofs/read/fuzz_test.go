package read_test

import (
	"bytes"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// FuzzReader looks for images that make the reader fail in other ways than with an
// error, or take too long. What it accepts it must be able to write again. Without
// -fuzzminimizetime 100x, as tests/shell/soak.sh has it, Go makes each new input shorter for a
// minute, and seems to stand still.
func FuzzReader(f *testing.F) {
	seeds := [][]byte{
		erofstest.MkfsImage(f), victim(f),
		build(f, erofs.Options{BlockSize: 512, Layer: true, UUID: new([16]byte)}, layer()...),
		build(f, erofs.Options{BlockSize: 512, UUID: new([16]byte)}, xattrs(file("x/y", pattern(1, 600)), "user.a", "b"), sparse("s", 9000, []tree.Extent{{Off: 600, Len: 10}})),
	}
	for _, name := range []string{"tiny-lz4", "tiny-lz4-full", "tiny-zstd-48bit", "tiny-deflate-all", "tiny-lz4-512"} {
		seeds = append(seeds, bytes.Clone(compressedImage(f, name)))
	}
	for _, b := range seeds {
		dropChecksum(b) // else every change only breaks the checksum
		if err := drain(b); err != nil {
			f.Fatalf("seed is not accepted: %v", err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if drain(b) != nil {
			return
		}
		img := open(t, b)
		reftest.Partly(t, false, func() (reftest.Next, error) { return treetest.Next(img.Source()), nil })
		again := &image{}
		w, err := erofs.NewWriter(t.Context(), again, erofs.Options{Layer: true, BlockSize: 512, Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(t.Context(), w, img.Source()); err != nil {
			if strings.Contains(err.Error(), "check: ") {
				t.Fatal(err)
			}
			return // something that the format has and this writer refuses
		}
		var first, second bytes.Buffer
		opts := tree.WriterOptions{Data: tree.None}
		if err := tree.Copy(t.Context(), tree.NewWriter(&first, opts), img.Source()); err != nil {
			return // more than a line of the stream holds
		}
		if err := tree.Copy(t.Context(), tree.NewWriter(&second, opts), open(t, again.B).Source()); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() && !bytes.Contains(first.Bytes(), []byte("nlink")) && !bytes.Contains(first.Bytes(), []byte("ocipipe")) && !bytes.Contains(first.Bytes(), []byte("overlay")) {
			t.Fatal(firstDifference(first.String(), second.String()))
		}
	})
}
