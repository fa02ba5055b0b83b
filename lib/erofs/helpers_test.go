package erofs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ocipipe/lib/tree"
)

// data is content in memory.
type data []byte

func (d data) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(d)
	return int64(n), err
}

// pattern is n bytes that differ from those of any other seed.
func pattern(seed byte, n int) data {
	d := make(data, n)
	x := uint32(seed)*2654435761 + 1
	for i := range d {
		x = x*1664525 + 1013904223
		d[i] = byte(x >> 24)
	}
	return d
}

var testTime = tree.Time{Sec: 1700000000, Nsec: 123456789}

func dir(path string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755, Time: testTime}
}

func file(path string, d data) tree.Entry {
	e := tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: testTime, Size: int64(len(d))}
	if len(d) > 0 {
		e.Content = d
	}
	return e
}

func sparse(path string, size int64, xs []tree.Extent) tree.Entry {
	e := tree.Entry{Path: path, Type: tree.File, Mode: 0o640, Time: testTime, Size: size, Extents: xs}
	if n := e.DataSize(); n > 0 {
		e.Content = pattern(7, int(n))
	}
	return e
}

func symlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Link, Mode: 0o777, Time: testTime, Link: target}
}

func hardlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: testTime, Hardlink: target}
}

func lowerLink(path, target string) tree.Entry {
	return with(hardlink(path, ""), func(e *tree.Entry) { e.Lower = &tree.Lower{Targets: []string{target}} })
}

func device(path string, t tree.Type, major, minor uint32) tree.Entry {
	return tree.Entry{Path: path, Type: t, Mode: 0o600, Time: testTime, Dev: tree.Device{Major: major, Minor: minor}}
}

func with(e tree.Entry, change func(e *tree.Entry)) tree.Entry {
	change(&e)
	return e
}

func xattrs(e tree.Entry, pairs ...string) tree.Entry {
	e.Xattrs = slices.Clone(e.Xattrs)
	for i := 0; i < len(pairs); i += 2 {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: pairs[i], Value: pairs[i+1]})
	}
	slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// write makes an image file of entries, with a check of what was written.
func write(t testing.TB, opts Options, entries ...tree.Entry) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	opts.Check = true
	if err := writeTo(f, opts, entries); err != nil {
		t.Fatal(err)
	}
	return f
}

func writeTo(out Output, opts Options, entries []tree.Entry) error {
	w, err := NewWriter(out, opts)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			w.Close()
			return err
		}
	}
	return w.Close()
}

// image is an image in memory; it is a Reader and an Output.
type image struct {
	mu sync.Mutex // a Writer writes from several goroutines
	b  []byte
}

func (m *image) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *image) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := int(off) + len(p); end > len(m.b) {
		m.b = append(m.b, make([]byte, end-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func build(t testing.TB, opts Options, entries ...tree.Entry) []byte {
	t.Helper()
	m := &image{}
	opts.Check = true
	if err := writeTo(m, opts, entries); err != nil {
		t.Fatal(err)
	}
	return m.b
}

func open(t testing.TB, b []byte) *Image {
	t.Helper()
	img, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// stream is what src yields, as a tree stream without data but with digests:
// that names everything an Entry has, but for holes.
func stream(t testing.TB, src tree.Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := tree.Copy(context.Background(), tree.NewWriter(&b, tree.WriterOptions{Data: tree.None, Digest: true}), src); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// list is the entries of a source, with a line for the extents of sparse files.
func list(t testing.TB, img *Image) map[string]tree.Entry {
	t.Helper()
	all := make(map[string]tree.Entry)
	src := img.Source()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[e.Path] = *e
	}
}

// canonical is the tree stream of entries in canonical order, as erofs2tree
// should give it again.
func canonical(t testing.TB, form tree.Form, entries ...tree.Entry) string {
	t.Helper()
	tr := tree.New()
	for i := range entries {
		if _, err := tr.Put(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return stream(t, tr.Source(form))
}

// firstDifference names the first line in which two streams differ.
func firstDifference(want, have string) string {
	a, b := strings.Split(want, "\n"), strings.Split(have, "\n")
	for i := 0; i < max(len(a), len(b)); i++ {
		line := func(l []string) string {
			if i < len(l) {
				return l[i]
			}
			return "(end)"
		}
		if line(a) != line(b) {
			return fmt.Sprintf("line %d:\n have %s\n want %s", i+1, line(b), line(a))
		}
	}
	return ""
}

// corpus has every type and edge that a flat image can hold.
func corpus() []tree.Entry {
	long := strings.Repeat("n", 255)
	es := []tree.Entry{
		with(dir("."), func(e *tree.Entry) { e.Mode, e.UID = 0o1777, 5 }),
		file("empty", nil),
		file("one", pattern(1, 1)),
		file("!bang", pattern(2, 100)),
		file("-dash", pattern(3, 1)),
		file(long, pattern(4, 4095)),
		file("\xff\xfe raw\n", pattern(5, 3)),
		file("block", pattern(6, 4096)),
		file("block+1", pattern(7, 4097)),
		file("block-1", pattern(8, 4095)),
		file("large", pattern(9, 3<<20+17)),
		hardlink("a-link", "large"),
		dir("sub"),
		dir("sub/empty"),
		hardlink("sub/link2", "large"),
		symlink("sym", "sub/empty"),
		symlink("longsym", strings.Repeat("x/", 2000)),
		hardlink("symlink-link", "sym"),
		device("char", tree.Char, 10, 229),
		device("blockdev", tree.Block, 300, 70000),
		hardlink("char2", "char"),
		{Path: "fifo", Type: tree.Fifo, Mode: 0o644, Time: tree.Time{Sec: -2, Nsec: 500000000}},
		{Path: "socket", Type: tree.Socket, Mode: 0o755, Time: tree.Time{Sec: 1 << 40}},
		with(file("owned", pattern(10, 10)), func(e *tree.Entry) { e.UID, e.GID, e.Mode = 1<<32-2, 70000, 0o4755 }),
		xattrs(file("x", pattern(11, 5000)), "user.mime", "text/plain", "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		xattrs(dir("xd"), "user.a", "", "trusted.t", "v", "user."+strings.Repeat("k", 250), strings.Repeat("v", 3000)),
		xattrs(symlink("xs", "x"), "trusted.s", "on a link"),
		sparse("hole", 1<<22, []tree.Extent{}),
		sparse("sparse", 1<<20+100, []tree.Extent{{Off: 4096, Len: 4096}, {Off: 65536 + 10, Len: 100}, {Off: 1<<20 + 50, Len: 50}}),
		with(file("group", nil), func(e *tree.Entry) { e.GID = 70000 }),
		xattrs(sparse("sparse-x", 50000, []tree.Extent{{Off: 20000, Len: 1}}), "user.a", "b"), // the map is not right behind them
		sparse("tail-hole", 100000, []tree.Extent{{Off: 0, Len: 5000}}),
		file("deep/a/b/c/implied", pattern(12, 12)),
	}
	for i := range 300 {
		es = append(es, xattrs(file(fmt.Sprintf("many/%03d", i), pattern(byte(i), i*31)), "security.selinux", "system_u:object_r:usr_t:s0"))
	}
	return append(es, dir("many"), dir("deep"))
}
