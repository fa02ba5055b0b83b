package gunzip

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// newAhead is a Reader that decodes ahead from blocks of a size.
func newAhead(r io.Reader, workers, size int) *Reader {
	z := NewReader(r)
	z.Ahead(workers)
	z.ahead.size = size
	return z
}

// sameAhead fails unless decoding ahead gives the bytes and the error that one
// goroutine gives. It returns how many blocks were used that were decoded ahead.
func sameAhead(t *testing.T, open func() io.Reader, workers, size int) int {
	t.Helper()
	want, wantErr := io.ReadAll(NewReader(open()))
	z := newAhead(open(), workers, size)
	got, err := io.ReadAll(z)
	if !bytes.Equal(got, want) {
		t.Fatalf("%d workers, blocks of %d: %d bytes, want %d, or others", workers, size, len(got), len(want))
	}
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || errors.Is(err, ErrCorrupt) != errors.Is(wantErr, ErrCorrupt) {
		t.Fatalf("%d workers, blocks of %d: error %v, want %v", workers, size, err, wantErr)
	}
	return z.ahead.used
}

// flushed is data compressed in deflate blocks of about n bytes of it.
func flushed(t testing.TB, data []byte, n int) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := min(n, len(data))
		w.Write(data[:n])
		w.Flush()
		data = data[n:]
	}
	w.Close()
	return b.Bytes()
}

func reader(z []byte) func() io.Reader {
	return func() io.Reader { return bytes.NewReader(z) }
}

func TestAhead(t *testing.T) {
	levels := []int{flate.HuffmanOnly, 0, 1, 6}
	if testing.Short() { // the goroutines do the same at every level
		levels = levels[3:]
	}
	for name, data := range samples() {
		for _, level := range levels {
			z := compress(t, data, level)
			z = append(z, compress(t, bytes.Repeat(data, 2), level)...)
			z = append(z, 0, 0)
			for _, size := range []int{900, 5000, 70_000} {
				sameAhead(t, reader(z), 1+size%3, size)
			}
		}
		z := flushed(t, data, 5000)
		for _, size := range []int{900, 5000, 70_000} {
			taken := sameAhead(t, reader(z), 1+size%3, size)
			if name == "words" && size >= 5000 && taken < len(z)/size/2 {
				t.Errorf("%s, blocks of %d: %d were used of %d", name, size, taken, len(z)/size)
			}
		}
	}
}

// Many small members, in which hardly anything can be decoded ahead.
func TestAheadMembers(t *testing.T) {
	words := samples()["words"]
	var z []byte
	for i := range 300 {
		z = append(z, compress(t, words[i*1000:i*1000+i*1000%77_000], 1+i%9)...)
	}
	sameAhead(t, reader(z), 3, 20_000)
}

// Workers that come and go in the middle of the stream, and reading by chunks.
func TestAheadChanges(t *testing.T) {
	data := bytes.Repeat(samples()["words"], 4)
	z := NewReader(bytes.NewReader(compress(t, data, 6)))
	mem := [2][]byte{make([]byte, z.ChunkSize()), make([]byte, z.ChunkSize())}
	var got []byte
	for i := 0; ; i++ {
		b, err := z.ReadChunk(mem[i%2])
		got = append(got, b...)
		clear(mem[(i+1)%2])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		z.Ahead(i / 2 % 3)
		if z.ahead != nil {
			z.ahead.size = 20_000 // before the first block
		}
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d", len(got), len(data))
	}
	if z.ahead.used == 0 {
		t.Error("nothing was decoded ahead")
	}
}

// What is wrong is found at the same byte, after the same data.
func TestAheadErrors(t *testing.T) {
	z := flushed(t, samples()["words"], 7000)
	rng := rand.New(rand.NewPCG(3, 4))
	taken := 0
	for i := range 60 {
		bad := bytes.Clone(z)
		at := rng.IntN(len(z))
		switch i % 3 {
		case 0:
			bad[at] ^= 1 << rng.IntN(8)
		case 1:
			bad = bad[:at]
		default:
			bad = append(bad[:at], bad[min(len(bad), at+1+i):]...)
		}
		taken += sameAhead(t, reader(bad), 2, 8000)
		broken := func() io.Reader {
			return io.MultiReader(bytes.NewReader(z[:at]), iotest.ErrReader(errors.New("broken")))
		}
		sameAhead(t, broken, 3, 8000)
	}
	if taken < 250 {
		t.Errorf("only %d blocks were decoded ahead", taken)
	}
}

// A distance to before the beginning of the second member, which a goroutine that
// began in it cannot see.
func TestAheadBeginning(t *testing.T) {
	words := samples()["words"]
	b := bytes.NewBuffer(append(compress(t, words[:windowSize], 6), "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"...))
	w, _ := flate.NewWriter(b, 6)
	for i := range 10 { // each flush begins a deflate block
		w.Write(words[100_000+i*2000:][:2000])
		w.Flush()
	}
	w, _ = flate.NewWriterDict(b, 6, words[:windowSize])
	for range 10 {
		w.Write(words[:2000])
		w.Flush()
	}
	w.Close()
	z := b.Bytes()
	for size := 700; size < 1500; size += 50 {
		sameAhead(t, reader(z), 2, size)
	}
	if _, err := io.ReadAll(newAhead(bytes.NewReader(z), 2, 1000)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v", err)
	}
}

// Input is let go of in the middle of a deflate block, however long that is.
func TestAheadLongBlock(t *testing.T) {
	const n = 3 << 20
	var b bytes.Buffer
	b.WriteString("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	b.WriteByte(0x63) // the last block, with fixed codes; then zeros, 00110000 each
	b.Write(bytes.Repeat([]byte{0x60}, n))
	z := newAhead(bytes.NewReader(b.Bytes()), 2, 10_000)
	mem := [2][]byte{make([]byte, z.ChunkSize()), make([]byte, z.ChunkSize())}
	for i := 0; ; i++ {
		data, err := z.ReadChunk(mem[i%2])
		if held := len(z.ahead.blocks) + len(z.ahead.spare); held > 2+inSize/10_000+4 {
			t.Fatalf("%d blocks are held", held)
		}
		if err != nil {
			if len(data) > 0 || i < 10 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d chunks, %v", i, err)
			}
			return
		}
	}
}

// A Reader that is given up leaves no goroutine.
func TestAheadAbandoned(t *testing.T) {
	z := compress(t, bytes.Repeat(samples()["words"], 3), 6)
	before := runtime.NumGoroutine()
	for range 20 {
		r := newAhead(bytes.NewReader(z), 4, 20_000)
		io.ReadFull(r, make([]byte, 600_000))
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 1000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Every header of a block that codes of its own follow is found, at its bit.
func TestFindHeader(t *testing.T) {
	for _, name := range []string{"words", "skewed", "few letters"} {
		z := compress(t, samples()[name], 6)
		f := &inflater{r: bytes.NewReader(z), out: new(output)}
		f.need(8)
		f.jump(10 * 8)
		f.begin()
		found := 0
		for f.state != atEnd {
			f.room(f.out)
			if f.state == atHeader {
				bit := int(f.bit())
				if f.need(3) == nil && f.bits&7 == 4 && bit/8+headerRoom < len(z) {
					got := findHeader(z, max(0, bit-997))
					for got >= 0 && got < bit { // it may take others for one
						got = findHeader(z, got+1)
					}
					if got != bit {
						t.Fatalf("%s: header at bit %d, found at %d", name, bit, got)
					}
					found++
				}
			}
			if err := f.step(); err != nil {
				t.Fatal(err)
			}
		}
		if found < 3 {
			t.Errorf("%s: %d headers", name, found)
		}
	}
	if got := findHeader(bytes.Repeat([]byte{0}, 5000), 0); got != -1 {
		t.Errorf("found a header in zeros at %d", got)
	}
}

// FuzzAhead compares with one goroutine: the same bytes, the same error.
func FuzzAhead(f *testing.F) {
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			data = data[:min(len(data), 60_000)]
			if strings.HasPrefix(name, "runs") {
				data = data[:5000]
			}
			f.Add(compress(f, data, level), uint16(700))
			z := flushed(f, data, 3000)
			f.Add(append(z, z...), uint16(3000))
		}
	}
	f.Fuzz(func(t *testing.T, z []byte, size uint16) {
		want, wantErr := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(z)), 8<<20))
		got, err := io.ReadAll(io.LimitReader(newAhead(bytes.NewReader(z), 2, int(size)+1), 8<<20))
		if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("ahead: %d bytes, %v; in order: %d, %v", len(got), err, len(want), wantErr)
		}
	})
}

// TestAheadClose closes while others decode ahead: none of them is left.
func TestAheadClose(t *testing.T) {
	data := compress(t, bytes.Repeat([]byte(strings.Repeat("some words of text ", 50)), 20_000), 1)
	before := runtime.NumGoroutine()
	for i := range 50 {
		z := newAhead(bytes.NewReader(data), 4, 1<<13)
		io.CopyN(io.Discard, z, int64(i)*10_000)
		z.Close()
		if n := runtime.NumGoroutine(); n > before+4 { // which may have to return yet
			t.Fatalf("%d goroutines, and before %d", n, before)
		}
		for _, b := range z.ahead.blocks {
			t.Fatalf("a block is left: %v", b.off)
		}
		z.Close()
		if _, err := z.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	}
}
