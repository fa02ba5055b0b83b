package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// manyFiles is a tar of n small files, twenty in a directory, as npm packages are.
func manyFiles(b *testing.B, n int) []byte {
	b.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	body := bytes.Repeat([]byte("x"), 3000)
	add := func(h tar.Header) {
		h.ModTime = time.Unix(1700000000, 0)
		if err := w.WriteHeader(&h); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(body[:h.Size]); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		dir := fmt.Sprintf("app/node_modules/@scope%d/package-name-%d/lib", i/2000, i/20)
		if i%20 == 0 {
			add(tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755})
		}
		add(tar.Header{Name: fmt.Sprintf("%s/module-file-%d.js", dir, i%20), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(i * 7 % 3000)})
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

// BenchmarkReader reads a plain tar and passes over the contents.
func BenchmarkReader(b *testing.B) {
	const n = 20_000
	data := manyFiles(b, n)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		src, err := layer.NewReader(bytes.NewReader(data), layer.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = src.Next()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		src.Close()
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkMerge reads three layers, the second over the first, and yields the tree.
func BenchmarkMerge(b *testing.B) {
	data := [][]byte{manyFiles(b, 20_000), manyFiles(b, 10_000), manyFiles(b, 1000)}
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		var inputs []layer.Input
		for _, d := range data {
			inputs = append(inputs, layer.Input{
				Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d)), nil },
			})
		}
		merged, err := layer.Merge(context.Background(), inputs, layer.LoadOptions{SpoolDir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := tree.Copy(context.Background(), tree.NewWriter(io.Discard, tree.WriterOptions{}), merged.Source(tree.Flat)); err != nil {
			b.Fatal(err)
		}
		merged.Close()
	}
}
