package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// memory is an Output in memory, of which what was never written takes no room.
type memory struct {
	mu    sync.Mutex
	pages map[int64][]byte
	size  int64
	spoil func(m *memory) // called before the first read
}

func (m *memory) each(p []byte, off int64, fn func(p, page []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(p) > 0 {
		n, at := off/blockSize, off%blockSize
		k := min(int64(len(p)), blockSize-at)
		fn(p[:k], m.page(n)[at:])
		p, off = p[k:], off+k
	}
}

func (m *memory) page(n int64) []byte {
	if m.pages[n] == nil {
		if m.pages == nil {
			m.pages = make(map[int64][]byte)
		}
		m.pages[n] = make([]byte, blockSize)
	}
	return m.pages[n]
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.each(p, off, func(p, page []byte) { copy(page, p) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size = max(m.size, off+int64(len(p)))
	return len(p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if m.spoil != nil {
		spoil := m.spoil
		m.spoil = nil
		spoil(m)
	}
	n := len(p)
	p = p[:max(0, min(int64(n), m.size-off))]
	m.each(p, off, func(p, page []byte) { copy(p, page) })
	if len(p) < n {
		return len(p), io.EOF
	}
	return n, nil
}

func (m *memory) Truncate(size int64) error {
	m.size = size
	return nil
}

// text is content in memory.
type text []byte

func (d text) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(d)
	return int64(n), err
}

func pattern(seed, n int) text {
	d := make(text, n)
	x := uint32(seed)*2654435761 + 1
	for i := range d {
		x = x*1664525 + 1013904223
		d[i] = byte(x>>24) | 1
	}
	return d
}

func file(path string, d text) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: tree.Time{Sec: 1700000000, Nsec: 5}, Size: int64(len(d))}
	if len(d) > 0 {
		e.Content = d
	}
	return e
}

func sparseFile(path string, size int64, xs ...tree.Extent) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o640, Size: size, Extents: append([]tree.Extent{}, xs...)}
	if n := e.DataSize(); n > 0 {
		e.Content = pattern(7, int(n))
	}
	return e
}

// corpus has every type and edge that a root file system can hold.
func corpus() []*tree.Entry {
	entry := func(path string, t tree.Type, fn func(e *tree.Entry)) *tree.Entry {
		e := &tree.Entry{Path: path, Type: t, Mode: 0o755, Time: tree.Time{Sec: 1 << 33, Nsec: 999999999}}
		fn(e)
		return e
	}
	xattrs := func(e *tree.Entry, pairs ...string) *tree.Entry {
		for i := 0; i < len(pairs); i += 2 {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: pairs[i], Value: pairs[i+1]})
		}
		return e
	}
	es := []*tree.Entry{
		entry(".", tree.Dir, func(e *tree.Entry) { e.Mode, e.UID = 0o1777, 5 }),
		file("empty", nil), file("one", pattern(1, 1)), file("block-1", pattern(2, 4095)), file("block", pattern(3, 4096)),
		file("block+1", pattern(4, 4097)), file("large", pattern(5, 3<<20+17)), file(strings.Repeat("n", 255), pattern(6, 10)),
		entry("link", tree.Link, func(e *tree.Entry) { e.Link = "target" }),
		entry("link59", tree.Link, func(e *tree.Entry) { e.Link = strings.Repeat("y", 59) }),
		entry("link60", tree.Link, func(e *tree.Entry) { e.Link = strings.Repeat("z", 60) }),
		entry("longlink", tree.Link, func(e *tree.Entry) { e.Link = strings.Repeat("x/", 2047) }),
		entry("char", tree.Char, func(e *tree.Entry) { e.Dev = tree.Device{Major: 1, Minor: 3} }),
		entry("block device", tree.Block, func(e *tree.Entry) { e.Dev = tree.Device{Major: 300, Minor: 70000} }),
		entry("fifo", tree.Fifo, func(e *tree.Entry) { e.Time = tree.Time{Sec: -2, Nsec: 5e8} }),
		entry("socket", tree.Socket, func(e *tree.Entry) { e.UID, e.GID = 1<<32-2, 70000 }),
		entry("sub/hard", tree.File, func(e *tree.Entry) { e.Hardlink = "large" }),
		entry("a-hard", tree.Link, func(e *tree.Entry) { e.Link, e.Hardlink = "target", "link" }),
		entry("dir", tree.Dir, func(e *tree.Entry) {}),
		entry("dir/dir", tree.Dir, func(e *tree.Entry) {}),
		xattrs(file("x", pattern(8, 100)), "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "user.a", ""),
		xattrs(file("xx", pattern(9, 100)), "user.large", strings.Repeat("v", 3000)),
		xattrs(file("xx2", nil), "user.large", strings.Repeat("v", 3000)),
		sparseFile("hole", 1<<22),
		sparseFile("sparse", 1<<20+100, tree.Extent{Off: 4096, Len: 4096}, tree.Extent{Off: 65546, Len: 100}, tree.Extent{Off: 66000, Len: 1}, tree.Extent{Off: 1<<20 + 50, Len: 50}),
		sparseFile("tail hole", 100000, tree.Extent{Off: 0, Len: 5000}),
		sparseFile("none", 5000, tree.Extent{Off: 0, Len: 5000}),
	}
	many := sparseFile("many extents", 1<<24)
	for i := range int64(500) {
		many.Extents = append(many.Extents, tree.Extent{Off: i * 3 * blockSize, Len: 10})
	}
	many.Content = pattern(10, 5000)
	es = append(es, many)
	for i := range 400 {
		es = append(es, file(fmt.Sprintf("many/%0100d", i), pattern(i, i*11)))
	}
	return es
}

// writeTo writes a file system of entries.
func writeTo(out Output, opts Options, entries []*tree.Entry) error {
	w, err := NewWriter(out, opts)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			return err
		}
	}
	return w.Close()
}

// written is a file system of the corpus in memory.
func written(t testing.TB, opts Options) *memory {
	t.Helper()
	m := &memory{}
	opts.Check = true
	if err := writeTo(m, opts, corpus()); err != nil {
		t.Fatal(err)
	}
	return m
}

// smallRoot are options for a small root file system.
func smallRoot() Options { return Options{Size: 32 << 20} }

// What is read is what was added, and the other way round.
func TestReadBack(t *testing.T) {
	tr := tree.New()
	for _, e := range corpus() {
		if _, err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	want := facts(t, tr.Source(tree.Flat))
	for _, opts := range []Options{smallRoot(), {Shrink: true}, {Upper: true, Size: 128 << 20}} {
		m := written(t, opts)
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		src := img.Source()
		if opts.Upper {
			if src, err = img.Subtree("upper"); err != nil {
				t.Fatal(err)
			}
		}
		reftest.Compare(t, want, facts(t, src))
	}
}

// A tree that has a lost+found of its own keeps it.
func TestLostFound(t *testing.T) {
	own := func(mode uint16, sec int64) *tree.Entry {
		return &tree.Entry{Path: "lost+found", Type: tree.Dir, Mode: mode, Time: tree.Time{Sec: sec}}
	}
	epoch := int64(1700000000)
	for _, c := range []struct {
		entries []*tree.Entry
		want    int
	}{
		{nil, 1},
		{[]*tree.Entry{own(0o755, epoch)}, 2},
		{[]*tree.Entry{own(0o700, epoch-100)}, 2},
		{[]*tree.Entry{own(0o700, epoch+100)}, 2},
		{[]*tree.Entry{own(0o700, epoch), file("lost+found/x", nil)}, 3},
		{[]*tree.Entry{file("lost+found", nil)}, 2},
		{[]*tree.Entry{own(0o700, epoch)}, 1}, // nobody can tell
	} {
		m := &memory{}
		opts := smallRoot()
		opts.Check, opts.Epoch = true, &epoch
		if err := writeTo(m, opts, c.entries); err != nil {
			t.Fatal(err)
		}
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		if have := facts(t, img.Source()); len(have) != c.want {
			t.Errorf("%v: %v", c.entries, have)
		}
	}
}

// Whatever a disk that lies makes of what was written, Check says so.
func TestCheckFinds(t *testing.T) {
	at := func(m *memory, path string) (*Image, *foundInode) {
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		ino, _, err := img.lookup(path)
		if err != nil {
			t.Fatal(err)
		}
		return img, ino
	}
	change := func(path string, fn func(n *inode)) func(m *memory) {
		return func(m *memory) {
			_, ino := at(m, path)
			fn(&ino.inode)
			ino.encode(ino.raw)
			ino.sum.seal(ino.raw)
			m.WriteAt(ino.raw, ino.off)
		}
	}
	content := func(path string, off int64) func(m *memory) {
		return func(m *memory) {
			img, ino := at(m, path)
			var c content
			if err := img.find(&c, ino, nil); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			m.ReadAt(b, c.runs[0].disk()+off)
			b[0] ^= 0x80
			m.WriteAt(b, c.runs[0].disk()+off)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(m *memory)
		err   string
	}{
		{"nothing", func(m *memory) {}, ""},
		{"mode", change("one", func(n *inode) { n.Mode ^= 1 }), "one: mode: "},
		{"owner", change("one", func(n *inode) { n.GID++ }), "one: owner: "},
		{"time", change("one", func(n *inode) { n.Mtime.Extra += 4 }), "one: time: "},
		{"epoch", change("dir/dir", func(n *inode) { n.Mtime.Extra ^= 1 }), "dir/dir: time: "},
		{"size", change("one", func(n *inode) { n.Size++ }), "one: size: "},
		{"target", change("link", func(n *inode) { n.Block[0]++ }), "link target: "},
		{"device", change("char", func(n *inode) { n.Block[0]++ }), "char: device: "},
		{"type", change("one", func(n *inode) { n.Mode ^= modeFile ^ modeFifo }), "one: "},
		{"content", content("one", 0), "one: content is not what was written"},
		{"end of the content", content("large", 3<<20+16), "large: content is not what was written"},
		{"behind the data", content("sparse", 4095), "sparse: content is not what was written"},
		{"in a hole of a block", content("tail hole", 5000), "tail hole: there is something in a hole"},
		{"hole", change("tail hole", func(n *inode) { n.Block[16]--; n.Blocks -= 8 }), "tail hole: holes are not where they were"},
		{"no content", change("one", func(n *inode) { n.Block[2]--; n.Blocks -= 8 }), "one: holes are not where they were"},
		{"xattrs", func(m *memory) {
			_, ino := at(m, "x")
			i := bytes.LastIndexByte(ino.raw, 0x20)
			ino.raw[i]++
			ino.sum.seal(ino.raw)
			m.WriteAt(ino.raw, ino.off)
		}, "x: xattrs: "},
		{"name", func(m *memory) {
			img, ino := at(m, "dir")
			_, c, err := img.readDir(ino, rootIno, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := m.page(c.runs[0].disk() / blockSize)
			b[2*dotSize+direntHeadSize]++
			binary.LittleEndian.PutUint32(b[dirTailOffset+direntHeadSize:], ino.sum.dirLeaf(b))
		}, "dir/dir: not in the file system"},
		{"copy of the superblock", func(m *memory) { m.page(blocksPerGroup)[100]++ }, "copy of the superblock has checksum"},
		{"copy of the superblock, sealed", func(m *memory) {
			b := m.page(blocksPerGroup)
			b[100]++
			binary.LittleEndian.PutUint32(b[superSumOffset:], superChecksum(b))
		}, "copy of the superblock in group 1 differs"},
		{"copy of the descriptors", func(m *memory) { m.page(blocksPerGroup + 1)[100]++ }, "copy of the descriptors in group 1 differs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &memory{spoil: c.spoil}
			err := writeTo(m, Options{Size: 256 << 20, Check: true}, corpus())
			if c.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "check: ") {
				t.Errorf("%v, expected %q", err, c.err)
			}
		})
	}
}

func TestContentReadAt(t *testing.T) {
	m := written(t, smallRoot())
	img, err := Open(m, m.size)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range corpus() {
		if e.Type != tree.File || e.Hardlink != "" || e.Size == 0 {
			continue
		}
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, e); err != nil {
			t.Fatal(err)
		}
		ino, _, err := img.lookup(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		var c content
		if err := img.find(&c, ino, nil); err != nil {
			t.Fatal(err)
		}
		for _, at := range [][2]int64{{0, 10}, {0, e.Size}, {4000, 200}, {e.Size - 5, 5}, {1, e.Size - 2}, {e.Size / 2, e.Size}} {
			from := max(at[0], 0)
			n := max(0, min(at[1], e.Size-from))
			b := make([]byte, n)
			if k, err := c.ReadAt(b, from); int64(k) != n && n > 0 || err != nil && err != io.EOF || n > 0 && !bytes.Equal(b, want.Bytes()[from:from+n]) {
				t.Errorf("%s: %d bytes at %d: %d, %v", e.Path, n, from, k, err)
			}
		}
		if n, err := c.ReadAt(make([]byte, 10), e.Size-1); n != 1 || err != io.EOF {
			t.Errorf("%s: at the end: %d, %v", e.Path, n, err)
		}
		if n, err := c.ReadAt(make([]byte, 1), e.Size); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end: %d, %v", e.Path, n, err)
		}
	}
}
