package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// bytesContent is content that says no more than it is.
type bytesContent []byte

func (c bytesContent) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

// aFile is a file with content and, where xs are given, holes.
func aFile(path, content string, xs ...tree.Extent) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Size: int64(len(content)), Extents: xs}
	if content != "" {
		e.Content = bytesContent(content)
	}
	return e
}

// writeTar is the archive of the entries.
func writeTar(t testing.TB, opts layer.WriterOptions, entries ...*tree.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newWriter(t, &b, opts)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len()%512 != 0 {
		t.Errorf("an archive of %d bytes", b.Len())
	}
	return b.Bytes()
}

// long is a path of n bytes, in components of up to 200.
func long(n int, fill string) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len()%201 == 200 {
			b.WriteByte('/')
		} else {
			b.WriteByte(fill[b.Len()%len(fill)])
		}
	}
	return b.String()
}

// written are entries that must come back from a tar as they were.
var written = []struct {
	name    string
	entries []*tree.Entry
	others  bool // GNU tar, bsdtar and the file system can do it as well
}{
	{"root", []*tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o1777, UID: 5, GID: 6, Time: tree.Time{Sec: 7}}}, true},
	{"contents", []*tree.Entry{aFile("0", ""), aFile("1", "x"), aFile("511", strings.Repeat("y", 511)), aFile("512", strings.Repeat("z", 512)), aFile("513", strings.Repeat("\x00", 513))}, true},
	{"modes", []*tree.Entry{{Path: "a", Type: tree.File, Mode: 0}, {Path: "b", Type: tree.File, Mode: 0o7777}, {Path: "d", Type: tree.Dir, Mode: 0o3711}}, true},
	{"names at the edges", []*tree.Entry{
		aFile(long(99, "a"), "1"), aFile(long(100, "b"), "2"), aFile(long(101, "c"), "3"), aFile(strings.Repeat("n", 255), "4"),
		{Path: long(98, "d"), Type: tree.Dir}, {Path: long(99, "e"), Type: tree.Dir}, {Path: long(100, "f"), Type: tree.Dir},
		{Path: "l1", Type: tree.Link, Link: long(100, "g"), Mode: 0o777}, {Path: "l2", Type: tree.Link, Link: long(101, "h"), Mode: 0o777},
	}, true},
	{"long names", []*tree.Entry{aFile(long(4095, "abc"), "x"), {Path: "l", Type: tree.Link, Link: long(4095, "def"), Mode: 0o777}}, false},
	{"odd names", []*tree.Entry{aFile("new\nline", "1"), aFile("\x1b[31m", "2"), aFile(" ", "3"), aFile("=", "4"), aFile("a\\b", "5"), aFile("-rf", "6"), aFile("\u00fc", "7")}, true},
	{"names that are not UTF-8", []*tree.Entry{
		aFile("\xff\xfe", "1"), aFile(long(150, "\xe9"), "2"), {Path: "l", Type: tree.Link, Link: long(150, "\x80\xfc"), Mode: 0o777},
		aFile(long(150, "a hdrcharset="), "3"), sparse("s\xff", 1<<20, tree.Extent{Off: 8192, Len: 4096}),
	}, true},
	{"owners", []*tree.Entry{
		{Path: "a", Type: tree.File, UID: 1<<21 - 1, GID: 1 << 21}, {Path: "b", Type: tree.Dir, UID: 1 << 21, GID: 1<<21 - 1},
		{Path: "c", Type: tree.Fifo, UID: math.MaxUint32 - 1, GID: 1 << 31},
	}, true},
	{"times", []*tree.Entry{
		timed("0", 0, 0), timed("1", 1, 1), timed("half", 1700000000, 500000000), timed("digits", 1700000000, 123456789), timed("nines", 10, 999999999), timed("tens", 1700000000, 10),
		timed("before", -1, 0), timed("old", -1000000000, 0),
	}, true},
	{"fractions below zero", []*tree.Entry{ // libarchive 3.6 adds the fraction to the seconds
		timed("minus half", -1, 500000000), timed("minus 1.5", -2, 500000000), timed("minus small", -1, 999999999), timed("minus much", -1000000000, 100),
	}, false},
	{"far times", []*tree.Entry{
		timed("octal", 1<<33-1, 0), timed("more", 1<<33, 0), timed("last", math.MaxInt64, 999999999), timed("first", math.MinInt64, 0), timed("second", math.MinInt64, 1), timed("third", math.MinInt64+1, 0),
	}, false},
	{"xattrs", []*tree.Entry{
		{Path: "a", Type: tree.File, Xattrs: []tree.Xattr{{Name: "security.capability", Value: "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}, {Name: "user.a", Value: ""}, {Name: "user.b", Value: "x\ny=z\x00"}, {Name: "user.big", Value: strings.Repeat("v", 2000)}}},
		{Path: "d", Type: tree.Dir, Xattrs: []tree.Xattr{{Name: "trusted.t", Value: "1"}, {Name: "user.a", Value: "99"}}},
	}, true},
	{"xattr names", []*tree.Entry{
		{Path: "a", Type: tree.File, Xattrs: []tree.Xattr{
			{Name: "user.\n=\xff", Value: "line"}, {Name: "user. =", Value: "space"}, {Name: "user.%3D=", Value: "per cent"}, {Name: "user.+=", Value: "plus"}, {Name: "user.=", Value: "equals\x00\xff"},
			{Name: "user.a b", Value: "no equals"}, {Name: "user.x" + strings.Repeat("=", 249), Value: "many"},
		}},
	}, false},
	{"largest xattr", []*tree.Entry{{Path: "a", Type: tree.File, Xattrs: []tree.Xattr{{Name: "user.a", Value: strings.Repeat("\x00", tree.MaxValue)}}}}, false},
	{"hard links", []*tree.Entry{
		aFile("a", "content"), {Path: "b", Type: tree.File, Mode: 0o644, Size: 7, Hardlink: "a"},
		{Path: "s", Type: tree.Link, Mode: 0o777, Link: "t"}, {Path: "s2", Type: tree.Link, Mode: 0o777, Link: "t", Hardlink: "s"},
		{Path: "p", Type: tree.Fifo}, {Path: "p2", Type: tree.Fifo, Hardlink: "p"},
		aFile(long(150, "k"), "content"), {Path: "far", Type: tree.File, Mode: 0o644, Size: 7, Hardlink: long(150, "k")},
	}, true},
	{"devices", []*tree.Entry{
		{Path: "c", Type: tree.Char, Dev: tree.Device{Major: 1, Minor: 3}}, {Path: "b", Type: tree.Block, Dev: tree.Device{Major: 4095, Minor: 1<<20 - 1}},
		{Path: "zero", Type: tree.Block},
	}, true},
	{"wide devices", []*tree.Entry{
		{Path: "c", Type: tree.Char, Dev: tree.Device{Major: math.MaxUint32, Minor: 1 << 21}}, {Path: "d", Type: tree.Block, Dev: tree.Device{Major: 1<<21 - 1, Minor: math.MaxUint32}},
	}, false},
	{"sparse", []*tree.Entry{
		sparse("hole", 1<<18), sparse("start", 1<<18, tree.Extent{Off: 0, Len: 4096}), sparse("end", 1<<18, tree.Extent{Off: 1<<18 - 4096, Len: 4096}),
		sparse("middle", 1<<18, tree.Extent{Off: 65536, Len: 8192}, tree.Extent{Off: 1 << 17, Len: 4096}), sparse("odd", 100001, tree.Extent{Off: 8192, Len: 3}),
		sparse("d/"+long(150, "q"), 1<<18, tree.Extent{Off: 4096, Len: 4096}), sparse("behind", 1<<19+5, tree.Extent{Off: 1 << 19, Len: 5}),
	}, true},
	{"sparse, long and many", []*tree.Entry{sparse(long(4095, "r"), 1<<18, tree.Extent{Off: 1, Len: 1}), everyOther("many", 5000)}, false},
	{"plain name of a whiteout", []*tree.Entry{aFile(".whx", "")}, true},
}

func timed(path string, sec int64, nsec uint32) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.File, Time: tree.Time{Sec: sec, Nsec: nsec}}
}

// sparse is a file whose data is made of its name.
func sparse(path string, size int64, xs ...tree.Extent) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o600, Size: size, Extents: append([]tree.Extent{}, xs...)}
	if n := e.DataSize(); n > 0 {
		e.Content = bytesContent(strings.Repeat(path, int(n)/len(path)+1)[:n])
	}
	return e
}

// everyOther is a file of n single bytes with holes between them.
func everyOther(path string, n int) *tree.Entry {
	var xs []tree.Extent
	for i := range n {
		xs = append(xs, tree.Extent{Off: int64(2 * i), Len: 1})
	}
	return sparse(path, int64(2*n), xs...)
}

// describeAll describes entries as describe does what a source yields.
func describeAll(t testing.TB, entries []*tree.Entry) string {
	t.Helper()
	return describe(t, &listSource{entries: entries})
}

// listSource yields entries.
type listSource struct{ entries []*tree.Entry }

func (s *listSource) Next() (*tree.Entry, error) {
	if len(s.entries) == 0 {
		return nil, io.EOF
	}
	e := s.entries[0]
	s.entries = s.entries[1:]
	return e, nil
}

func (s *listSource) Close() error { return nil }

func TestWritten(t *testing.T) {
	for _, c := range written {
		t.Run(c.name, func(t *testing.T) {
			for _, opts := range []layer.WriterOptions{{}, {Layer: true}} {
				data := writeTar(t, opts, c.entries...)
				r, err := layer.NewReader(bytes.NewReader(data), layer.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if got, want := describe(t, r), describeAll(t, c.entries); got != want {
					t.Errorf("%+v: read back\n%.3000s\nwritten\n%.3000s", opts, got, want)
				}
				if again := writeTar(t, opts, c.entries...); !bytes.Equal(data, again) {
					t.Error("other bytes the second time")
				}
			}
		})
	}
}

// TestWrittenArchiveTar reads what is written with Go's own reader.
func TestWrittenArchiveTar(t *testing.T) {
	types := map[byte]tree.Type{
		tar.TypeReg: tree.File, tar.TypeDir: tree.Dir, tar.TypeSymlink: tree.Link, tar.TypeChar: tree.Char, tar.TypeBlock: tree.Block, tar.TypeFifo: tree.Fifo,
	}
	for _, c := range written {
		t.Run(c.name, func(t *testing.T) {
			r := tar.NewReader(bytes.NewReader(writeTar(t, layer.WriterOptions{}, c.entries...)))
			for _, e := range c.entries {
				h, err := r.Next()
				if err != nil {
					t.Fatalf("%q: %v", e.Path, err)
				}
				path := strings.TrimSuffix(h.Name, "/")
				switch {
				case path != e.Path:
					t.Errorf("name %q, want %q", path, e.Path)
				case h.Typeflag == tar.TypeLink:
					if h.Linkname != e.Hardlink {
						t.Errorf("%q: link to %q", e.Path, h.Linkname)
					}
					continue
				case types[h.Typeflag] != e.Type || h.Linkname != e.Link || h.Mode != int64(e.Mode) || h.Uid != int(e.UID) || h.Gid != int(e.GID) || h.Size != e.Size:
					t.Errorf("%q: %+v", e.Path, h)
				case e.Dev != tree.Device{} && e.Dev.Major < 1<<21 && e.Dev.Minor < 1<<21 && (h.Devmajor != int64(e.Dev.Major) || h.Devminor != int64(e.Dev.Minor)):
					t.Errorf("%q: device %d:%d", e.Path, h.Devmajor, h.Devminor)
				case !h.ModTime.Equal(time.Unix(e.Time.Sec, int64(e.Time.Nsec))):
					t.Errorf("%q: time %v, want %v", e.Path, h.ModTime, e.Time)
				}
				for _, x := range e.Xattrs {
					if !strings.Contains(x.Name, "=") && h.PAXRecords["SCHILY.xattr."+x.Name] != x.Value {
						t.Errorf("%q: xattr %q is %q", e.Path, x.Name, h.PAXRecords["SCHILY.xattr."+x.Name])
					}
				}
				if e.Type != tree.File || e.Size > 1<<21 {
					continue
				}
				var want bytes.Buffer
				if err := tree.WriteExpanded(&want, e); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Errorf("%q: another content, %v", e.Path, err)
				}
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// TestInteropWritten extracts what is written with others' tools.
func TestInteropWritten(t *testing.T) {
	reftest.NeedRoot(t)
	for _, tool := range [][]string{
		{"tar", "--xattrs", "--xattrs-include=*", "-S", "-p", "--numeric-owner", "--warning=no-timestamp", "-xf"},
		{"bsdtar", "-p", "-S", "--numeric-owner", "-xf"},
	} {
		reftest.Need(t, tool[0])
		for _, c := range written {
			if !c.others && (c.name != "fractions below zero" || tool[0] != "tar") {
				continue
			}
			t.Run(tool[0]+"/"+c.name, func(t *testing.T) {
				file, dir := filepath.Join(t.TempDir(), "tar"), t.TempDir()
				if err := os.WriteFile(file, writeTar(t, layer.WriterOptions{}, c.entries...), 0o600); err != nil {
					t.Fatal(err)
				}
				reftest.Run(t, tool[0], append(tool[1:len(tool):len(tool)], file, "-C", dir)...)
				found := map[string]bool{}
				for _, f := range reftest.Walk(t, dir, reftest.Look{Extents: true}) {
					compareExtracted(t, c.entries, f)
					found[f.Path] = true
				}
				for _, e := range c.entries {
					if !found[e.Path] {
						t.Errorf("%q: not extracted", e.Path)
					}
				}
			})
		}
	}
}

// compareExtracted compares f with the entry of its path, if there is one.
func compareExtracted(t *testing.T, entries []*tree.Entry, f reftest.Fact) {
	t.Helper()
	byPath := map[string]*tree.Entry{}
	for _, e := range entries {
		byPath[e.Path] = e
	}
	e := byPath[f.Path]
	if e == nil {
		if f.Type != "dir" {
			t.Errorf("%q: not in the archive", f.Path)
		}
		return
	}
	inode := e
	if e.Hardlink != "" {
		inode = byPath[e.Hardlink]
		if f.SameAs != e.Hardlink && f.SameAs != e.Path {
			t.Errorf("%q: same as %q, want %q", f.Path, f.SameAs, e.Hardlink)
		}
	}
	want := facts(t, &listSource{entries: []*tree.Entry{inode}})[0]
	want.Path, want.SameAs, want.Nlink = f.Path, f.SameAs, f.Nlink
	if want.Type == "file" && inode.Extents == nil {
		want.Extents = f.Extents // zeros may have become holes
	}
	if inode.Extents != nil && coarser(f.Extents, inode) {
		want.Extents = f.Extents
	}
	if got, want := fmt.Sprintf("%+v", f), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("extracted\n%s\nwritten\n%s", got, want)
	}
}

// coarser reports whether the extents found are those of e to the block.
func coarser(found string, e *tree.Entry) bool {
	var want []string
	for _, x := range e.Extents {
		from, to := x.Off&^4095, min((x.End()+4095)&^4095, e.Size)
		want = append(want, fmt.Sprintf("%d+%d", from, to-from))
	}
	return len(want) > 0 && strings.Join(want, ",") == found
}

// TestWriterTap: the tap gets what is compressed.
func TestWriterTap(t *testing.T) {
	entries := []*tree.Entry{aFile("a", long(5000, "a")), aFile("b", "")}
	plain := writeTar(t, layer.WriterOptions{}, entries...)
	for _, kind := range []compression.Kind{"", compression.Plain, compression.Gzip, compression.Zstd} {
		var tap, tapped, other bytes.Buffer
		for _, w := range []*layer.Writer{
			newWriter(t, &tapped, layer.WriterOptions{Compression: kind, Tap: &tap}), newWriter(t, &other, layer.WriterOptions{Compression: kind}),
		} {
			for _, e := range entries {
				if err := w.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(tap.Bytes(), plain) || !bytes.Equal(tapped.Bytes(), other.Bytes()) {
			t.Errorf("%s: the tap has %d bytes, the tar %d; archives of %d and %d bytes", kind, tap.Len(), len(plain), tapped.Len(), other.Len())
		}
	}
}

func TestWriteMarks(t *testing.T) {
	marks := []*tree.Entry{
		{Path: "gone", Type: tree.Char},
		{Path: "dir", Type: tree.Dir, Xattrs: []tree.Xattr{tree.Opaque}},
		{Path: "dir2", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}},
		{Path: "link", Type: tree.File, Lower: &tree.Lower{Targets: []string{"below"}}},
	}
	for _, e := range marks {
		err := newWriter(t, io.Discard, layer.WriterOptions{}).Add(e)
		var mark *layer.MarkError
		if !errors.As(err, &mark) || mark.Path != e.Path {
			t.Errorf("%s: %v", e.Path, err)
		}
	}
	r := tar.NewReader(bytes.NewReader(writeTar(t, layer.WriterOptions{Layer: true}, append(marks,
		&tree.Entry{Path: "d/gone", Type: tree.Char}, &tree.Entry{Path: ".", Type: tree.Dir, Xattrs: []tree.Xattr{tree.Opaque, {Name: "user.a", Value: "x"}}},
		&tree.Entry{Path: "implied", Type: tree.Dir, NoChange: true, Mode: 0o755})...)))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		for key := range h.PAXRecords {
			if strings.Contains(key, "overlay") {
				t.Errorf("%s: %s", h.Name, key)
			}
		}
	}
	want := ".wh.gone dir/ dir/.wh..wh..opq dir2/.wh..wh..opq link d/.wh.gone ./ .wh..wh..opq"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("names %s, want %s", got, want)
	}
}

// Tar has no sockets: a layer hides what is below them, and a warning counts them.
func TestWriteSockets(t *testing.T) {
	var said []string
	opts := layer.WriterOptions{Layer: true, Warn: func(s string) { said = append(said, s) }}
	b := writeTar(t, opts, aFile("a", "1"), &tree.Entry{Path: "run/s", Type: tree.Socket}, &tree.Entry{Path: "run/t", Type: tree.Socket, Hardlink: "run/s"})
	var names []string
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if have := strings.Join(names, " "); have != "a run/.wh.s run/.wh.t" {
		t.Errorf("archive has %s", have)
	}
	if len(said) != 1 || said[0] != "socket run/s: left out, and 1 more" {
		t.Errorf("warnings %q", said)
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  layer.WriterOptions
		entry *tree.Entry
		want  string
	}{
		{"socket", layer.WriterOptions{}, &tree.Entry{Path: "s", Type: tree.Socket}, "s: " + layer.ErrUnsupported.Error() + ": tar has no socket"},
		{"whiteout's name", layer.WriterOptions{Layer: true}, aFile(".wh.a", ""), ".wh.a: the name would be taken for a whiteout"},
		{"whiteout's name above", layer.WriterOptions{Layer: true}, aFile("a/.wh.b/c", ""), "a/.wh.b/c: the name would be taken for a whiteout"},
		{"whiteout of a whiteout's name", layer.WriterOptions{Layer: true}, &tree.Entry{Path: ".wh.a", Type: tree.Char}, "would be taken for a whiteout"},
		{"link to a whiteout's name", layer.WriterOptions{Layer: true}, &tree.Entry{Path: "a", Type: tree.File, Lower: &tree.Lower{Targets: []string{".wh.b"}}}, ""},
		{"no data", layer.WriterOptions{}, &tree.Entry{Path: "a", Type: tree.File, Size: 1}, "a: the source carries no data"},
		{"short data", layer.WriterOptions{}, &tree.Entry{Path: "a", Type: tree.File, Size: 2, Content: bytesContent("x")}, "a: content has 1 bytes instead of 2"},
		{"long data", layer.WriterOptions{}, &tree.Entry{Path: "a", Type: tree.File, Size: 1, Content: bytesContent("xy")}, "a: content has 2 bytes instead of 1"},
		{"more than a number can say", layer.WriterOptions{}, &tree.Entry{Path: "a", Type: tree.File, Size: math.MaxInt64,
			Extents: []tree.Extent{{Off: 0, Len: math.MaxInt64 - 100}}, Content: bytesContent("")}, "a: not supported: 9223372036854775707 bytes of data"},
		{"many xattrs", layer.WriterOptions{}, &tree.Entry{Path: "a", Type: tree.File, Xattrs: manyXattrs(70)}, "a: extended header of "},
	} {
		w := newWriter(t, io.Discard, c.opts)
		err := w.Add(c.entry)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if again := w.Add(aFile("next", "")); again != err || w.Close() != err {
			t.Errorf("%s: then %v, %v", c.name, again, w.Close())
		}
	}
}

func manyXattrs(n int) (list []tree.Xattr) {
	for i := range n {
		list = append(list, tree.Xattr{Name: fmt.Sprintf("user.%03d", i), Value: strings.Repeat("x", tree.MaxValue)})
	}
	return list
}

// failAfter fails when n bytes have been written.
type failAfter struct{ n int }

var errFull = errors.New("full")

func (f *failAfter) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	entries := []*tree.Entry{aFile("a", "x"), aFile(long(150, "a"), "x"), sparse("s", 1<<20, tree.Extent{Off: 0, Len: 4096})}
	size := len(writeTar(t, layer.WriterOptions{}, entries...))
	for n := 0; n < size; n += 256 {
		w := newWriter(t, &failAfter{n}, layer.WriterOptions{})
		for _, e := range entries {
			w.Add(e)
		}
		if err := w.Close(); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// TestWriterAborts: no reader takes the output for a complete archive.
func TestWriterAborts(t *testing.T) {
	small := aFile("a", "")
	for _, last := range []*tree.Entry{
		nil, small, aFile("b", strings.Repeat("x", 512)), sparse("s", 1<<20, tree.Extent{Off: 0, Len: 4096}), {Path: "s", Type: tree.Socket},
		short(513, 0), short(513, 1), short(513, 512), short(1024, 512), short(1024, 1023), short(1024, 513), short(100, 99),
	} {
		var b bytes.Buffer
		w := newWriter(t, &b, layer.WriterOptions{})
		w.Add(small)
		cause := errors.New("cause")
		if last != nil {
			if err := w.Add(last); err != nil {
				cause = err
			}
		}
		w.Abort(cause)
		size := b.Len()
		if err := w.Add(small); err != cause || w.Close() != cause || b.Len() != size {
			t.Errorf("%v: after Abort: %v, %v", last, err, w.Close())
		}
		if _, err := readAll(t, b.Bytes(), layer.Options{AllowUnterminated: true}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: our reader: %v", last, err)
		}
		r, err := tar.NewReader(&b), error(nil)
		for err == nil {
			if _, err = r.Next(); err == nil {
				_, err = io.Copy(io.Discard, r)
			}
		}
		if err == io.EOF {
			t.Errorf("%v: archive/tar reads all of it", last)
		}
	}
}

// short is a file whose content ends early.
func short(size int64, n int) *tree.Entry {
	return &tree.Entry{Path: "short", Type: tree.File, Size: size, Content: bytesContent(make([]byte, n))}
}

func newWriter(t testing.TB, out io.Writer, opts layer.WriterOptions) *layer.Writer {
	t.Helper()
	w, err := layer.NewWriter(out, opts)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWriterIsOver(t *testing.T) {
	w := newWriter(t, io.Discard, layer.WriterOptions{})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(aFile("a", "")); err == nil {
		t.Error("added to an archive that is complete")
	}
	if err := w.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
