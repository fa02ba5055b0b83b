package tree

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// pieces is a content that is written in pieces of the given sizes.
type pieces []int

func (c pieces) WriteTo(w io.Writer) (n int64, err error) {
	for _, size := range c {
		m, err := w.Write(bytes.Repeat([]byte("p"), size))
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestWriterRefuses(t *testing.T) {
	file := Entry{Path: "a\x1b", Type: File, Size: 10}
	long := Entry{Path: "a\x1b", Type: Fifo, Extra: &Keywords{{"x-a", strings.Repeat("x", MaxLine)}}}
	with := func(c Content) *Entry { e := file; e.Content = c; return &e }
	for _, c := range []struct {
		name, want string
		e          *Entry
	}{
		{"short content", `a\033: content ends 1 bytes short of 10`, with(pieces{4, 5})},
		{"long content", `a\033: content is longer`, with(pieces{4, 7})},
		{"no content", `a\033: the source carries no data`, with(nil)},
		{"long line", `a\033: record of 1048638 bytes, over the 1048576 of a line`, &long},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			w := NewWriter(&b, WriterOptions{Stage: "test"})
			err := w.Add(c.e)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("error is %v, want %s", err, c.want)
			}
			if again := w.Add(&Entry{Path: "b", Type: Fifo}); again != err {
				t.Errorf("next Add returns %v", again)
			}
			if again := w.Close(); again != err {
				t.Errorf("Close returns %v", again)
			}
			w.Abort(err)
			_, _, err = readAll(&b, ReaderOptions{})
			var cause *AbortError
			if !errors.As(err, &cause) || !strings.HasPrefix(cause.Message, "test: "+c.want) {
				t.Errorf("reader says %v", err)
			}
		})
	}
}

// TestWriterPieces has contents that come in pieces about as large as the buffer.
func TestWriterPieces(t *testing.T) {
	for _, list := range []pieces{
		{0, 1, 0}, {minWrite - 1, 1}, {minWrite, minWrite}, {1, minWrite + 1, 1}, {bufSize, 3},
		{noCopy - 1, noCopy, noCopy + 1, 1}, {bufSize - 100, 99, 1, 1}, {1, 3 * bufSize, 1}, {minWrite - 200, minWrite - 200, minWrite - 200},
	} {
		n := 0
		for _, size := range list {
			n += size
		}
		var b bytes.Buffer
		w := NewWriter(&b, WriterOptions{})
		if err := w.Add(&Entry{Path: "a", Type: File, Size: int64(n), Content: list}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		back, _, err := readAll(&b, ReaderOptions{RequireCRC: true})
		if err != nil || len(back) != 1 || back[0].data != strings.Repeat("p", n) {
			t.Errorf("%v: %v", list, err)
		}
	}
}

// TestWriterLimitsExtents has a source that does not.
func TestWriterLimitsExtents(t *testing.T) {
	e, data := sparseFile(rand.New(rand.NewPCG(7, 8)), 100_000, 1000)
	text, err := writeAll([]got{{Entry: *e, data: string(data)}}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	back, _, err := readAll(strings.NewReader(text), ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	back[0].Content = fixed(back[0].data)
	if err := WriteExpanded(&b, &back[0].Entry); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), expanded(e, data)) || len(back[0].Extents) >= len(e.Extents) {
		t.Errorf("contents differ, or %d extents are as many as %d", len(back[0].Extents), len(e.Extents))
	}
}

// TestWriterFills checks that a sink gets few and large writes.
func TestWriterFills(t *testing.T) {
	sizes := &writeSizes{}
	w := NewWriter(sizes, WriterOptions{})
	for e := range benchEntries(20_000, 50) {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i, n := range *sizes {
		if n < minWrite && i < len(*sizes)-1 {
			t.Errorf("write %d of %d has %d bytes", i, len(*sizes), n)
		}
	}
}

// The pieces of a content that an inflater yields reach the sink as they are.
func TestWriterDoesNotCopy(t *testing.T) {
	const piece = 224 << 10
	sizes := &writeSizes{}
	w := NewWriter(sizes, WriterOptions{})
	if err := w.Add(&Entry{Path: "a", Type: File, Size: 4 * piece, Content: pieces{piece, piece, piece, piece}}); err != nil {
		t.Fatal(err)
	}
	if len(*sizes) != 5 || (*sizes)[1] != piece || (*sizes)[4] != piece {
		t.Errorf("writes of %d bytes, expected a small one and four of %d", *sizes, piece)
	}
}

type writeSizes []int

func (s *writeSizes) Write(b []byte) (int, error) {
	*s = append(*s, len(b))
	return len(b), nil
}

// TestWriterSinkFails has the sink fail after every number of bytes.
func TestWriterSinkFails(t *testing.T) {
	full := errors.New("full")
	for n := int64(0); n < 3<<20; n += 300_000 {
		w := NewWriter(&limitedWriter{n, full}, WriterOptions{})
		var err error
		for i := 0; i < 3 && err == nil; i++ {
			err = w.Add(&Entry{Path: "a", Type: File, Size: 1 << 20, Content: pieces{1 << 19, 1 << 10, 1<<19 - 1<<10}})
		}
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, full) {
			t.Fatalf("after %d: %v", n, err)
		}
		w.Abort(errors.New("another"))
		if again := w.Close(); !errors.Is(again, full) {
			t.Errorf("after %d: Close returns %v", n, again)
		}
		if again := w.Add(&Entry{Path: "b", Type: Fifo}); !errors.Is(again, full) {
			t.Errorf("after %d: Add returns %v", n, again)
		}
	}
}

func TestWriterClosed(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, WriterOptions{})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if w.Add(&Entry{Path: "a", Type: Fifo}) == nil || w.Close() != nil {
		t.Error("a complete stream takes more, or is not complete")
	}
	if w.Abort(io.ErrClosedPipe); b.String() != text {
		t.Errorf("stream is %q", b.String())
	}
}

func TestAbortMessage(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause error
		want  string
	}{
		{"plain", errors.New("no such file\n"), "tool: no such file\n"},
		{"earlier", &AbortError{"first: broke"}, "first: broke"},
		{"wrapped", errors.Join(errors.New("x"), &AbortError{"first: broke"}), "first: broke"},
		{"long", errors.New(strings.Repeat("m", 2000)), "tool: " + strings.Repeat("m", 114) + "[...]" + strings.Repeat("m", 120)},
		{"long, with its cause at the end", errors.New(strings.Repeat("m", 4000) + ": bad"), "tool: " + strings.Repeat("m", 114) + "[...]" + strings.Repeat("m", 115) + ": bad"},
		{"as long as can be", errors.New(strings.Repeat("m", maxAbort-len(`tool:\040`))), "tool: " + strings.Repeat("m", maxAbort-len(`tool:\040`))},
		{"long, of escapes", errors.New(strings.Repeat("\n", 2000)), "tool: " + strings.Repeat("\n", 114) + "[...]" + strings.Repeat("\n", 120)},
	} {
		var b bytes.Buffer
		w := NewWriter(&b, WriterOptions{Stage: "tool"})
		w.Abort(c.cause)
		if err := w.Close(); err != c.cause {
			t.Errorf("%s: Close returns %v", c.name, err)
		}
		_, _, err := readAll(&b, ReaderOptions{})
		var cause *AbortError
		if !errors.As(err, &cause) || cause.Message != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// failing is a source of one entry and an error.
type failing struct{ err error }

func (f *failing) Next() (*Entry, error) {
	err := f.err
	f.err = errors.New("called again")
	return nil, err
}
func (*failing) Close() error { return nil }

func TestCopyAborts(t *testing.T) {
	var b bytes.Buffer
	broke := errors.New("broke")
	if err := Copy(t.Context(), NewWriter(&b, WriterOptions{Stage: "tool"}), &failing{broke}); err != broke {
		t.Errorf("error is %v", err)
	}
	_, _, err := readAll(&b, ReaderOptions{})
	if err == nil || err.Error() != "earlier stage failed: tool: broke" {
		t.Errorf("reader says %v", err)
	}
}

// TestWriterNoData has the forms without data line by line.
func TestWriterNoData(t *testing.T) {
	list := []got{
		{Entry: Entry{Path: ".", Type: Dir, Mode: 0o1777, Nlink: 5, Xattrs: []Xattr{{"user.a", "v"}}}},
		{Entry: Entry{Path: "f", Type: File, Mode: 0, Size: 7, Nlink: 2, Extents: []Extent{{1, 2}}, Xattrs: []Xattr{{"user.a", "v"}}, Extra: &Keywords{{"x-a", "b"}}}, data: "ab"},
		{Entry: Entry{Path: "g", Type: File, Mode: 0, Size: 7, Nlink: 2, Hardlink: "f"}},
		{Entry: Entry{Path: "l", Type: Link, Mode: 0o777, Nlink: 1, Link: `a =\`, Xattrs: []Xattr{{"user.a", "v"}}}},
		{Entry: Entry{Path: "c", Type: Char, Mode: 0o7, Dev: Device{1, 3}}},
		{Entry: Entry{Path: "w", Type: Char}},
		{Entry: Entry{Path: "low", Type: File, Lower: &Lower{Targets: []string{"x"}}}},
		{Entry: Entry{Path: "n", Type: Dir, NoChange: true}},
	}
	digest := "dc37354122d42afd80afc3a19988d65dbaff90a83532e4eaee0dba8b0ee2ac12"
	for _, c := range []struct {
		name string
		opts WriterOptions
		want []string
	}{
		{"gomtree", WriterOptions{Data: None, Props: []Property{{"a", "b"}}}, []string{
			". type=dir mode=01777 uid=0 gid=0 time=0.000000000 xattr.user.a=dg==",
			"./f type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 xattr.user.a=dg== x-a=b",
			"./g type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 hardlink=./f",
			`./l type=link mode=0777 uid=0 gid=0 time=0.000000000 link=a\040=\\ xattr.user.a=dg==`,
			"./c type=char mode=07 uid=0 gid=0 time=0.000000000 device=native,1,3",
			"./w type=char mode=0 uid=0 gid=0 time=0.000000000 device=native,0,0",
			"./low type=file mode=0 uid=0 gid=0 time=0.000000000 size=0 hardlink=./x lower",
			"./n type=dir mode=0 uid=0 gid=0 time=0.000000000 nochange",
		}},
		{"portable", WriterOptions{Data: NonePortable}, []string{
			". type=dir mode=01777 uid=0 gid=0 time=0.000000000",
			"./f type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 nlink=2",
			"./g type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 nlink=2",
			`./l type=link mode=0777 uid=0 gid=0 time=0.000000000 link=a\040\075\134 nlink=1`,
			"./c type=char mode=07 uid=0 gid=0 time=0.000000000 device=native,1,3",
			"./w type=char mode=0 uid=0 gid=0 time=0.000000000 device=native,0,0",
			"./low type=file mode=0 uid=0 gid=0 time=0.000000000 size=0",
			"./n type=dir mode=0 uid=0 gid=0 time=0.000000000",
		}},
		{"digest", WriterOptions{Data: NonePortable, Digest: true}, []string{
			". type=dir mode=01777 uid=0 gid=0 time=0.000000000",
			"./f type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 nlink=2 sha256digest=" + digest,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := writeAll(list[:len(c.want)], c.opts)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(text, "\n")
			if lines[0]+"\n" != none || !strings.HasPrefix(lines[len(lines)-2], endPrefix) {
				t.Errorf("stream is %s", text)
			}
			for i, want := range c.want {
				if lines[i+1] != want {
					t.Errorf("line is\n%s, want\n%s", lines[i+1], want)
				}
			}
			back, _, err := readAll(strings.NewReader(text), ReaderOptions{RequireCRC: true})
			if err != nil {
				t.Fatal(err)
			}
			again, err := writeAll(back, WriterOptions{Data: c.opts.Data})
			if err != nil || again != text {
				t.Errorf("written again: %v\n%s", err, again)
			}
		})
	}
}

func TestDigestNeedsData(t *testing.T) {
	_, err := writeAll(nil, WriterOptions{Digest: true})
	if err == nil || !strings.Contains(err.Error(), "without data") {
		t.Errorf("digest beside contents: %v", err)
	}
	var b bytes.Buffer
	w := NewWriter(&b, WriterOptions{Data: None, Digest: true})
	if err := w.Add(&Entry{Path: "a", Type: File, Size: 1}); !errors.Is(err, errNoData) {
		t.Errorf("digest of nothing: %v", err)
	}
}

// TestDigestHoles hashes as many zeros of holes as it may, of all files together.
func TestDigestHoles(t *testing.T) {
	hole := func(path string, size int64) got {
		return got{Entry: Entry{Path: path, Type: File, Size: size, Extents: []Extent{}}}
	}
	opts := WriterOptions{Data: None, Digest: true, MaxHoles: 100_000}
	if _, err := writeAll([]got{hole("a", 60_000), hole("b", 40_000), got{Entry: fileEntry("c", 0)}}, opts); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	for _, c := range []struct {
		list []got
		want string
	}{
		{[]got{hole("a", 60_000), hole("b", 40_001)}, "b: 100001 bytes of holes to hash up to here, over the limit of 100000"},
		{[]got{hole("a", 1<<63-1)}, "a: 9223372036854775807 bytes of holes to hash up to here, over the limit of 100000"},
	} {
		_, err := writeAll(c.list, opts)
		var limit *LimitError
		if !errors.As(err, &limit) || err.Error() != c.want || limit.Which != LimitDigestHoles {
			t.Errorf("%v, want %s", err, c.want)
		}
		without := opts
		without.Digest = false
		if _, err := writeAll(c.list, without); err != nil {
			t.Errorf("without digests: %v", err)
		}
	}
	opts.MaxHoles = 0
	if _, err := writeAll([]got{hole("a", 200_000)}, opts); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}
