package vmdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zlib"

	"ocipipe/lib/reftest"
)

// pack returns b as a stream-optimized disk.
func pack(t testing.TB, b []byte, o StreamOptions) []byte {
	t.Helper()
	d, err := FromReaderAt("b", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return packDisk(t, d, o)
}

func packDisk(t testing.TB, d *Disk, o StreamOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := d.WriteStream(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack reads such a disk, and checks it on the way.
func unpack(b []byte) ([]byte, error) {
	s, err := OpenStream(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	if err := s.Check(context.Background()); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = s.WriteRaw(context.Background(), &out)
	if err == nil && int64(out.Len()) != s.Size() {
		err = fmt.Errorf("%d bytes of %d", out.Len(), s.Size())
	}
	return out.Bytes(), err
}

func TestStream(t *testing.T) {
	mixed := make([]byte, 3*grainSize)
	copy(mixed[grainSize+100:], noise(1000, 9))
	table := make([]byte, tableEntries*grainSize)
	copy(table, noise(512, 5))
	copy(table[len(table)-grainSize:], noise(grainSize, 5))
	for name, b := range map[string][]byte{
		"one sector":         noise(512, 1),
		"zero sector":        make([]byte, 512),
		"grain less one":     noise(grainSize-512, 2),
		"grain":              noise(grainSize, 3),
		"grain and one":      noise(grainSize+512, 4),
		"zeros":              make([]byte, 10*grainSize),
		"zeros around":       mixed,
		"a table":            table,
		"a table and sector": append(bytes.Clone(table), noise(512, 6)...),
	} {
		t.Run(name, func(t *testing.T) {
			out := pack(t, b, StreamOptions{Level: 1})
			if have, err := unpack(out); err != nil || !bytes.Equal(have, b) {
				t.Errorf("%d bytes, %v", len(have), err)
			}
			var piped bytes.Buffer
			if err := WriteStreamFrom(t.Context(), &piped, io.NopCloser(bytes.NewReader(b)), int64(len(b)), StreamOptions{Level: 1}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(piped.Bytes(), out) {
				t.Error("other bytes from a pipe")
			}
			if len(out)%SectorSize != 0 || !isZero(out[len(out)-SectorSize:]) {
				t.Error("it does not end in a sector of zeros")
			}
		})
	}
}

// TestStreamExtents: grains span extents, and holes are not read.
func TestStreamExtents(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file(t, dir, "a", noise(300032, 1)), sparse(t, dir, "b", 200<<10, 70000, 199000),
		file(t, dir, "c", noise(512, 2)), sparse(t, dir, "d", 1<<20), file(t, dir, "e", noise(66048, 3)))
	want := content(t, d)
	out := packDisk(t, d, StreamOptions{})
	if have, err := unpack(out); err != nil || !bytes.Equal(have, want) {
		t.Errorf("%d bytes of %d, %v", len(have), len(want), err)
	}
	if whole := pack(t, want, StreamOptions{}); !bytes.Equal(whole, out) {
		t.Error("other bytes where the extents are one")
	}
}

// TestStreamSparse: a disk whose directory has more than one sector takes no time.
func TestStreamSparse(t *testing.T) {
	d := open(t, sparse(t, t.TempDir(), "big", 5<<30+1536, 0, 4500000000, 5<<30+1000))
	out := packDisk(t, d, StreamOptions{})
	if len(out) > 100<<10 {
		t.Errorf("%d bytes", len(out))
	}
	s, err := OpenStream(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int64
	err = s.each(t.Context(), func(number int64, sector uint32) error {
		numbers = append(numbers, number)
		return nil
	})
	if want := []int64{0, 4500000000 / grainSize, 5 << 30 / grainSize}; err != nil || fmt.Sprint(numbers) != fmt.Sprint(want) {
		t.Errorf("grains %d, %v, want %d", numbers, err, want)
	}
	if err := s.Check(t.Context()); err != nil || s.Size() != 5<<30+1536 {
		t.Errorf("%d bytes, %v", s.Size(), err)
	}
}

// TestStreamSections walks the markers, as a reader without seeking would.
func TestStreamSections(t *testing.T) {
	b := append(noise(2*grainSize, 1), make([]byte, tableEntries*grainSize)...)
	out := pack(t, append(b, noise(512, 2)...), StreamOptions{})
	var walk []string
	for pos := int64(overhead); pos*SectorSize < int64(len(out)); {
		m := decodeMarker(out[pos*SectorSize:])
		n := int64(1) // sectors
		switch {
		case m.Size > 0:
			n = roundUp(markerHead+int64(m.Size), SectorSize) / SectorSize
			walk = append(walk, fmt.Sprint("grain ", m.Value/grainSectors))
		default:
			n += int64(m.Value)
			walk = append(walk, fmt.Sprint("type ", m.Type))
		}
		pos += n
	}
	if want := "grain 0 grain 1 type 1 grain 514 type 1 type 2 type 3 type 0"; strings.Join(walk, " ") != want {
		t.Errorf("%s; want %s", strings.Join(walk, " "), want)
	}
}

// TestStreamDeterministic: neither workers nor processors show in the bytes.
func TestStreamDeterministic(t *testing.T) {
	b := noise(20*grainSize+512, 7)
	want := sha256.Sum256(pack(t, b, StreamOptions{Jobs: 1}))
	for _, jobs := range []int{0, 2, 3, 16, 1 << 30} {
		if sha256.Sum256(pack(t, b, StreamOptions{Jobs: jobs})) != want {
			t.Errorf("other bytes with %d workers", jobs)
		}
	}
	var piped bytes.Buffer // the buffer of the last grain has been used before
	if err := WriteStreamFrom(t.Context(), &piped, io.NopCloser(bytes.NewReader(b)), int64(len(b)), StreamOptions{Jobs: 1}); err != nil || sha256.Sum256(piped.Bytes()) != want {
		t.Errorf("other bytes from a pipe, %v", err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if sha256.Sum256(pack(t, b, StreamOptions{})) != want {
		t.Error("other bytes with one processor")
	}
}

func TestStreamInput(t *testing.T) {
	b := noise(3*grainSize, 1)
	for _, c := range []struct {
		name string
		r    io.Reader
		size int64
		want error
		text string
	}{
		{"nothing", bytes.NewReader(nil), 512, io.ErrUnexpectedEOF, "ends at byte 0 of 512"},
		{"less than a head", bytes.NewReader(b[:600]), 1024, io.ErrUnexpectedEOF, "ends at byte 600 of 1024"},
		{"less", bytes.NewReader(b[:2*grainSize+7]), 3 * grainSize, io.ErrUnexpectedEOF, "ends at byte 131079 of 196608"},
		{"more", bytes.NewReader(b), grainSize, nil, "goes on after byte 65536"},
		{"more than a sector", bytes.NewReader(b), 512, nil, "goes on after byte 512"},
		{"no size", bytes.NewReader(b), 0, nil, "multiple of 512"},
		{"odd size", bytes.NewReader(b), 513, nil, "multiple of 512"},
		{"huge size", io.MultiReader(bytes.NewReader(b), neverRead{t}), maxCapacity + 512, ErrUnsupported, "stream-optimized ones end"},
		{"error", io.MultiReader(bytes.NewReader(b), brokenReader{}), 8 * grainSize, errBroken, ""},
		{"error behind", io.MultiReader(bytes.NewReader(b), brokenReader{}), 3 * grainSize, errBroken, ""},
	} {
		says(t, c.name, WriteStreamFrom(t.Context(), io.Discard, io.NopCloser(c.r), c.size, StreamOptions{Level: 1}), c.want, c.text)
	}
}

type neverRead struct{ t testing.TB }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("was read")
	return 0, io.EOF
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// TestStreamOutput: every write may fail.
func TestStreamOutput(t *testing.T) {
	b := append(noise(10*grainSize, 1), make([]byte, tableEntries*grainSize)...)
	for n := 0; ; n++ {
		w := &brokenWriter{left: n}
		err := WriteStreamFrom(t.Context(), w, io.NopCloser(bytes.NewReader(b)), int64(len(b)), StreamOptions{Level: 1, Jobs: 2})
		if err == nil {
			if n < 13 {
				t.Errorf("only %d writes", n)
			}
			return
		}
		if !errors.Is(err, errBroken) {
			t.Errorf("after %d writes: %v", n, err)
		}
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestStreamTooLong(t *testing.T) {
	s := &streamWriter{w: io.Discard, pos: math.MaxUint32}
	says(t, "2 TiB", s.write(make([]byte, SectorSize)), ErrUnsupported, "larger than 2 TiB")
}

// TestStreamRefused: a broken field anywhere is found.
func TestStreamRefused(t *testing.T) {
	good := pack(t, append(noise(2*grainSize, 1), make([]byte, 512)...), StreamOptions{})
	le := binary.LittleEndian
	end := len(good)
	dir := int(le.Uint64(good[end-1024+56:])) * SectorSize
	table := int(le.Uint32(good[dir:])) * SectorSize
	grain := int(le.Uint32(good[table+4:])) * SectorSize
	for _, c := range []struct {
		name  string
		spoil func(b []byte) []byte
		text  string
	}{
		{"empty", func(b []byte) []byte { return nil }, "cut short"},
		{"only a header", func(b []byte) []byte { return b[:512] }, "no footer"},
		{"cut", func(b []byte) []byte { return b[:end/2/512*512] }, "no footer"},
		{"cut by a byte", func(b []byte) []byte { return b[:end-1] }, "no footer"},
		{"cut by a sector", func(b []byte) []byte { return b[:end-512] }, "no footer"},
		{"longer", func(b []byte) []byte { return append(b, make([]byte, 512)...) }, "no footer"},
		{"no end", func(b []byte) []byte { b[end-1]++; return b }, "no footer"},
		{"footer differs", func(b []byte) []byte { b[end-1024+12]++; return b }, "does not match the header"},
		{"footer without directory", func(b []byte) []byte { le.PutUint64(b[end-1024+56:], dirAtEnd); return b }, "does not match the header"},
		{"directory outside", func(b []byte) []byte { le.PutUint64(b[end-1024+56:], uint64(end/512)); return b }, "directory at sector"},
		{"directory far outside", func(b []byte) []byte { le.PutUint64(b[end-1024+56:], 1<<63); return b }, "directory at sector"},
		{"table outside", func(b []byte) []byte { le.PutUint32(b[dir:], math.MaxUint32); return b }, "table at sector"},
		{"grain outside", func(b []byte) []byte { le.PutUint32(b[table:], uint32(end/512)); return b }, "grain at sector"},
		{"grains exchanged", func(b []byte) []byte { copy(b[table:], good[table+4:table+8]); return b }, "is marked as sector 128"},
		{"grain behind the disk", func(b []byte) []byte { le.PutUint32(b[table+12:], uint32(grain/512)); return b }, "after the end of the disk"},
		{"grain of no size", func(b []byte) []byte { le.PutUint32(b[grain+8:], 0); return b }, "compressed bytes"},
		{"grain of huge size", func(b []byte) []byte { le.PutUint32(b[grain+8:], math.MaxUint32); return b }, "compressed bytes"},
		{"no zlib", func(b []byte) []byte { b[grain+12] = 0; return b }, "zlib"},
		{"data", func(b []byte) []byte { b[grain+5000]++; return b }, "grain 1 at sector"},
		{"checksum", func(b []byte) []byte { b[grain+12+int(le.Uint32(b[grain+8:]))-1]++; return b }, "checksum"},
		{"data cut", func(b []byte) []byte { le.PutUint32(b[grain+8:], le.Uint32(b[grain+8:])-2); return b }, "unexpected EOF"},
		{"descriptor", func(b []byte) []byte { b[512]++; return b }, "descriptor: line 1"},
		{"descriptor of another size", func(b []byte) []byte {
			copy(b[512:], bytes.Replace(b[512:1536], []byte("RW 257"), []byte("RW 258"), 1))
			return b
		}, "the descriptor has 258 sectors"},
		{"behind the descriptor", func(b []byte) []byte { b[512+20*512-1]++; return b }, "not followed by zeros"},
	} {
		b := c.spoil(bytes.Clone(good))
		_, err := unpack(b)
		says(t, c.name, err, ErrCorrupt, c.text)
	}
	if _, err := unpack(good); err != nil {
		t.Error(err)
	}
}

// compact is a stream of b in grains of 4 KiB that is as short as it can be, so
// that a fuzzer gets somewhere: the table comes last, and there may be a footer.
func compact(t testing.TB, b []byte, footer bool) []byte {
	t.Helper()
	const grain, text, first = 8, 2, 3
	h := newHeader(int64(len(b)), 0)
	h.Grain, h.TextSize, h.Overhead = grain, text, first
	desc := Descriptor{CID: 1, CreateType: createStream, Lines: []Line{{Sectors: int64(h.Capacity), Type: typeSparse, Name: "x"}}}
	words, err := desc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var grains, table []byte
	for i := range len(b) / (grain * SectorSize) {
		table = binary.LittleEndian.AppendUint32(table, uint32(first+len(grains)/SectorSize))
		grains = append(grains, packGrain(t, b[i*grain*SectorSize:][:grain*SectorSize], uint64(i*grain))...)
	}
	end := uint32(first + len(grains)/SectorSize)
	h.Dir = uint64(end + tableSectors)
	head := h.encode()
	if footer {
		h.Dir = dirAtEnd
		head = h.encode()
		h.Dir = uint64(end + tableSectors)
	}
	out := append(head, words...)
	out = append(append(out, make([]byte, first*SectorSize-len(out))...), grains...)
	out = append(append(out, table...), make([]byte, tableSize-len(table))...)
	out = append(binary.LittleEndian.AppendUint32(out, end), make([]byte, SectorSize-4)...)
	if footer {
		mark := make([]byte, markerSize)
		marker{Value: 1, Type: markFooter}.encode(mark)
		out = append(append(append(out, mark...), h.encode()...), make([]byte, SectorSize)...)
	}
	return out
}

func packGrain(t testing.TB, b []byte, sector uint64) []byte {
	t.Helper()
	var out bytes.Buffer
	out.Write(make([]byte, markerHead))
	z := zlib.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	marker{Value: sector, Size: uint32(out.Len() - markerHead)}.encode(out.Bytes())
	return append(out.Bytes(), make([]byte, roundUp(int64(out.Len()), SectorSize)-int64(out.Len()))...)
}

// TestStreamShortGrain: only the last one may lack what is behind the disk.
func TestStreamShortGrain(t *testing.T) {
	b := bytes.Repeat([]byte("two grains"), 820)[:8192]
	good := compact(t, b, false)
	s, err := OpenStream(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	short := append(bytes.Clone(good), packGrain(t, b[:512], 0)...)
	s.bounded = bounded{bytes.NewReader(short), int64(len(short))}
	p := make([]byte, 4096)
	says(t, "in the middle", s.grain(p, 0, uint32(len(good)/SectorSize)), ErrCorrupt, "decompresses to 512 bytes")
	s.header.Capacity = 1
	p = bytes.Repeat([]byte("x"), 4096)
	if err := s.grain(p, 0, uint32(len(good)/SectorSize)); err != nil || !bytes.Equal(p[:512], b[:512]) || !isZero(p[512:]) {
		t.Errorf("the last: %v", err)
	}
}

// FuzzStream: what is read gives the same disk once it is written again.
func FuzzStream(f *testing.F) {
	for _, footer := range []bool{false, true} {
		b := bytes.Repeat([]byte("two grains"), 820)[:8192]
		seed := compact(f, b, footer)
		if have, err := unpack(seed); err != nil || !bytes.Equal(have, b) {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := OpenStream(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = s.Check(t.Context())
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("the error is of no kind: %v", err)
			}
			return
		}
		if s.Size() > 1<<20 {
			return
		}
		disk, err := unpack(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := unpack(pack(t, disk, StreamOptions{Level: 1, Jobs: 1}))
		if err != nil || !bytes.Equal(again, disk) {
			t.Errorf("another disk, %v", err)
		}
	})
}

// BenchmarkStream is over data of which half compresses.
func BenchmarkStream(b *testing.B) {
	data := noise(16<<20, 1)
	path := file(b, b.TempDir(), "a", data)
	d := open(b, path)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := d.WriteStream(b.Context(), io.Discard, StreamOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	os.Remove(path)
}

// TestStreamInputSilent: after an error of the output nobody waits for the input, and
// nothing is left.
func TestStreamInputSilent(t *testing.T) {
	before := reftest.RunningNow(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go w.Write(noise(3*grainSize, 1))
	if err := WriteStreamFrom(t.Context(), &brokenWriter{left: 1}, r, 1<<30, StreamOptions{Level: 1}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	w.Close()
	before.Left(t)
}

// TestCancelled: once its context is done each writer and check ends with the cause,
// whatever it waits for.
func TestCancelled(t *testing.T) {
	why := errors.New("no more")
	d := open(t, file(t, t.TempDir(), "a", noise(4*grainSize, 1)))
	packed := pack(t, noise(4*grainSize, 1), StreamOptions{})
	s, err := OpenStream(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	fromSilence := func(ctx context.Context, data []byte) error {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		go w.Write(data)
		return WriteStreamFrom(ctx, io.Discard, r, 1<<30, StreamOptions{})
	}
	file := create(t)
	before := reftest.RunningNow(t)
	for name, run := range map[string]func(ctx context.Context) error{
		"raw":             func(ctx context.Context) error { return d.WriteRaw(ctx, io.Discard) },
		"file":            func(ctx context.Context) error { return d.WriteFile(ctx, file) },
		"stream":          func(ctx context.Context) error { return d.WriteStream(ctx, io.Discard, StreamOptions{}) },
		"raw of a stream": func(ctx context.Context) error { return s.WriteRaw(ctx, io.Discard) },
		"check":           func(ctx context.Context) error { return s.Check(ctx) },
		"nothing comes":   func(ctx context.Context) error { return fromSilence(ctx, nil) },
		"no more comes":   func(ctx context.Context) error { return fromSilence(ctx, noise(3*grainSize, 1)) },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if strings.HasSuffix(name, "comes") {
			time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
		} else {
			cancel(why)
		}
		if err := run(ctx); err != why {
			t.Errorf("%s: %v", name, err)
		}
	}
	before.Left(t)
}
