package tree

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

const (
	head  = "#mtree ocipipe-tree 1 data=inline\n"
	none  = "#mtree ocipipe-tree 1 data=none\n"
	attrs = " mode=0644 uid=0 gid=0 time=0.000000000"
	root  = ". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n"
)

// end is the end line of a stream without a CRC.
func end(records, size int) string {
	return fmt.Sprintf("#end records=%d bytes=%d\n", records, size)
}

// sealed is stream, which has no end line, with one that has a CRC.
func sealed(stream string, records, size int) string {
	return fmt.Sprintf("%s#end records=%d bytes=%d crc32=%08x\n",
		stream, records, size, crc32.ChecksumIEEE([]byte(stream)))
}

// got is an entry with its content in memory.
type got struct {
	Entry
	data string
}

// readAll reads a stream to its end.
func readAll(r io.Reader, opts ReaderOptions) (list []got, props []Property, err error) {
	return readTo(r, opts, func(b *bytes.Buffer) io.Writer { return b })
}

// readLending is readAll into memory that the writer lends.
func readLending(r io.Reader, opts ReaderOptions) (list []got, props []Property, err error) {
	return readTo(r, opts, func(b *bytes.Buffer) io.Writer { return lender{b} })
}

// lender is a blockio.Lender. Each time it lends another number of bytes.
type lender struct{ *bytes.Buffer }

func (l lender) Lend() []byte {
	l.Grow(directMin + l.Len()%directMin)
	b := l.AvailableBuffer()
	return b[:cap(b)]
}

// readTo reads a stream to its end, its contents through what wrap returns.
func readTo(r io.Reader, opts ReaderOptions, wrap func(*bytes.Buffer) io.Writer) (list []got, props []Property, err error) {
	s, err := NewReader(r, opts)
	if err != nil {
		return nil, nil, err
	}
	for {
		e, err := s.Next()
		if err == io.EOF {
			return list, s.Props(), nil
		}
		if err != nil {
			return list, s.Props(), err
		}
		g := got{Entry: *e}
		if e.Content != nil {
			var b bytes.Buffer
			if _, err := e.Content.WriteTo(wrap(&b)); err != nil {
				return list, s.Props(), err
			}
			g.data, g.Content = b.String(), nil
		}
		list = append(list, g)
	}
}

// writeAll is the inverse of readAll.
func writeAll(list []got, opts WriterOptions) (string, error) {
	var b bytes.Buffer
	w := NewWriter(&b, opts)
	for _, g := range list {
		e := g.Entry
		if e.DataSize() > 0 {
			e.Content = fixed(g.data)
		}
		if err := w.Add(&e); err != nil {
			return "", err
		}
	}
	err := w.Close()
	return b.String(), err
}

// same fails the test unless a and b are the same entries.
func same(t *testing.T, a, b []got) {
	t.Helper()
	for i := range min(len(a), len(b)) {
		if !reflect.DeepEqual(a[i], b[i]) {
			t.Fatalf("entry %d:\n%+v\n%+v", i, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%d and %d entries", len(a), len(b))
	}
}

// sample is a small stream with one of everything.
func sample(t testing.TB) ([]got, []Property, string) {
	list := []got{
		{Entry: Entry{Path: ".", Type: Dir, Mode: 0o755, Xattrs: []Xattr{{"user.a=b c", "\x00v"}, Opaque}[:1]}},
		{Entry: Entry{Path: "a b\n", Type: File, Mode: 0o4755, UID: 1<<32 - 1, GID: 7, Time: Time{-2, 500000000}, Size: 5}, data: "hel\nl"},
		{Entry: Entry{Path: "hole", Type: File, Size: 1 << 40, Extents: []Extent{{0, 3}, {1 << 30, 2}}}, data: "abcde"},
		{Entry: Entry{Path: "hollow", Type: File, Size: 1 << 40, Extents: []Extent{}}},
		{Entry: Entry{Path: "hard", Type: File, Mode: 0o4755, UID: 1<<32 - 1, GID: 7, Time: Time{-2, 500000000}, Size: 5, Hardlink: "a b\n"}},
		{Entry: Entry{Path: "low", Type: File, Lower: &Lower{Targets: []string{"x/y"}}}},
		{Entry: Entry{Path: "low2", Type: File, Lower: &Lower{Targets: []string{"a", "b,\n", "c"}}}},
		{Entry: Entry{Path: "else", Type: File, Size: 5, Lower: &Lower{Targets: []string{"x, y/z"}, Else: true}}, data: "else\n"},
		{Entry: Entry{Path: "else2", Type: Fifo, Hardlink: "fifo", Lower: &Lower{Targets: []string{",", "x,y"}, Else: true}}},
		{Entry: Entry{Path: "empty", Type: File, Extra: &Keywords{{"x-a", "b c"}}}},
		{Entry: Entry{Path: "link", Type: Link, Mode: 0o777, Link: `../=\#`, Time: Time{1 << 40, 999999999}}},
		{Entry: Entry{Path: "dev/c", Type: Char, Dev: Device{1, 3}}},
		{Entry: Entry{Path: "dev/b", Type: Block, Dev: Device{1<<32 - 1, 1<<32 - 2}}},
		{Entry: Entry{Path: "gone", Type: Char}},
		{Entry: Entry{Path: "fifo", Type: Fifo}},
		{Entry: Entry{Path: "sock", Type: Socket, Nlink: 0}},
		{Entry: Entry{Path: "some", Type: Dir, Mode: 0o755, NoChange: true, Xattrs: []Xattr{Opaque}}},
	}
	props := []Property{{"diff-id", "sha256:00"}, {"layers", "a=b"}}
	text, err := writeAll(list, WriterOptions{Props: props})
	if err != nil {
		t.Fatal(err)
	}
	return list, props, text
}

// randomEntry is any entry that a stream can carry.
func randomEntry(rnd *rand.Rand) got {
	g := got{Entry: Entry{
		Path: randomPath(rnd),
		Type: File + Type(rnd.IntN(int(Socket))),
		Mode: uint16(rnd.IntN(0o10000)),
		UID:  rnd.Uint32(), GID: rnd.Uint32() >> rnd.IntN(32),
		Time: Time{int64(rnd.Uint64()) >> rnd.IntN(64), uint32(rnd.IntN(1e9))},
	}}
	if n := rnd.IntN(3); n > 0 {
		g.Extra = new(Keywords)
		for i := range n {
			*g.Extra = append(*g.Extra, Keyword{fmt.Sprintf("x-%d%s", i, randomBytes(rnd, 9)), randomBytes(rnd, 20)})
		}
	}
	for range rnd.IntN(3) {
		g.Xattrs = append(g.Xattrs, Xattr{fmt.Sprintf("user.%d%s", len(g.Xattrs), randomBytes(rnd, 9)), randomBytes(rnd, 20) + "\x00"})
	}
	switch g.Type {
	case File:
		randomFile(rnd, &g)
	case Link:
		g.Link = "/" + randomBytes(rnd, 30)
	case Char, Block:
		g.Dev = Device{rnd.Uint32(), rnd.Uint32()}
	case Dir:
		if g.NoChange = rnd.IntN(3) == 0; g.NoChange {
			g.Xattrs = nil
		}
	}
	if g.Type != Dir && g.Path == "." {
		g.Path = "a"
	}
	if g.Type != File && g.Type != Dir && rnd.IntN(3) == 0 {
		g.Hardlink = "h/" + randomPath(rnd)
		if strings.HasSuffix(g.Hardlink, ".") {
			g.Hardlink = "h"
		}
	}
	return g
}

func randomFile(rnd *rand.Rand, g *got) {
	switch rnd.IntN(4) {
	case 0:
		g.data = randomBytes(rnd, 5000)
		g.Size = int64(len(g.data))
	case 1:
		g.Extents = []Extent{}
		at := int64(rnd.IntN(2))
		for range rnd.IntN(5) {
			n := int64(1 + rnd.IntN(50))
			g.Extents = append(g.Extents, Extent{at, n})
			at += n + 1 + rnd.Int64N(1<<40)
		}
		g.Size = at + rnd.Int64N(1<<20)
		for g.DataSize() > int64(len(g.data)) {
			g.data += "\n"
		}
	case 2:
		g.Lower = &Lower{Targets: []string{"low"}}
		for range rnd.IntN(3) {
			g.Lower.Targets = append(g.Lower.Targets, "p,"+strings.Trim(strings.ReplaceAll(randomBytes(rnd, 30), "/", "x"), "."))
		}
	case 3:
		g.Lower = &Lower{Targets: []string{",", "x"}, Else: true}
	}
}

func randomPath(rnd *rand.Rand) string {
	if rnd.IntN(20) == 0 {
		return "."
	}
	p := strings.Trim(strings.ReplaceAll(randomBytes(rnd, 30), "/", "x"), ".")
	return "p" + p + "/" + "q" + p
}

// randomBytes is a string of up to n bytes without NUL.
func randomBytes(rnd *rand.Rand, n int) string {
	b := make([]byte, rnd.IntN(n+1))
	for i := range b {
		b[i] = byte(1 + rnd.IntN(255))
	}
	return string(b)
}

// step is 1, so that tests try every byte, and larger with -short.
func step() int {
	if testing.Short() {
		return 11
	}
	return 1
}
