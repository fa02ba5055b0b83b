package archive

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/reftest"
)

// mixed returns n bytes as disks have them: text, numbers, noise, zeros, periods of all the
// lengths that a decoder begins with.
func mixed(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := append(make([]byte, 0, n+1<<20), 7)
	for len(b) < n {
		size := 1 + r.IntN(1<<(5+r.IntN(15)))
		switch r.IntN(5) {
		case 0:
			b = append(b, bytes.Repeat([]byte{byte(r.IntN(3) * 127)}, size)...)
		case 1:
			for range size {
				b = append(b, byte(r.Uint32()))
			}
		case 2:
			for range size {
				b = append(b, byte('a'+r.IntN(6)))
			}
		case 3:
			period := []int{1, 2, 4, 8, 16, 31}[r.IntN(6)]
			for range size {
				b = append(b, b[max(0, len(b)-period)]+byte(r.IntN(50)/49))
			}
		case 4:
			from := r.IntN(len(b) + 1)
			b = append(b, b[from:min(len(b), from+size)]...)
		}
	}
	return b[:n]
}

func compressed(t testing.TB, data []byte, o WriterOptions, step int) []byte {
	t.Helper()
	var out bytes.Buffer
	c, err := newCompressor(t.Context(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := min(step, len(data))
		if _, err := c.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// segments counts how often a frame was begun again.
func segments(b []byte) (n int) {
	for c := range 256 {
		n += bytes.Count(b, reset(byte(c)))
	}
	return n
}

// Segments that are compressed by themselves are one frame, for this decoder and for that
// of zstd.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	for seed, level := range map[uint64]int{0: 1, 1: 3, 2: 6, 3: 12} {
		data := mixed(7<<20+int(seed), seed)
		b := compressed(t, data, WriterOptions{Level: level, Jobs: 3}, 1<<20+int(seed))
		if n := segments(b); n < 1 {
			t.Errorf("seed %d: %d segments", seed, n)
		}
		if again := compressed(t, data, WriterOptions{Level: level, Jobs: 1}, 70000); !bytes.Equal(b, again) {
			t.Errorf("seed %d: other bytes with one worker", seed)
		}
		d, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(d)
		d.Close()
		if err != nil || !bytes.Equal(out, data) {
			t.Errorf("seed %d: %d bytes, %v", seed, len(out), err)
		}
		name := filepath.Join(dir, "b.zst")
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if out := reftest.Run(t, "zstd", "-dcq", name); out != string(data) {
			t.Errorf("seed %d: zstd reads %d bytes", seed, len(out))
		}
	}
}

// Without a run the input is one segment; what is written to it does not pile up.
func TestNoRuns(t *testing.T) {
	data := noRuns(8 << 20)
	b := compressed(t, data, WriterOptions{Jobs: 2}, 1<<20)
	d, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if out, err := io.ReadAll(d); err != nil || !bytes.Equal(out, data) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// The blocks of reset mean what they should: after them a decoder has the offsets 1, 4, 8.
func TestReset(t *testing.T) {
	for c := range 256 {
		frame := append(frameHeader(), reset(byte(c))...)
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.DecodeAll(append(frame, lastBlock...), nil)
		d.Close()
		if err != nil || !bytes.Equal(out, bytes.Repeat([]byte{byte(c)}, resetLen)) {
			t.Fatalf("%d: %x, %v", c, out, err)
		}
	}
	// A block that uses the last offsets: a literal, and a match of 8 bytes. The values 1 to
	// 3 stand for them: code 0, or code 1 and a bit.
	for name, c := range map[string]struct {
		code, bits byte
		want       string
	}{
		"1": {0, 0b1, "xxxxxxxxx"},
		"4": {1, 0b10, "xcccxcccx"},
		"8": {1, 0b11, "xcccccccx"},
	} {
		b := append(frameHeader(), putBlockHead(nil, blockRaw, 20)...)
		b = append(append(b, "what is before it..."...), reset('c')...)
		b = append(putBlockHead(b, blockCompressed, 8), 1<<3, 'x', 1, 0x54, 1, c.code, 5, c.bits)
		if out := decoded(t, append(b, lastBlock...)); string(out) != "what is before it..."+strings.Repeat("c", resetLen)+c.want {
			t.Errorf("offset %s: %s", name, out)
		}
	}
}

func decoded(t testing.TB, b []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// noRuns returns n bytes that can be compressed, but have no run.
func noRuns(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*i>>7 ^ i>>3 ^ i<<1)
	}
	return data
}

func TestCompressorFails(t *testing.T) {
	running := reftest.RunningNow(t)
	why := errors.New("why")
	data := mixed(9<<20, 1)
	for _, after := range []int{0, 5, 1 << 20} {
		c, err := newCompressor(t.Context(), &failsAfter{after, why}, WriterOptions{Jobs: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, werr := c.Write(data)
		if err := c.Close(); !errors.Is(err, why) && !errors.Is(werr, why) {
			t.Errorf("after %d bytes: %v, %v", after, werr, err)
		}
	}
	c, err := newCompressor(t.Context(), io.Discard, WriterOptions{Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(data[:6<<20]); err != nil {
		t.Fatal(err)
	}
	c.abort()
	c.abort()
	running.Left(t)
}

type failsAfter struct {
	left int
	err  error
}

func (f *failsAfter) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func BenchmarkCompressor(b *testing.B) {
	data := mixed(64<<20, 1)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		out := compressed(b, data, WriterOptions{}, 1<<20)
		b.ReportMetric(float64(len(out))/float64(len(data)), "ratio")
	}
}
