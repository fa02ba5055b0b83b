package z

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/lz4"
	"ocipipe/lib/reftest"
)

// text is n bytes that compress to less than half.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 2000)
	for i := range words {
		words[i] = fmt.Sprintf("%x ", r.Uint32N(1<<(8+i%20)))
	}
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.Bytes()[:n]
}

// noise is n bytes that do not compress.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// decompress decodes a cluster as strictly as the kernel does.
func decompress(p *Encoding, stored []byte, n int) ([]byte, error) {
	pad := 0
	for pad < len(stored) && stored[pad] == 0 {
		pad++
	}
	if int64(pad) >= p.unit() {
		return nil, fmt.Errorf("%d zeros before the stream", pad)
	}
	stored = stored[pad:]
	out := make([]byte, n)
	switch p.Algorithm {
	case LZ4:
		return out, lz4.Decode(out, stored)
	case Deflate:
		in := bytes.NewReader(stored)
		b, err := io.ReadAll(flate.NewReader(in))
		if err == nil && in.Len() > 0 {
			err = fmt.Errorf("%d bytes behind the stream", in.Len())
		}
		return b, err
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(1<<p.WindowLog()), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(stored, nil)
}

// checkCuts returns an error unless out and cuts are src.
func checkCuts(p *Encoding, out []byte, cuts []Cut, src []byte) error {
	xs := p.AppendExtents(nil, cuts, 0)
	if !p.Exact {
		if _, err := AppendCompact(nil, 0, xs, int64(len(src)), p.BlockSize); err != nil {
			return err
		}
	}
	for i, x := range xs {
		if x.End() > int64(len(src)) || x.Pos+x.Size > int64(len(out)) {
			return fmt.Errorf("%+v is too long", x)
		}
		want, stored := src[x.Off:x.End()], out[x.Pos:x.Pos+x.Size]
		have := stored[:min(len(stored), len(want))]
		var err error
		if p.Exact && p.Algorithm == Deflate && (x.Pos%ExactAlign != 0 || x.Algorithm == Deflate && x.Size%ExactAlign != 0) {
			return fmt.Errorf("%+v is not aligned", x)
		}
		if x.Algorithm != Raw {
			if limit := max(p.PCluster, p.Piece()); x.Size >= x.Len || !p.Exact && x.Size > p.PCluster || x.Size > limit {
				return fmt.Errorf("%+v is too large", x)
			}
			have, err = decompress(p, stored, len(want))
		}
		if err != nil || !bytes.Equal(have, want) {
			return fmt.Errorf("%+v is something else: %v", x, err)
		}
		if p.Exact && i < len(xs)-1 && x.Len != p.Piece() {
			return fmt.Errorf("%+v has another length", x)
		}
	}
	if n := len(xs); len(src) > 0 && (xs[n-1].End() != int64(len(src)) || xs[n-1].Pos+xs[n-1].Size != int64(len(out))) {
		return fmt.Errorf("ends at %+v", xs[n-1])
	}
	return nil
}

// everyEncoding calls fn for parameters of every kind.
func everyEncoding(fn func(p Encoding)) {
	for _, m := range []struct {
		a     Algorithm
		level int
	}{{LZ4, 1}, {LZ4, 9}, {Zstd, 1}, {Zstd, 3}, {Deflate, 1}, {Deflate, 6}} {
		for _, cluster := range []int64{4 << 10, 64 << 10, 1 << 20} {
			for _, exact := range []bool{false, true} {
				fn(Encoding{Algorithm: m.a, Level: m.level, PCluster: cluster, BlockSize: bs, Exact: exact})
			}
		}
	}
}

func TestCut(t *testing.T) {
	reftest.OneThread(t)
	words, random := text(1200<<10), noise(300<<10)
	contents := map[string][]byte{
		"zeros": make([]byte, 2<<20), "text": words, "noise": random,
		"noise, text": append(random[:22000:22000], words[:600000]...), "text, noise": append(words[:300000:300000], random...),
		"long noise, text": append(random[:len(random):len(random)], words[:600000]...),
		"mixed":            bytes.Join([][]byte{words[:5000], random[:9000], words[:70000], random[:70000], make([]byte, 50000), random[:100], words[:8192]}, nil),
	}
	for _, n := range []int{0, 1, bs - 1, bs, bs + 1, 2 * bs, 2*bs + 1, 64 << 10, 64<<10 + 1, 64<<10 + bs + 1, 160 << 10, 1<<20 + 1} {
		contents[fmt.Sprint(n)] = words[:n]
		contents[fmt.Sprint(n, " zeros")] = make([]byte, n)
	}
	everyEncoding(func(p Encoding) {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		c := NewCutter(p)
		for name, src := range contents {
			out, cuts := c.Cut([]byte("before"), nil, src)
			if err := checkCuts(&p, out[len("before"):], cuts, src); err != nil {
				t.Errorf("%+v: %s: %v", p, name, err)
			}
			again, _ := NewCutter(p).Cut(nil, nil, src)
			if !bytes.Equal(again, out[len("before"):]) {
				t.Errorf("%+v: %s: another time other bytes", p, name)
			}
		}
	})
}

// How well content is compressed: bytes stored for each 1000.
func TestRatio(t *testing.T) {
	words, random := text(4<<20), noise(4<<20)
	for _, c := range []struct {
		name  string
		p     Encoding
		src   []byte
		limit int
	}{
		{"lz4", Encoding{Algorithm: LZ4, Level: 1, PCluster: 64 << 10}, words, 610},
		{"lz4 in small clusters", Encoding{Algorithm: LZ4, Level: 1, PCluster: 4 << 10}, words, 930},
		{"zstd", Encoding{Algorithm: Zstd, Level: 3, PCluster: 64 << 10}, words, 420},
		{"zstd in small clusters", Encoding{Algorithm: Zstd, Level: 3, PCluster: 4 << 10}, words, 490},
		{"deflate", Encoding{Algorithm: Deflate, Level: 6, PCluster: 64 << 10}, words, 430},
		{"zeros", Encoding{Algorithm: Zstd, Level: 3, PCluster: 64 << 10}, make([]byte, 4<<20), 5},
		{"noise", Encoding{Algorithm: Deflate, Level: 6, PCluster: 64 << 10}, random, 1000},
		{"text behind noise", Encoding{Algorithm: Zstd, Level: 3, PCluster: 64 << 10}, append(random[:1<<20:1<<20], words[:3<<20]...), 600},
	} {
		c.p.BlockSize = bs
		out, _ := NewCutter(c.p).Cut(nil, nil, c.src)
		have := len(out) * 1000 / len(c.src)
		t.Logf("%s: %d", c.name, have)
		if have > c.limit {
			t.Errorf("%s: %d, want at most %d", c.name, have, c.limit)
		}
	}
}

// What does not compress is tried only now and then.
func TestSkipsNoise(t *testing.T) {
	src := noise(4 << 20)
	everyEncoding(func(p Encoding) {
		if p.Exact || p.PCluster > 64<<10 {
			return
		}
		c := NewCutter(p)
		counting := &counter{encoder: c.enc}
		c.enc = counting
		c.Cut(nil, nil, src)
		if counting.fills > 2 || counting.probes > 4<<20/maxSkip+16 {
			t.Errorf("%+v: %d clusters tried, %d probes", p, counting.fills, counting.probes)
		}
	})
}

type counter struct {
	encoder
	fills, probes int
}

func (c *counter) fill(src []byte, exact bool, last Cut) ([]byte, int) {
	c.fills++
	return c.encoder.fill(src, exact, last)
}

func (c *counter) promises(src []byte) bool {
	c.probes++
	return c.encoder.promises(src)
}

// A stream of deflate never begins with a zero byte, which would be taken for padding.
// A Cutter that is stopped returns after the extent that it is at.
func TestCutStops(t *testing.T) {
	src := text(1 << 20)
	everyEncoding(func(p Encoding) {
		c, asked := NewCutter(p), 0
		_, all := c.Cut(nil, nil, src)
		c.Stopped = func() bool {
			asked++
			return asked > 2
		}
		if _, cuts := c.Cut(nil, nil, src); len(all) > 2 && (len(cuts) != 2 || cuts[1] != all[1]) {
			t.Errorf("%+v: %d extents, want 2", p, len(cuts))
		}
		c.Stopped = nil
		if _, cuts := c.Cut(nil, nil, src); !slices.Equal(cuts, all) {
			t.Errorf("%+v: it cuts differently after it was stopped", p)
		}
	})
}

func TestDeflateBegins(t *testing.T) {
	encode := deflateEncoder(&Encoding{Algorithm: Deflate, Level: 6})
	for _, n := range []int{100, 22000, 60000, 70000, 130000} {
		src := append(noise(n), text(n)...)
		out := encode([]byte{1}, src)[1:]
		b, err := io.ReadAll(flate.NewReader(bytes.NewReader(out)))
		if out[0] == 0 || err != nil || !bytes.Equal(b, src) {
			t.Errorf("%d: begins with %#x, %v", n, out[0], err)
		}
	}
}

func TestEncoding(t *testing.T) {
	valid := Encoding{Algorithm: Zstd, Level: 3, PCluster: 64 << 10, BlockSize: bs}
	for _, c := range []struct {
		name   string
		change func(p *Encoding)
	}{
		{"level", func(p *Encoding) { p.Level = 23 }}, {"no level", func(p *Encoding) { p.Level = 0 }}, {"lzma", func(p *Encoding) { p.Algorithm = LZMA }},
		{"small", func(p *Encoding) { p.PCluster = 2048 }}, {"large", func(p *Encoding) { p.PCluster = 2 << 20 }}, {"odd", func(p *Encoding) { p.PCluster = 12 << 10 }},
		{"many blocks", func(p *Encoding) { p.BlockSize, p.PCluster = 512, 1<<20 }},
	} {
		p := valid
		if p.Validate() != nil {
			t.Fatal("the valid one is refused")
		}
		if c.change(&p); p.Validate() == nil {
			t.Errorf("%s: %+v is valid", c.name, p)
		}
	}
	for cluster, want := range map[int64]uint8{4 << 10: 14, 64 << 10: 18, 512 << 10: 20, 1 << 20: 20} {
		if p := (Encoding{PCluster: cluster}); p.WindowLog() != want {
			t.Errorf("window 2^%d for clusters of %d, want 2^%d", p.WindowLog(), cluster, want)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	src := append(text(3<<20), noise(1<<20)...)
	everyEncoding(func(p Encoding) {
		b.Run(fmt.Sprintf("%s-%d/%dK/exact=%v", p.Algorithm, p.Level, p.PCluster>>10, p.Exact), func(b *testing.B) {
			c := NewCutter(p)
			var out []byte
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				out, _ = c.Cut(out[:0], nil, src)
			}
			b.ReportMetric(float64(len(out))/float64(len(src)), "ratio")
		})
	})
}
