package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestDecodersAhead(t *testing.T) {
	for _, c := range []struct{ processors, streams, want int }{
		{1, 1, 0}, {2, 1, 0}, {3, 1, 1}, {4, 1, 2}, {8, 1, 4}, {64, 1, 4},
		{4, 0, 2}, {4, 2, 0}, {8, 2, 2}, {8, 8, 0}, {64, 8, 4},
	} {
		if got := decodersAhead(c.processors, c.streams); got != c.want {
			t.Errorf("%d processors, %d streams: %d, want %d", c.processors, c.streams, got, c.want)
		}
	}
}

// A layer is the same however many processors there are.
func TestManyProcessors(t *testing.T) {
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	text := hex.AppendEncode(nil, noise)
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text))})
	w.Write(text)
	w.Close()
	z := gzip.NewWriter(&packed)
	z.Write(plain.Bytes())
	z.Close()
	for _, n := range []int{1, 2, 4, 8} {
		before := runtime.GOMAXPROCS(n)
		r, err := NewReader(bytes.NewReader(packed.Bytes()), Options{DiffID: digest.FromBytes(plain.Bytes())})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := e.Content.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), text) {
			t.Errorf("%d processors: %d other bytes, %v", n, got.Len(), err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%d processors: at the end: %v", n, err)
		}
		r.Close()
	}
}
