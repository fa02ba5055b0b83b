package z

import (
	"bytes"
	"errors"
	"math/rand"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/lz4"
)

// encoders make a stream of any content.
var encoders = map[Algorithm]func(t testing.TB, b []byte) []byte{
	LZ4: func(t testing.TB, b []byte) []byte {
		dst := make([]byte, 2*len(b)+100)
		n, taken := lz4.NewEncoder(1).Fill(dst, b)
		if taken != len(b) {
			t.Fatalf("%d of %d", taken, len(b))
		}
		return dst[:n]
	},
	Deflate: func(t testing.TB, b []byte) []byte {
		var out bytes.Buffer
		w, _ := flate.NewWriter(&out, 6)
		w.Write(b)
		w.Close()
		if stream := out.Bytes(); stream[0] == 0 {
			stream[0] |= 8 // a bit that has no meaning, so that this is not a zero before the stream
		}
		return out.Bytes()
	},
	Zstd: func(t testing.TB, b []byte) []byte {
		w, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<16), zstd.WithEncoderCRC(false))
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(b, nil)
	},
}

// content compresses to about a third.
func content(n int) []byte {
	r := rand.New(rand.NewSource(1))
	b := make([]byte, n)
	for i := range b {
		b[i] = "eeeettaaoin shrdlu"[r.Intn(18)]
	}
	copy(b[n/2:], b[:n/3])
	return b
}

func decoder() *Decoder {
	return NewDecoder(&Params{BlockSize: 4096, Padded: true, Config: Config{Algorithms: 0xf, WindowLog: 16}})
}

// padded puts zeros before the stream, so that it ends at the end of a block.
func padded(stream []byte) []byte {
	return append(make([]byte, (4096-len(stream)%4096)%4096), stream...)
}

func TestDecode(t *testing.T) {
	for a, encode := range encoders {
		d := decoder()
		for _, n := range []int{1, 100, 4096, 50000, 70000} {
			want := content(n)
			stream := encode(t, want)
			got := make([]byte, n)
			src := padded(stream)
			if err := d.Decode(got, &Extent{Len: int64(n), Size: int64(len(src)), Algorithm: a}, src); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: %v", a, n, err)
			}
			clear(got)
			if err := d.Decode(got, &Extent{Len: int64(n), Size: int64(len(stream)), Pos: 8191, Algorithm: a, Exact: true}, stream); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes, exact: %v", a, n, err)
			}
			part := make([]byte, n-n/3)
			if err := d.Decode(part, &Extent{Len: int64(len(part)), Size: int64(len(src)), Algorithm: a, Partial: true}, src); err != nil || !bytes.Equal(part, want[:len(part)]) {
				t.Errorf("%s, %d bytes, partial: %v", a, n, err)
			}
		}
	}
}

// A stream that does not have exactly the bytes of its extent is refused, and so is one that
// is cut, or too far from the beginning of its cluster.
func TestDecodeRefuses(t *testing.T) {
	const n = 50000
	want := content(n)
	for a, encode := range encoders {
		stream := encode(t, want)
		src := padded(stream)
		for name, test := range map[string]struct {
			src     []byte
			n       int
			partial bool
		}{
			"one too few":          {src, n + 1, false},
			"one too few, partial": {src, n + 1, true},
			"one too many":         {src, n - 1, false},
			"cut":                  {src[:len(src)-1], n, false},
			"cut, partial":         {src[:len(src)-2000], n, true},
			"no stream":            {make([]byte, 4096), n, false},
			"a block of zeros":     {append(make([]byte, 4096), src...), n, false},
		} {
			err := decoder().Decode(make([]byte, test.n), &Extent{Len: int64(test.n), Size: int64(len(test.src)), Algorithm: a, Partial: test.partial}, test.src)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %s: %v", a, name, err)
			}
		}
	}
}

func TestDecodeZstd(t *testing.T) {
	big := content(100000)
	window, _ := zstd.NewWriter(nil, zstd.WithWindowSize(1<<17), zstd.WithSingleSegment(true))
	two := append(encoders[Zstd](t, big[:5000]), encoders[Zstd](t, big[5000:9000])...)
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, encoders[Zstd](t, big[:5000])...)
	summed, _ := zstd.NewWriter(nil, zstd.WithWindowSize(1<<16), zstd.WithEncoderCRC(true))
	damaged := summed.EncodeAll(big[:5000], nil)
	damaged[len(damaged)-1] ^= 1
	for name, test := range map[string]struct {
		src  []byte
		n    int
		want string
	}{
		"window":           {window.EncodeAll(big, nil), len(big), "window"},
		"two frames":       {two, 9000, "5000 bytes of 9000"},
		"skippable frame":  {skippable, 5000, "without content"},
		"checksum":         {damaged, 5000, "fails"},
		"bytes after it":   {append(encoders[Zstd](t, big[:5000]), 1, 2, 3), 5000, ""},
		"something else":   {big, 5000, "zstd frame"},
		"more than it can": {encoders[Zstd](t, make([]byte, 60000)), 5000, "more than the 5000 bytes"},
	} {
		err := decoder().Decode(make([]byte, test.n), &Extent{Len: int64(test.n), Size: int64(len(test.src)), Algorithm: Zstd, Exact: true}, test.src)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeRaw(t *testing.T) {
	block := content(4096)
	for name, test := range map[string]struct {
		off, n  int64
		rotated bool
		want    []byte
	}{
		"shifted":            {100, 4096, false, block},
		"shifted, short":     {100, 50, false, block[:50]},
		"rotated":            {4096 + 100, 4096, true, append(bytes.Clone(block[100:]), block[:100]...)},
		"rotated, short":     {4096 + 100, 50, true, block[100:150]},
		"rotated by nothing": {8192, 4096, true, block},
	} {
		got := make([]byte, test.n)
		if err := decoder().Decode(got, &Extent{Off: test.off, Len: test.n, Size: 4096, Algorithm: Raw, Rotated: test.rotated}, block); err != nil || !bytes.Equal(got, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := decoder().Decode(make([]byte, 4097), &Extent{Len: 4097, Size: 4096, Algorithm: Raw}, block); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	if err := decoder().Decode(make([]byte, 10), &Extent{Len: 10, Size: 4096, Algorithm: LZMA}, block); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "lzma") {
		t.Error(err)
	}
}

// Images without the feature of zeros before LZ4 have streams that end anywhere in a cluster.
func TestDecodeUnpadded(t *testing.T) {
	want := content(5000)
	d := NewDecoder(&Params{BlockSize: 4096})
	src := append(encoders[LZ4](t, want), 0, 0, 0)
	got := make([]byte, len(want))
	if err := d.Decode(got, &Extent{Len: 5000, Size: int64(len(src))}, src); err != nil || !bytes.Equal(got, want) {
		t.Error(err)
	}
}
