package tree

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
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
			if _, err := e.Content.WriteTo(&b); err != nil {
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
		{Entry: Entry{Path: "low", Type: File, Hardlink: "x/y", Lower: true}},
		{Entry: Entry{Path: "empty", Type: File, Extra: []Keyword{{"x-", ""}, {"x-a", "b c"}}[1:]}},
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

func TestRoundTrip(t *testing.T) {
	list, props, text := sample(t)
	if !strings.HasPrefix(text, head+"#:diff-id=sha256:00\n#:layers=a\\075b\n. type=dir") {
		t.Errorf("stream is %q", text)
	}
	readers := map[string]func(io.Reader) io.Reader{
		"plain":    func(r io.Reader) io.Reader { return r },
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"data err": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			back, p, err := readAll(wrap(strings.NewReader(text)), ReaderOptions{RequireCRC: true, NeedData: true})
			if err != nil {
				t.Fatal(err)
			}
			same(t, back, list)
			if !reflect.DeepEqual(p, props) {
				t.Errorf("properties are %v", p)
			}
			again, err := writeAll(back, WriterOptions{Props: p})
			if err != nil || again != text {
				t.Errorf("written again: %v\n%s\n%s", err, again, text)
			}
		})
	}
}

// TestRoundTripRandom is reader(writer(x)) == x.
func TestRoundTripRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var list []got
		for range rnd.IntN(40) {
			list = append(list, randomEntry(rnd))
		}
		text, err := writeAll(list, WriterOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, _, err := readAll(strings.NewReader(text), ReaderOptions{RequireCRC: true})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		same(t, back, list)
	}
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
	for range rnd.IntN(3) {
		g.Extra = append(g.Extra, Keyword{fmt.Sprintf("x-%d%s", len(g.Extra), randomBytes(rnd, 9)), randomBytes(rnd, 20)})
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
		g.Hardlink, g.Lower = "low", true
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

// TestReaderRefuses has a violation of every rule.
func TestReaderRefuses(t *testing.T) {
	file := func(words string) string { return head + "./a type=file" + attrs + words + "\n" + end(1, 0) }
	dir := func(words string) string { return head + "./a type=dir" + attrs + words + "\n" + end(1, 0) }
	path := func(p string) string { return head + p + " type=dir" + attrs + "\n" + end(1, 0) }
	bare := func(words string) string { return head + "./a " + words + "\n" + end(1, 0) }
	noData := func(words string) string { return none + "./a " + words + "\n" + end(1, 0) }
	props := func(n int, value string) (s string) {
		for i := range n {
			s += fmt.Sprintf("#:p%d=%s\n", i, value)
		}
		return s
	}
	sum := strings.Repeat("0a", 32)
	many := strings.Repeat("/"+strings.Repeat("d", 255), 16)

	// What the rules allow, so that each refusal below is for its own reason.
	accepted := map[string]string{
		"nothing at all":     head + end(0, 0),
		"file":               file(" size=0"),
		"any order":          bare("gid=1 uid=0 size=0 time=0.000000000 mode=0644 type=file"),
		"100 properties":     head + props(100, strings.Repeat("v", MaxLine/101)) + end(0, 0),
		"crc":                sealed(head+root, 1, 0),
		"upper-case crc":     head + "#end records=0 bytes=0 crc32=" + fmt.Sprintf("%08X", crc32.ChecksumIEEE([]byte(head))) + "\n",
		"escaped letters":    path(`./\141\057b`),
		"path of 4095":       path("." + many[:4096]),
		"component of 255":   path("./" + strings.Repeat(`\001`, 255)),
		"xattr of 255":       dir(" xattr." + strings.Repeat("n", 255) + "="),
		"xattr value":        dir(" xattr.a=" + strings.Repeat("AAAA", 65535/3)),
		"smallest time":      bare("type=fifo mode=0000 uid=0 gid=0 time=-9223372036854775808.000000000"),
		"largest time":       bare("type=fifo mode=0000 uid=0 gid=0 time=9223372036854775807.999999999"),
		"largest hole":       file(" size=9223372036854775807 extents=-"),
		"lower link":         file(" size=0 hardlink=./b lower"),
		"opaque nochange":    dir(" nochange xattr.trusted.overlay.opaque=eQ=="),
		"mode without zeros": noData("type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 nlink=2 sha256digest=" + sum),
		"mode of gomtree":    noData("type=fifo mode=07777 uid=0 gid=0 time=0.000000000"),
		"link of gomtree":    noData(`type=link mode=0777 uid=0 gid=0 time=0.000000000 link=a=b\\134`),
	}
	for name, in := range accepted {
		if _, _, err := readAll(strings.NewReader(in), ReaderOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	for _, c := range []struct{ name, in, want string }{
		{"no magic", "#mtree\n", "first line"},
		{"other version", "#mtree ocipipe-tree 2 data=inline\n", "first line"},
		{"other data", "#mtree ocipipe-tree 1 data=some\n" + end(0, 0), "first line"},
		{"magic without line feed", "#mtr", "first line"},
		{"CR LF", strings.ReplaceAll(head+end(0, 0), "\n", "\r\n"), "first line"},

		{"property without value", head + "#:a\n" + end(0, 0), "property"},
		{"property key", head + "#:A=b\n" + end(0, 0), "property"},
		{"property key of digits", head + "#:1=b\n" + end(0, 0), "property"},
		{"empty property key", head + "#:=b\n" + end(0, 0), "property"},
		{"property twice", head + "#:a=b\n#:a=c\n" + end(0, 0), "property a appears twice"},
		{"raw property value", head + "#:a=b c\n" + end(0, 0), "must be written \\040"},
		{"101 properties", head + props(101, "") + end(0, 0), "more than 100 properties"},
		{"large properties", head + props(3, strings.Repeat("v", MaxLine/3)) + end(0, 0), "bytes of them"},
		{"property behind a record", head + root + "#:a=b\n" + end(1, 0), "comment"},

		{"comment", head + "# hello\n" + end(0, 0), "comment"},
		{"blank line", head + "\n" + end(0, 0), "blank line"},
		{"/set", head + "/set type=file\n" + end(0, 0), "does not begin with ./"},
		{"continuation", head + "./a type=dir \\\n mode=0755 uid=0 gid=0 time=0.000000000\n" + end(1, 0), "unknown keyword"},
		{"space before", path(" ./a"), "does not begin with ./"},
		{"two spaces", file("  size=0"), "more than one space"},
		{"space behind", file(" size=0 "), "more than one space"},
		{"tab", file("\tsize=0"), "time is not"},
		{"line too long", file(" size=0 x-a=" + strings.Repeat("x", MaxLine)), "line longer than 1048576"},

		{"relative path", path("a"), "does not begin with ./"},
		{"absolute path", path("/a"), "does not begin with ./"},
		{"no path", path("./"), `component ""`},
		{"dot", path("./."), `component "."`},
		{"inner dot", path("./a/./b"), `component "."`},
		{"dot dot", path("./a/../b"), `component ".."`},
		{"escaped dot dot", path(`./\056\056`), `component ".."`},
		{"outside", path("../a"), "does not begin with ./"},
		{"empty component", path("./a//b"), `component ""`},
		{"slash behind", path("./a/"), `component ""`},
		{"long component", path("./" + strings.Repeat("n", 256)), "component of 256 bytes"},
		{"long path", path("." + many[:4095] + "/a"), "path of 4096 bytes"},
		{"NUL", path(`./a\000`), "escape"},
		{"octal over 377", path(`./a\400`), "escape"},
		{"two octal digits", path(`./a\01`), "escape"},
		{"digit 8", path(`./a\018`), "escape"},
		{"other escape", path(`./a\n`), "escape"},
		{"double backslash", path(`./a\\`), "escape"},
		{"raw glob", path(`./a*`), "must be written \\052"},
		{"raw equals", path(`./a=b`), "must be written \\075"},
		{"raw byte", path("./\xe9"), "must be written \\351"},
		{"root is a file", head + ". type=file" + attrs + " size=0\n" + end(1, 0), "root is not a directory"},

		{"no words", head + "./a\n" + end(1, 0), "type is missing"},
		{"unknown type", bare("type=door" + attrs), "type is missing or unknown"},
		{"empty type", bare("type=" + attrs), "type is missing or unknown"},
		{"no mode", bare("type=fifo uid=0 gid=0 time=0.000000000"), "mode"},
		{"three digits", bare("type=fifo mode=644 uid=0 gid=0 time=0.000000000"), "mode"},
		{"five digits", bare("type=fifo mode=00644 uid=0 gid=0 time=0.000000000"), "mode"},
		{"mode 8", bare("type=fifo mode=0648 uid=0 gid=0 time=0.000000000"), "mode"},
		{"mode over 7777", noData("type=fifo mode=10000 uid=0 gid=0 time=0.000000000"), "mode"},
		{"no uid", bare("type=fifo mode=0644 gid=0 time=0.000000000"), "uid or gid"},
		{"no gid", bare("type=fifo mode=0644 uid=0 time=0.000000000"), "uid or gid"},
		{"uid of 33 bits", bare("type=fifo mode=0644 uid=4294967296 gid=0 time=0.000000000"), "uid or gid"},
		{"leading zero", bare("type=fifo mode=0644 uid=00 gid=0 time=0.000000000"), "uid or gid"},
		{"negative uid", bare("type=fifo mode=0644 uid=-1 gid=0 time=0.000000000"), "uid or gid"},
		{"no time", bare("type=fifo mode=0644 uid=0 gid=0"), "time"},
		{"time without fraction", bare("type=fifo mode=0644 uid=0 gid=0 time=0"), "time"},
		{"time of 8 digits", bare("type=fifo mode=0644 uid=0 gid=0 time=0.00000000"), "time"},
		{"time of 10 digits", bare("type=fifo mode=0644 uid=0 gid=0 time=0.0000000000"), "time"},
		{"negative zero", bare("type=fifo mode=0644 uid=0 gid=0 time=-0.500000000"), "time"},
		{"time over 63 bits", bare("type=fifo mode=0644 uid=0 gid=0 time=9223372036854775808.000000000"), "time"},
		{"plus", bare("type=fifo mode=0644 uid=0 gid=0 time=+1.000000000"), "time"},

		{"file without size", file(""), "size belongs"},
		{"dir with size", dir(" size=0"), "size belongs"},
		{"size", file(" size=x"), "size is not"},
		{"size of 64 bits", file(" size=9223372036854775808"), "size is not"},
		{"size of 20 digits", file(" size=18446744073709551617"), "size is not"},
		{"link without target", bare("type=link" + attrs), "link belongs"},
		{"empty target", bare("type=link" + attrs + " link="), "link target is empty"},
		{"long target", bare("type=link" + attrs + " link=" + strings.Repeat("t", 4096)), "link target"},
		{"raw target", bare("type=link" + attrs + " link=a=b"), "link: byte 0x3d"},
		{"file with target", file(" size=0 link=a"), "link belongs"},
		{"no device", bare("type=char" + attrs), "device belongs"},
		{"no device without data", noData("type=char" + attrs), "device belongs"},
		{"fifo with device", bare("type=fifo" + attrs + " device=native,1,2"), "device belongs"},
		{"device of NetBSD", bare("type=block" + attrs + " device=0x103"), "device is not"},
		{"device with subunit", bare("type=block" + attrs + " device=native,1,2,3"), "device is not"},
		{"large device", bare("type=block" + attrs + " device=native,1,4294967296"), "device is not"},

		{"unknown word", file(" size=0 flags=none"), `unknown keyword "flags"`},
		{"word of capitals", file(" size=0 Mode=0644"), "unknown keyword"},
		{"escaped word", file(` size=0 m\157de=0644`), "unknown keyword"},
		{"empty word", file(" size=0 =a"), `unknown keyword ""`},
		{"word twice", file(" size=0 mode=0644"), "mode appears twice"},
		{"lower with a value", file(" size=0 hardlink=./b lower=1"), "lower has a value"},
		{"lower with an empty value", file(" size=0 hardlink=./b lower="), "lower has a value"},
		{"size without a value", file(" size"), "size has no value"},
		{"x- without a name", file(" size=0 x-=1"), "unknown keyword"},
		{"x- without a value", file(" size=0 x-a"), "unknown keyword"},
		{"x- twice", file(` size=0 x-a=1 x-\141=1`), "x-a appears twice"},
		{"raw x- value", file(" size=0 x-a=1=2"), "must be written"},
		{"digest with data", file(" size=0 sha256digest=" + sum), "without data"},
		{"nlink with data", file(" size=0 nlink=1"), "without data"},
		{"short digest", noData("type=file" + attrs + " size=0 sha256digest=00"), "64 lower-case"},
		{"digest in capitals", noData("type=file" + attrs + " size=0 sha256digest=" + strings.ToUpper(sum)), "64 lower-case"},
		{"digest of a fifo", noData("type=fifo" + attrs + " sha256digest=" + sum), "belongs to files"},
		{"nlink", noData("type=fifo" + attrs + " nlink=x"), "nlink"},

		{"lower alone", file(" size=0 lower"), "lower without hardlink"},
		{"lower with size", file(" size=1 hardlink=./b lower"), "of size 0"},
		{"lower fifo", bare("type=fifo" + attrs + " hardlink=./b lower"), "of size 0"},
		{"linked directory", dir(" hardlink=./b"), "hard link to a directory"},
		{"link to the root", file(" size=0 hardlink=."), "hard link to a directory"},
		{"unclean link", file(" size=0 hardlink=b"), "hardlink: path does not begin"},
		{"nochange of a file", file(" size=0 nochange"), "nochange belongs to directories"},
		{"nochange with attributes", dir(" nochange xattr.user.a="), "not the opaque mark"},
		{"nochange, not opaque", dir(" nochange xattr.trusted.overlay.opaque=eA=="), "not the opaque mark"},

		{"extents of a directory", dir(" extents=-"), "extents belong"},
		{"extents without data", noData("type=file" + attrs + " size=0 extents=-"), "extents belong"},
		{"no extents", file(" size=9 extents="), "OFFSET+LENGTH"},
		{"hyphen in the list", file(" size=9 extents=0+1,-"), "OFFSET+LENGTH"},
		{"comma behind", file(" size=9 extents=0+1,"), "OFFSET+LENGTH"},
		{"extent without length", file(" size=9 extents=5"), "OFFSET+LENGTH"},
		{"empty extent", file(" size=9 extents=0+0"), "empty, touch"},
		{"touching", file(" size=9 extents=0+1,1+1"), "empty, touch"},
		{"overlapping", file(" size=9 extents=0+5,4+1"), "empty, touch"},
		{"descending", file(" size=9 extents=5+1,0+1"), "empty, touch"},
		{"past the size", file(" size=9 extents=5+5"), "past the size"},
		{"far past the size", file(" size=9 extents=1+9223372036854775807"), "past the size"},

		{"xattr without name", dir(" xattr.=AA=="), "xattr name"},
		{"xattr without value", dir(" xattr.a"), "unknown keyword"},
		{"long xattr name", dir(" xattr." + strings.Repeat("n", 256) + "="), "xattr name"},
		{"raw xattr name", dir(" xattr.a#="), "must be written"},
		{"xattr twice", dir(` xattr.a=AA== xattr.\141=AA==`), "a appears twice"},
		{"base64", dir(" xattr.a=%"), "not base64"},
		{"base64 without padding", dir(" xattr.a=AA"), "not base64"},
		{"base64 with bits left", dir(" xattr.a=AB=="), "not base64"},
		{"base64 for URLs", dir(" xattr.a=__8="), "not base64"},
		{"base64 with CR", dir(" xattr.a=AA==\r"), "not base64"},
		{"long xattr", dir(" xattr.a=" + strings.Repeat("AAAA", 65536/3+1)), "xattr value over"},

		{"no line feed behind content", head + "./a type=file" + attrs + " size=1\nab" + end(1, 1), "no line feed"},
		{"end without counts", head + "#end \n", "malformed end"},
		{"end in another order", head + "#end bytes=0 records=0\n", "malformed end"},
		{"end with more", head + "#end records=0 bytes=0 crc32=00000000 x\n", "malformed end"},
		{"short crc", head + "#end records=0 bytes=0 crc32=0\n", "malformed end"},
		{"crc not hex", head + "#end records=0 bytes=0 crc32=0000000g\n", "malformed end"},
		{"records", head + root + end(2, 0), "counts 2 records and 0 bytes, the stream has 1 and 0"},
		{"bytes", head + root + end(1, 1), "counts 1 records and 1 bytes"},
		{"crc", head + "#end records=0 bytes=0 crc32=00000000\n", "CRC-32"},
		{"data behind", head + end(0, 0) + "\n", "data behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := readAll(strings.NewReader(c.in), ReaderOptions{})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestReaderInsists(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		opts           ReaderOptions
	}{
		{"no crc", head + end(0, 0), "end line has no CRC", ReaderOptions{RequireCRC: true}},
		{"no data", none + end(0, 0), "carries no contents", ReaderOptions{NeedData: true}},
		{"empty", "", "input is empty", ReaderOptions{}},
	} {
		if _, _, err := readAll(strings.NewReader(c.in), c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestReaderErrors checks that an error says where it happened, without the bytes
// that a hostile name would send to a terminal.
func TestReaderErrors(t *testing.T) {
	in := head + root + `./a\033[31m` + " type=fifo\n"
	in = strings.Replace(in, "[", `\133`, 1)
	_, _, err := readAll(strings.NewReader(in), ReaderOptions{})
	want := fmt.Sprintf(`record 2, before byte %d: not a valid tree stream: a\033[31m: mode is not`, len(in))
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// step is 1, so that tests try every byte, and larger with -short.
func step() int {
	if testing.Short() {
		return 11
	}
	return 1
}

// TestReaderTruncated cuts a stream at every byte.
func TestReaderTruncated(t *testing.T) {
	_, _, text := sample(t)
	for n := 0; n < len(text); n += step() {
		_, _, err := readAll(strings.NewReader(text[:n]), ReaderOptions{})
		if err == nil {
			t.Fatalf("cut at %d of %d: no error", n, len(text))
		}
		if n >= len(head) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
		cut := text[:n] + "\n#abort message=tool:\\040it\\040broke\n"
		_, _, err = readAll(strings.NewReader(cut), ReaderOptions{})
		var cause *AbortError
		if !errors.As(err, &cause) || cause.Message != "tool: it broke" {
			t.Errorf("cut at %d, with an abort line: %v", n, err)
		}
	}
}

// TestReaderFlipped changes every byte of a stream with a CRC.
func TestReaderFlipped(t *testing.T) {
	want, props, text := sample(t)
	for i := 0; i < len(text); i += step() {
		mask := byte(1) << (i % 8)
		b := []byte(text)
		b[i] ^= mask
		list, p, err := readAll(bytes.NewReader(b), ReaderOptions{})
		if err == nil && (!reflect.DeepEqual(list, want) || !reflect.DeepEqual(p, props)) {
			t.Errorf("byte %d (%q) flipped by %#x: accepted with another meaning", i, text[i], mask)
		}
	}
}

func TestAbortLine(t *testing.T) {
	open := head + "./a type=file" + attrs + " size=100\nsome"
	line := "\n#abort message=why\n"
	for _, c := range []struct {
		name, in string
		cause    bool
	}{
		{"in a content", open + line, true},
		{"where content is missing by a byte", head + "./a type=file" + attrs + " size=5\nsome" + line, true},
		{"in a record", head + "./a type=fi" + line, true},
		{"behind a record", head + root + line, true},
		{"on a line of its own", head + root + line[1:], true},
		{"behind the end line", head + end(0, 0) + line, true},
		{"long message", head + "\n#abort message=" + strings.Repeat("m", maxAbort) + "\n", true},
		{"too long message", head + "\n#abort message=" + strings.Repeat("m", maxAbort+1) + "\n", false},
		{"not at the end", open + line + "x\n", false},
		{"not at the end, content", open + line + strings.Repeat("x", 100-len(line)-4), false},
		{"without line feed", open + line[:len(line)-1], false},
		{"raw message", open + "\n#abort message=why not\n", false},
		{"two", open + "\n#abort message=first\n" + line, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
				_, _, err := readAll(wrap(strings.NewReader(c.in)), ReaderOptions{})
				var cause *AbortError
				if err == nil || errors.As(err, &cause) != c.cause {
					t.Errorf("error is %v", err)
				}
				if cause != nil && strings.Trim(cause.Message, "m") != "" && cause.Message != "why" {
					t.Errorf("cause is %q", cause.Message)
				}
			}
		})
	}
}

// TestAbortAtBufferEdges has an abort line where the buffer moves.
func TestAbortAtBufferEdges(t *testing.T) {
	line := "\n#abort message=" + strings.Repeat("m", maxAbort) + "\n"
	whole := len(newInput(nil).buf)
	for _, size := range []int{chunk, whole - chunk, whole - chunk/2, whole, 3 << 20} {
		for _, d := range []int{-len(line) - 1, -len(line), -len(line) + 1, -len(line) / 2, -2, -1, 0, 1} {
			in := head + "./a type=file" + attrs + " size=99999999\n"
			in += strings.Repeat("x", size+d-len(in)) + line
			_, _, err := readAll(strings.NewReader(in), ReaderOptions{})
			var cause *AbortError
			if !errors.As(err, &cause) {
				t.Fatalf("at %d%+d: %v", size, d, err)
			}
		}
	}
}

// TestBufferEdges has lines and contents about as large as the buffers.
func TestBufferEdges(t *testing.T) {
	whole := len(newInput(nil).buf)
	for _, size := range []int{abortWindow, minWrite, chunk, bufSize, MaxLine, whole, 2 * whole} {
		for _, d := range []int{-300, -2, -1, 0, 1, 2} {
			data := strings.Repeat("0123456789abcde", (size+d)/15+1)[:size+d]
			list := []got{
				{Entry: Entry{Path: "a", Type: File, Size: int64(len(data))}, data: data},
				{Entry: Entry{Path: "b", Type: File, Size: 3}, data: "end"},
			}
			if n := size + d - 70; n < MaxLine-70 {
				list = append(list, got{Entry: Entry{Path: "c", Type: Fifo, Extra: []Keyword{{"x-a", strings.Repeat("y", n)}}}})
			}
			list = append(list, got{Entry: Entry{Path: "d", Type: File, Size: int64(len(data))}, data: data})
			text, err := writeAll(list, WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader} {
				back, _, err := readAll(wrap(strings.NewReader(text)), ReaderOptions{RequireCRC: true})
				if err != nil {
					t.Fatalf("%d%+d: %v", size, d, err)
				}
				same(t, back, list)
			}
		}
	}
}

// TestLongestLine has lines of the greatest length and one byte more.
func TestLongestLine(t *testing.T) {
	for d := range 2 {
		line := "./a type=fifo" + attrs + " x-a="
		line += strings.Repeat("x", MaxLine-1-len(line)+d) + "\n"
		_, _, err := readAll(iotest.HalfReader(strings.NewReader(head+line+root+end(2, 0))), ReaderOptions{})
		if (err == nil) != (d == 0) {
			t.Errorf("line of %d bytes: %v", len(line), err)
		}
	}
}

// TestContentSkipped reads a part of a content, or nothing, and goes on.
func TestContentSkipped(t *testing.T) {
	data := strings.Repeat("x", 3<<20)
	in, err := writeAll([]got{
		{Entry: Entry{Path: "a", Type: File, Size: int64(len(data))}, data: data},
		{Entry: Entry{Path: "b", Type: File, Size: 1}, data: "1"},
	}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 1 << 20} {
		s, err := NewReader(strings.NewReader(in), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			full := errors.New("full")
			if _, err := e.Content.WriteTo(&limitedWriter{n, full}); err != full {
				t.Errorf("error is %v", err)
			}
			if _, err := e.Content.WriteTo(io.Discard); err == nil {
				t.Error("content was read twice")
			}
		}
		for range 2 {
			e, err = s.Next()
		}
		if err != io.EOF {
			t.Errorf("error is %v", err)
		}
		if _, err := s.Next(); err != io.EOF {
			t.Errorf("error behind the end is %v", err)
		}
	}
}

// limitedWriter fails with err once n bytes have been written.
type limitedWriter struct {
	n   int64
	err error
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	if w.n -= int64(len(b)); w.n < 0 {
		return 0, w.err
	}
	return len(b), nil
}

// TestReaderErrorBelow has the reader below fail at every byte.
func TestReaderErrorBelow(t *testing.T) {
	_, _, text := sample(t)
	broken := errors.New("broken")
	for n := 0; n <= len(text); n += step() {
		r := io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken))
		if _, _, err := readAll(r, ReaderOptions{}); !errors.Is(err, broken) {
			t.Fatalf("at %d: %v", n, err)
		}
	}
}

// stalled never has anything to read.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

func TestReaderStalled(t *testing.T) {
	for _, in := range []string{"", head, head + "./a type=fi\n"} {
		r := io.MultiReader(strings.NewReader(in), stalled{})
		if _, _, err := readAll(r, ReaderOptions{}); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

// TestReaderAllocations counts what a record costs.
func TestReaderAllocations(t *testing.T) {
	const n = 1000
	in := benchStream(n, 10)
	perRun := testing.AllocsPerRun(10, func() {
		s, err := NewReader(bytes.NewReader(in), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.Next()
		}
		if err != io.EOF {
			t.Fatal(err)
		}
	})
	if perRun > n+10 { // the path of each, and what NewReader needs
		t.Errorf("%.0f allocations for %d records", perRun, n)
	}
}
