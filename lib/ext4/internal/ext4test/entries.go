package ext4test

import (
	"fmt"
	"io"
	"strings"

	"ocipipe/lib/tree"
)

// Write adds entries to w and completes it.
func Write(w tree.Sink, entries []*tree.Entry) error {
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			return err
		}
	}
	return w.Close()
}

// Text is content in memory.
type Text []byte

// WriteTo implements tree.Content.
func (d Text) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(d)
	return int64(n), err
}

// Pattern is n bytes, none of them zero, that differ from those of another seed.
func Pattern(seed, n int) Text {
	d := make(Text, n)
	x := uint32(seed)*2654435761 + 1
	for i := range d {
		x = x*1664525 + 1013904223
		d[i] = byte(x>>24) | 1
	}
	return d
}

// File is a file with the content d.
func File(path string, d Text) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: tree.Time{Sec: 1700000000, Nsec: 5}, Size: int64(len(d))}
	if len(d) > 0 {
		e.Content = d
	}
	return e
}

// SparseFile is a file of size bytes with data in the extents xs.
func SparseFile(path string, size int64, xs ...tree.Extent) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o640, Size: size, Extents: append([]tree.Extent{}, xs...)}
	if n := e.DataSize(); n > 0 {
		e.Content = Pattern(7, int(n))
	}
	return e
}

// Corpus has every type and edge that a root file system can hold.
func Corpus() []*tree.Entry {
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
		File("empty", nil), File("one", Pattern(1, 1)), File("block-1", Pattern(2, 4095)), File("block", Pattern(3, 4096)),
		File("block+1", Pattern(4, 4097)), File("large", Pattern(5, 3<<20+17)), File(strings.Repeat("n", 255), Pattern(6, 10)),
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
		xattrs(File("x", Pattern(8, 100)), "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "user.a", ""),
		xattrs(File("xx", Pattern(9, 100)), "user.large", strings.Repeat("v", 3000)),
		xattrs(File("xx2", nil), "user.large", strings.Repeat("v", 3000)),
		SparseFile("hole", 1<<22),
		SparseFile("sparse", 1<<20+100, tree.Extent{Off: 4096, Len: 4096}, tree.Extent{Off: 65546, Len: 100}, tree.Extent{Off: 66000, Len: 1}, tree.Extent{Off: 1<<20 + 50, Len: 50}),
		SparseFile("tail hole", 100000, tree.Extent{Off: 0, Len: 5000}),
		SparseFile("none", 5000, tree.Extent{Off: 0, Len: 5000}),
	}
	many := SparseFile("many extents", 1<<24)
	for i := range int64(500) {
		many.Extents = append(many.Extents, tree.Extent{Off: i * 3 * pageSize, Len: 10})
	}
	many.Content = Pattern(10, 5000)
	es = append(es, many)
	for i := range 400 {
		es = append(es, File(fmt.Sprintf("many/%0100d", i), Pattern(i, i*11)))
	}
	return es
}

// Dir is a directory.
func Dir(path string, mode uint16) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.Dir, Mode: mode, Time: tree.Time{Sec: 1700000000}}
}

// Whiteout is a whiteout.
func Whiteout(path string) *tree.Entry { return &tree.Entry{Path: path, Type: tree.Char} }
