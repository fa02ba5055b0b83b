package layer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
)

// TestCompress: what is compressed comes back, in the same bytes whatever the
// number of processors and the size of the writes.
func TestCompress(t *testing.T) {
	var plain bytes.Buffer
	for i := 0; plain.Len() < 5<<19; i++ {
		fmt.Fprintln(&plain, i*i%1000003, i)
	}
	compress := func(kind compression.Kind, procs, step int) []byte {
		t.Helper()
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		var b bytes.Buffer
		w, err := layer.Compress(&b, kind)
		if err != nil {
			t.Fatal(err)
		}
		for in := plain.Bytes(); len(in) > 0; {
			n := min(step, len(in))
			if _, err := w.Write(in[:n]); err != nil {
				t.Fatal(err)
			}
			in = in[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, kind := range []compression.Kind{compression.Plain, compression.Gzip, compression.Zstd} {
		want := compress(kind, 1, 512)
		for _, c := range [][2]int{{2, 512}, {4, 1 << 20}, {1, 65537}, {2, 10 << 20}} {
			if !bytes.Equal(compress(kind, c[0], c[1]), want) {
				t.Errorf("%s: other bytes with %d processors and writes of %d", kind, c[0], c[1])
			}
		}
		if kind != compression.Plain && len(want) > plain.Len()*3/4 {
			t.Errorf("%s: %d bytes of %d", kind, len(want), plain.Len())
		}
		r, err := layer.Decompress(t.Context(), bytes.NewReader(want), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain.Bytes()) {
			t.Errorf("%s: another content, %v", kind, err)
		}
		r.Close()
	}
	if _, err := layer.Compress(io.Discard, "xz"); !errors.Is(err, layer.ErrUnsupported) {
		t.Errorf("xz: %v", err)
	}
}

// TestCompressFails: no error of the writer below is lost.
func TestCompressFails(t *testing.T) {
	for _, kind := range []compression.Kind{compression.Plain, compression.Gzip, compression.Zstd} {
		for _, n := range []int{0, 5, 1000} {
			w, err := layer.Compress(&failAfter{n}, kind)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 100 && err == nil; i++ {
				_, err = w.Write(bytes.Repeat([]byte{byte(i), byte(i * i), byte(i * 7)}, 30000))
			}
			if cerr := w.Close(); err == nil {
				err = cerr
			}
			if !errors.Is(err, errFull) {
				t.Errorf("%s after %d bytes: %v", kind, n, err)
			}
		}
	}
}
