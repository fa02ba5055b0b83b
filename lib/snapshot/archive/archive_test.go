package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/reftest"
	"ocipipe/lib/snapshot/fault"
)

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// file is a file for an archive, and what is read of it.
type file struct {
	name string
	size int64
	runs []Run
	data []byte // at the offset 0
}

func write(t testing.TB, o WriterOptions, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(context.Background(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		from := bytes.NewReader(f.data)
		if _, err := w.Add(Content{Name: f.name, Kind: "kind", Size: f.size, Runs: f.runs, From: from}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read reads all of an archive, as text.
func read(in io.Reader, o ReaderOptions) (string, error) {
	r, err := NewReader(context.Background(), in, o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	for {
		m, err := r.Next()
		if err == io.EOF {
			fmt.Fprintf(&b, "end %v", r.Ended())
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		sum := NewSum("kind", m)
		n, err := io.Copy(sum, r)
		if err != nil {
			return b.String(), err
		}
		if n != m.Stored {
			return b.String(), fmt.Errorf("%d bytes of %d", n, m.Stored)
		}
		fmt.Fprintf(&b, "%s dir=%v %d/%d %v %s\n", m.Name, m.Dir, m.Stored, m.Size, m.Runs, sum.Digest())
	}
}

var some = []file{
	{"empty", 0, nil, nil},
	{"one", 1, nil, []byte("1")},
	{"block", 512, nil, content(512)},
	{"more", 513, nil, content(513)},
	{"hole", 1 << 40, []Run{{1 << 40, 0}}, nil},
	{"sparse", 20000, []Run{{4096, 4096}, {12288, 7712}}, content(20000)},
	{"many", 60 * 8192, manyRuns(60), content(60 * 8192)},
	{strings.Repeat("n", 100), 3, nil, []byte("abc")},
}

func manyRuns(n int) (runs []Run) {
	for i := range int64(n) {
		runs = append(runs, Run{i * 8192, 4096})
	}
	return append(runs, Run{int64(n) * 8192, 0})
}

// What is written is read, whether compressed or not, and the bytes do not depend on the
// number of workers.
func TestRoundTrip(t *testing.T) {
	plain := write(t, WriterOptions{Plain: true}, some...)
	want, err := read(bytes.NewReader(plain), ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(want, "\n"); n != len(some) || !strings.HasSuffix(want, "end true") {
		t.Fatal(want)
	}
	first := write(t, WriterOptions{Jobs: 1}, some...)
	for _, o := range []WriterOptions{{}, {Jobs: 7}, {Level: 1}, {Level: 9}, {Level: 19}} {
		b := write(t, o, some...)
		if o.Level == 0 && !bytes.Equal(b, first) {
			t.Errorf("%v: other bytes than with one worker", o)
		}
		have, err := read(iotest.OneByteReader(bytes.NewReader(b)), ReaderOptions{})
		if err != nil || have != want {
			t.Errorf("%v: %s, %v, want %s", o, have, err, want)
		}
	}
}

// The vectors were made by msb 0.6.14, and by another implementation.
func TestTransport(t *testing.T) {
	a := "files/" + strings.Repeat("a", 64) + "/upper.ext4"
	for _, c := range []struct {
		m    Member
		data []byte
		want string
	}{
		{Member{Name: a, Stored: 5, Size: 5}, []byte("hello"), "69d424ab6e439a88be87a21e69e20926174edc70b2eb3d007c449f9e566eb2d6"},
		{Member{Name: a, Stored: 512, Size: 8192, Runs: []Run{{4096, 512}, {8192, 0}}}, bytes.Repeat([]byte("A"), 512), "a311bd75d9daee65c43565003d246adad04cc9b3ec8c79aa1d7e6681c9eb7069"},
		{Member{Name: "files/aa132041c0ca68ba00fd389a267c97aadcd8c4e4752cd8524fb97bda2ec38f6d/upper.ext4", Stored: 1, Size: 5242881, Runs: []Run{{5242880, 1}}}, []byte("e"),
			"0fed33d2971302c8f1047334a3da874761ae2cb18bef3898bd32553abbf87ddc"},
	} {
		sum := NewSum("file-payload", &c.m)
		sum.Write(c.data)
		if sum.Digest() != "blake3:"+c.want {
			t.Errorf("%s: %s", c.m.Name, sum.Digest())
		}
	}
}

func TestMap(t *testing.T) {
	for _, c := range []struct {
		data []Run
		size int64
		want []Run
	}{
		{nil, 0, nil},
		{nil, 5, []Run{{5, 0}}},
		{[]Run{{0, 5}}, 5, nil},
		{[]Run{{0, 4096}}, 4097, []Run{{0, 4096}, {4097, 0}}},
		{[]Run{{1, 1}}, 8192, []Run{{0, 4096}, {8192, 0}}},
		{[]Run{{4095, 2}}, 8192, nil},
		{[]Run{{0, 1}, {4096, 1}, {12288, 4096}}, 16384, []Run{{0, 8192}, {12288, 4096}}},
		{[]Run{{0, 1}, {1, 1}, {9000, 1}, {12289, 1}}, 12291, []Run{{0, 4096}, {8192, 4099}}},
	} {
		if have := Map(c.data, c.size); !reflect.DeepEqual(have, c.want) {
			t.Errorf("%v of %d: %v, want %v", c.data, c.size, have, c.want)
		}
	}
	var runs []Run
	for i := range int64(100) {
		runs = append(runs, Run{i*(i+1)/2*8192 + i*4096, 4096})
	}
	for _, limit := range []int{99, 50, 7, 1} {
		have := fillHoles(append([]Run(nil), runs...), limit)
		if len(have) != limit {
			t.Errorf("%d runs, limit %d", len(have), limit)
		}
		if end := have[len(have)-1].Off + have[len(have)-1].Len; have[0].Off != 0 || end != runs[99].Off+4096 {
			t.Errorf("limit %d: %v", limit, have)
		}
	}
}

// header returns a header with what change has made of it, and a right checksum.
func header(t testing.TB, m Member, change func(b *block)) []byte {
	t.Helper()
	head, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	b := (*block)(head[:blockSize])
	if change != nil {
		change(b)
	}
	copy(b[checksumOff:], fmt.Sprintf("%06o\x00 ", b.checksum()))
	return head
}

func typed(c byte) func(*block) { return func(b *block) { b[typeOff] = c } }

// msb accepts these too.
func TestReadsOthers(t *testing.T) {
	name := func(s string) func(*block) { return func(b *block) { copy(b[nameOff:], s) } }
	for _, c := range []struct {
		name string
		tar  []byte
		want string
	}{
		{"type NUL", header(t, Member{Name: "f"}, typed(0)), "f dir=false 0/0"},
		{"type 7", header(t, Member{Name: "f"}, typed('7')), "f dir=false 0/0"},
		{"directory", header(t, Member{Name: "d/"}, typed('5')), "d dir=true 0/0"},
		{"v7", header(t, Member{Name: "f"}, func(b *block) { clear(b[magicOff : magicOff+magicLen]) }), "f dir=false 0/0"},
		{"ustar prefix", header(t, Member{Name: "f"}, func(b *block) { copy(b[magicOff:], "ustar\x0000"); copy(b[prefixOff:], "a/b") }), "a/b/f dir=false 0/0"},
		{"no prefix in GNU's form", header(t, Member{Name: "f"}, func(b *block) { copy(b[prefixOff:], "a/b") }), "f dir=false 0/0"},
		{"spaces around numbers", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "         0 \x00") }), "f dir=false 0/0"},
		{"base 256", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") }), "f dir=false 0/0"},
		{"name of 100 bytes", header(t, Member{Name: "x"}, name(strings.Repeat("y", 100))), strings.Repeat("y", 100) + " dir=false 0/0"},
	} {
		for _, end := range []int{0, 512, 1024, 10240} {
			have, err := read(bytes.NewReader(append(bytes.Clone(c.tar), make([]byte, end)...)), ReaderOptions{})
			if err != nil || !strings.HasPrefix(have, c.want) || strings.HasSuffix(have, "end true") != (end > 0) {
				t.Errorf("%s: %s, %v", c.name, have, err)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	sparse := func(size, stored int64, runs ...Run) []byte {
		return header(t, Member{Name: "s", Size: size, Stored: stored, Runs: runs}, nil)
	}
	good := header(t, Member{Name: "f"}, nil)
	bad := bytes.Clone(good)
	bad[0]++
	for _, c := range []struct {
		name string
		tar  []byte
		said string
		is   error
	}{
		{"nothing", nil, "the input is empty", fault.ErrCorrupt},
		{"text", bytes.Repeat([]byte("text "), 200), "is text, not an archive of a snapshot", fault.ErrCorrupt},
		{"a script", []byte("#!/bin/sh\n"), "is a script, not an archive of a snapshot", fault.ErrCorrupt},
		{"a layer", []byte("\x1f\x8b\x08\x00"), "is compressed with gzip, not an archive", fault.ErrCorrupt},
		{"an image", append(append(make([]byte, 1024), "\xe2\xe1\xf5\xe0"...), make([]byte, 3068)...), "is an EROFS image, not", fault.ErrCorrupt},
		{"junk", bytes.Repeat([]byte{1, 2}, 500), "not a header of tar", fault.ErrCorrupt},
		{"checksum", bad, "checksum is wrong", fault.ErrCorrupt},
		{"checksum in base 256", func() []byte {
			b := bytes.Clone(good)
			copy(b[checksumOff:], "\x80\x00\x00\x00\x00\x00\x10\x00")
			return b
		}(), "checksum is wrong", fault.ErrCorrupt},
		{"half a frame", []byte("\x28\xb5\x2f\xfd\x04"), "zstd stream is cut short", fault.ErrCorrupt},
		{"half a header", good[:300], "cut short in a header", fault.ErrCorrupt},
		{"hard link", header(t, Member{Name: "f"}, typed('1')), "type '1'", fault.ErrUnsupported},
		{"symbolic link", header(t, Member{Name: "f"}, typed('2')), "type '2'", fault.ErrUnsupported},
		{"device", header(t, Member{Name: "f"}, typed('3')), "type '3'", fault.ErrUnsupported},
		{"fifo", header(t, Member{Name: "f"}, typed('6')), "type '6'", fault.ErrUnsupported},
		{"pax", header(t, Member{Name: "f"}, typed('x')), "type 'x'", fault.ErrUnsupported},
		{"global pax", header(t, Member{Name: "f"}, typed('g')), "type 'g'", fault.ErrUnsupported},
		{"long name", header(t, Member{Name: "f"}, typed('L')), "type 'L'", fault.ErrUnsupported},
		{"directory with data", append(header(t, Member{Name: "d", Stored: 1}, typed('5')), make([]byte, 512)...), "a directory with data", fault.ErrCorrupt},
		{"twice", append(bytes.Clone(good), good...), "f: is there twice", fault.ErrCorrupt},
		{"twice, as a directory", append(bytes.Clone(good), header(t, Member{Name: "f/"}, typed('5'))...), "f: is there twice", fault.ErrCorrupt},
		{"after the end", append(append(bytes.Clone(good), make([]byte, 1024)...), good...), "something follows", fault.ErrCorrupt},
		{"zero and then a member", append(append(bytes.Clone(good), make([]byte, 512)...), good...), "something follows", fault.ErrCorrupt},
		{"size not a number", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "00000000009\x00") }), "not an octal number", fault.ErrCorrupt},
		{"negative size", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "-0000000001\x00") }), "not an octal number", fault.ErrCorrupt},
		{"negative in base 256", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], strings.Repeat("\xff", 12)) }), "not an octal number", fault.ErrCorrupt},
		{"too large in base 256", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "\x80\x01"+strings.Repeat("\x00", 10)) }), "too large", fault.ErrCorrupt},
		{"2^63", header(t, Member{Name: "f"}, func(b *block) { copy(b[sizeOff:], "\x80\x00\x00\x00\x80"+strings.Repeat("\x00", 7)) }), "too large", fault.ErrCorrupt},
		{"huge", header(t, Member{Name: "f", Stored: 1 << 50}, nil), "more than 70368744177664 bytes", fault.ErrUnsupported},
		{"huge hole", sparse(1<<62, 0, Run{1 << 62, 0}), "more than 70368744177664 bytes", fault.ErrUnsupported},
		{"no data", header(t, Member{Name: "f", Stored: 5}, nil), "cut short in the data of f", fault.ErrCorrupt},
		{"no padding", append(header(t, Member{Name: "f", Stored: 5}, nil), "hello"...), "cut short in the end of f", fault.ErrCorrupt},
		{"overlap", sparse(8192, 2048, Run{0, 1024}, Run{512, 1024}, Run{8192, 0}), "overlaps or runs backwards", fault.ErrCorrupt},
		{"backwards", sparse(8192, 2048, Run{4096, 1024}, Run{0, 1024}, Run{8192, 0}), "overlaps or runs backwards", fault.ErrCorrupt},
		{"beyond the size", sparse(8192, 512, Run{8000, 512}), "beyond the size", fault.ErrCorrupt},
		{"overflow", sparse(8192, 512, Run{512, 1<<63 - 1}), "beyond the size", fault.ErrCorrupt},
		{"ends early", sparse(8192, 512, Run{0, 512}), "sparse map ends at 512", fault.ErrCorrupt},
		{"no map", header(t, Member{Name: "s", Size: 8192, Runs: []Run{}}, nil), "sparse map ends at 0", fault.ErrCorrupt},
		{"other sum", sparse(8192, 1024, Run{0, 512}, Run{8192, 0}), "sparse map has 512 bytes", fault.ErrCorrupt},
		{"not aligned", sparse(8192, 1024, Run{0, 100}, Run{4096, 924}, Run{8192, 0}), "does not begin at a multiple of 512", fault.ErrCorrupt},
		{"gap in the map", header(t, Member{Name: "s", Size: 512, Stored: 0, Runs: []Run{{512, 0}}}, func(b *block) {
			copy(b[sparseOff+runLen:], b[sparseOff:sparseOff+runLen])
			clear(b[sparseOff : sparseOff+runLen])
		}), "sparse map with a gap", fault.ErrCorrupt},
		{"no more map", header(t, Member{Name: "s", Size: 4096, Stored: 0, Runs: []Run{{4096, 0}}}, func(b *block) { b[extendedOff] = 1 }), "cut short in the sparse map of s", fault.ErrCorrupt},
	} {
		have, err := read(bytes.NewReader(c.tar), ReaderOptions{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %s, %v", c.name, have, err)
		}
	}
	if _, err := read(bytes.NewReader(write(t, WriterOptions{Plain: true}, some...)), ReaderOptions{MaxMembers: 3}); err == nil || err.Error() != "more than 3 members, the limit" {
		t.Error(err)
	}
	if have, err := read(bytes.NewReader(header(t, Member{Name: "f", Size: 1 << 62, Runs: []Run{{1 << 62, 0}}}, nil)), ReaderOptions{MaxSize: -1, MaxMembers: -1}); err != nil {
		t.Error(have, err)
	}
}

// A map of more than a million runs is refused before it is in memory.
func TestTooManyRuns(t *testing.T) {
	head := header(t, Member{Name: "s", Size: 1 << 40, Runs: manyRuns(4)[:4]}, func(b *block) { b[extendedOff] = 1 })
	var b block
	for i := range runsInBlock {
		copy(b[i*runLen:], "07777777777\x0000000000000\x00")
	}
	b[moreOff] = 1
	_, err := read(io.MultiReader(bytes.NewReader(head), endless(b[:])), ReaderOptions{})
	if err == nil || !strings.Contains(err.Error(), "more than 1000000 runs") {
		t.Error(err)
	}
}

// The runs of all members count: a reader keeps them, and those that are equal take hardly
// any room in zstd.
func TestTooManyRunsTogether(t *testing.T) {
	reftest.OneThread(t)
	runs := make([]Run, MaxRuns/2)
	first, second := header(t, Member{Name: "a", Runs: runs}, nil), header(t, Member{Name: "b", Runs: runs}, nil)
	if _, err := read(io.MultiReader(bytes.NewReader(first), bytes.NewReader(second)), ReaderOptions{}); err != nil {
		t.Error(err)
	}
	third := header(t, Member{Name: "c", Runs: runs[:1]}, nil)
	_, err := read(io.MultiReader(bytes.NewReader(first), bytes.NewReader(second), bytes.NewReader(third)), ReaderOptions{})
	if err == nil || err.Error() != "c: sparse maps of more than 1000000 runs together" {
		t.Error(err)
	}
}

type endless []byte

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// Every cut of a plain archive is noticed, but for one in its end, and every cut of a
// compressed one.
func TestCutShort(t *testing.T) {
	files := []file{{"one", 600, nil, content(600)}, {"sparse", 20000, []Run{{4096, 4096}, {20000, 0}}, content(20000)}}
	for _, plain := range []bool{true, false} {
		b := write(t, WriterOptions{Plain: plain}, files...)
		for n := range len(b) {
			have, err := read(bytes.NewReader(b[:n]), ReaderOptions{})
			boundary := plain && strings.HasSuffix(have, "end false") || plain && n >= len(b)-blockSize
			if err == nil && !boundary {
				t.Fatalf("plain %v: %d of %d bytes: %s", plain, n, len(b), have)
			}
			if err != nil && !errors.Is(err, fault.ErrCorrupt) {
				t.Fatalf("plain %v: %d of %d bytes: %v", plain, n, len(b), err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	why := errors.New("why")
	b := write(t, WriterOptions{}, some...)
	for _, n := range []int{0, 2, 100, len(b)} {
		in := io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(why))
		if _, err := read(in, ReaderOptions{}); !errors.Is(err, why) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	w, err := NewWriter(t.Context(), failing{why}, WriterOptions{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.AddBytes("a", "kind", []byte("a")); !errors.Is(err, why) {
			t.Error(err)
		}
	}
	if err := w.Close(); !errors.Is(err, why) {
		t.Error(err)
	}
	for _, c := range []Content{
		{Name: strings.Repeat("n", 101), From: bytes.NewReader(nil)},
		{Name: "short", Size: 5, From: strings.NewReader("abc")},
		{Name: "map", Size: 5000, Runs: []Run{{0, 100}, {4096, 904}}, From: bytes.NewReader(content(5000))},
	} {
		w, err := NewWriter(t.Context(), io.Discard, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Add(c); err == nil {
			t.Errorf("%s: accepted", c.Name)
		}
		w.Abort()
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// The frame is one, and its window is one that msb reads.
func TestFrame(t *testing.T) {
	for _, level := range []int{1, 3, 9, 22} {
		b := write(t, WriterOptions{Level: level}, file{"f", 9 << 20, nil, content(9 << 20)})
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		if h.WindowSize > 8<<20 || h.Skippable {
			t.Errorf("level %d: %+v", level, h)
		}
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.IgnoreChecksum(false))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, d)
		if err != nil || n != 9<<20+3*512 {
			t.Errorf("level %d: %d bytes, %v", level, n, err)
		}
		if frames := bytes.Count(b, zstdMagic); frames != 1 {
			t.Errorf("level %d: %d frames", level, frames)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, o := range []WriterOptions{{Plain: true}, {}} {
		seed := write(f, o, some[:6]...)
		if _, err := read(bytes.NewReader(seed), ReaderOptions{}); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		_, err := read(bytes.NewReader(in), ReaderOptions{})
		if err != nil && !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
			t.Fatal(err)
		}
	})
}
