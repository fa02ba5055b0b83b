package erofstest

import (
	"io"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// Data is content in memory, that of a file without holes.
type Data []byte

// WriteTo writes all of d.
func (d Data) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(d)
	return int64(n), err
}

// Pattern returns n bytes that differ from those of any other seed.
func Pattern(seed byte, n int) Data {
	d := make(Data, n)
	x := uint32(seed)*2654435761 + 1
	for i := range d {
		x = x*1664525 + 1013904223
		d[i] = byte(x >> 24)
	}
	return d
}

// Time is the time of entries.
var Time = tree.Time{Sec: 1700000000, Nsec: 123456789}

// Dir is a directory.
func Dir(path string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755, Time: Time}
}

// File is a file with the content d.
func File(path string, d Data) tree.Entry {
	e := tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: Time, Size: int64(len(d))}
	if len(d) > 0 {
		e.Content = d
	}
	return e
}

// Sparse is a file of size bytes with data in xs alone.
func Sparse(path string, size int64, xs []tree.Extent) tree.Entry {
	e := tree.Entry{Path: path, Type: tree.File, Mode: 0o640, Time: Time, Size: size, Extents: xs}
	if n := e.DataSize(); n > 0 {
		e.Content = Pattern(7, int(n))
	}
	return e
}

// Symlink is a symbolic link.
func Symlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Link, Mode: 0o777, Time: Time, Link: target}
}

// Hardlink is another name of target.
func Hardlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: Time, Hardlink: target}
}

// LowerLink is a hard link to target in a layer below.
func LowerLink(path, target string) tree.Entry {
	return With(Hardlink(path, ""), func(e *tree.Entry) { e.Lower = &tree.Lower{Targets: []string{target}} })
}

// Device is a character or block device.
func Device(path string, t tree.Type, major, minor uint32) tree.Entry {
	return tree.Entry{Path: path, Type: t, Mode: 0o600, Time: Time, Dev: tree.Device{Major: major, Minor: minor}}
}

// With is e after change.
func With(e tree.Entry, change func(e *tree.Entry)) tree.Entry {
	change(&e)
	return e
}

// Xattrs is e with more xattrs: pairs of name and value.
func Xattrs(e tree.Entry, pairs ...string) tree.Entry {
	e.Xattrs = slices.Clone(e.Xattrs)
	for i := 0; i < len(pairs); i += 2 {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: pairs[i], Value: pairs[i+1]})
	}
	slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return e
}
