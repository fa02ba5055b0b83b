package layer_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layer"
)

// BenchmarkGzip reads a compressed layer and its contents, and verifies its digest.
func BenchmarkGzip(b *testing.B) {
	const n = 20_000
	data := manyFiles(b, n)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	for _, c := range []struct {
		name string
		opts layer.Options
	}{
		{"verified", layer.Options{DiffID: digest.FromBytes(data)}},
		{"not-verified", layer.Options{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				src, err := layer.NewReader(bytes.NewReader(packed.Bytes()), c.opts)
				if err != nil {
					b.Fatal(err)
				}
				for {
					e, err := src.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if e.Content == nil {
						continue
					}
					if _, err := e.Content.WriteTo(io.Discard); err != nil {
						b.Fatal(err)
					}
				}
				src.Close()
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "files/s")
		})
	}
}
