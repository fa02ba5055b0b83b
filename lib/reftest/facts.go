package reftest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Fact describes one name in a directory tree, in values that can be compared and
// printed.
type Fact struct {
	Path    string // "." is the root, then "a/b"
	Type    string // file dir link char block fifo socket
	Mode    Octal  // permission bits, 07777
	UID     uint32
	GID     uint32
	Time    string // of modification: seconds, ".", nine digits
	Size    int64  // of a file or link, else 0
	Link    string
	Dev     string // "MAJOR:MINOR" of a device, else ""
	Nlink   uint64 // of a directory only if asked for, else 0
	SameAs  string // the first path, in order, of the same inode; Path itself if there is no other
	Sum     string // SHA-256 of a file's content, in hex
	Extents string // data of a file as "OFF+LEN,...", if asked for; "-" is all hole
	Xattrs  Xattrs
}

// Octal is a mode that prints as one.
type Octal uint32

func (o Octal) String() string { return fmt.Sprintf("%04o", uint32(o)) }

// Xattrs are the extended attributes of one file.
type Xattrs map[string]string

func (x Xattrs) String() string {
	var s []string
	for name, value := range x {
		s = append(s, fmt.Sprintf("%s=%q", name, value))
	}
	sort.Strings(s)
	return "{" + strings.Join(s, " ") + "}"
}

// Look says which optional facts Walk reports.
type Look struct {
	Extents  bool // holes, which not every file system reports alike
	DirLinks bool // st_nlink of directories, which overlayfs and btrfs do not count
}

// Walk returns the facts of everything below and at root, in the order of
// filepath.WalkDir. security.selinux, which the host adds, is left out.
func Walk(t testing.TB, root string, look Look) []Fact {
	t.Helper()
	w := walker{look: look, first: map[[2]uint64]string{}}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return w.visit(path, rel)
	})
	if err != nil {
		t.Fatalf("walk %s: %v", root, err)
	}
	return w.facts
}

type walker struct {
	look  Look
	facts []Fact
	first map[[2]uint64]string // device and inode to its first path
}

var typeNames = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link", unix.S_IFCHR: "char",
	unix.S_IFBLK: "block", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
}

func (w *walker) visit(path, rel string) (err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	f := Fact{
		Path: rel, Type: typeNames[st.Mode&unix.S_IFMT], Mode: Octal(st.Mode & 0o7777), UID: st.Uid, GID: st.Gid,
		Time: fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec), SameAs: rel,
	}
	if f.Type != "dir" || w.look.DirLinks {
		f.Nlink = uint64(st.Nlink)
	}
	inode := [2]uint64{uint64(st.Dev), st.Ino}
	if first, ok := w.first[inode]; ok && f.Type != "dir" {
		f.SameAs = first
	} else {
		w.first[inode] = rel
	}
	switch f.Type {
	case "char", "block":
		f.Dev = fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	case "link":
		f.Size = st.Size
		f.Link, err = os.Readlink(path)
	case "file":
		f.Size = st.Size
		f.Sum, f.Extents, err = w.content(path)
	}
	if err != nil {
		return err
	}
	f.Xattrs, err = xattrs(path)
	w.facts = append(w.facts, f)
	return err
}

func (w *walker) content(path string) (sum, extents string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", "", err
	}
	if w.look.Extents {
		extents, err = dataExtents(f)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), extents, err
}

func dataExtents(f *os.File) (string, error) {
	var list []string
	for end := int64(0); ; {
		data, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err == nil {
			end, err = f.Seek(data, unix.SEEK_HOLE)
		}
		if err != nil {
			return "", err
		}
		list = append(list, fmt.Sprintf("%d+%d", data, end-data))
	}
	if list == nil {
		return "-", nil
	}
	return strings.Join(list, ","), nil
}

func xattrs(path string) (Xattrs, error) {
	names := make([]byte, 64<<10) // the kernel's limit
	n, err := unix.Llistxattr(path, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	x := Xattrs{}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "security.selinux" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		x[name] = string(value[:n])
	}
	if len(x) == 0 {
		return nil, nil
	}
	return x, nil
}

// Diff compares facts by path, without regard to their order, and describes each difference
// in a line. It does not compare the fields named in ignore. It panics if a name is not
// that of a field.
func Diff(want, got []Fact, ignore ...string) []string {
	for _, name := range ignore {
		if _, ok := reflect.TypeFor[Fact]().FieldByName(name); !ok {
			panic("reftest: Fact has no field " + name)
		}
	}
	var lines []string
	byPath := map[string]Fact{}
	for _, f := range got {
		if _, twice := byPath[f.Path]; twice {
			lines = append(lines, fmt.Sprintf("%s: there twice", f.Path))
		}
		byPath[f.Path] = f
	}
	seen := map[string]bool{}
	for _, f := range want {
		seen[f.Path] = true
		if g, ok := byPath[f.Path]; ok {
			lines = append(lines, diffFields(f, g, ignore)...)
		} else {
			lines = append(lines, fmt.Sprintf("%s: missing (%s)", f.Path, f.Type))
		}
	}
	for _, g := range got {
		if !seen[g.Path] {
			lines = append(lines, fmt.Sprintf("%s: should not exist (%s)", g.Path, g.Type))
		}
	}
	return lines
}

func diffFields(want, got Fact, ignore []string) (lines []string) {
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	for i := range w.NumField() {
		name := w.Type().Field(i).Name
		a, b := w.Field(i).Interface(), g.Field(i).Interface()
		// Maps are compared as text, in which an empty one is like none.
		if slices.Contains(ignore, name) || fmt.Sprint(a) == fmt.Sprint(b) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s is %v, want %v", want.Path, name, quoted(b), quoted(a)))
	}
	return lines
}

func quoted(v any) any {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return v
}

// Compare fails t if Diff finds differences, and prints the first 40.
func Compare(t testing.TB, want, got []Fact, ignore ...string) {
	t.Helper()
	lines := Diff(want, got, ignore...)
	if len(lines) == 0 {
		return
	}
	const maxLines = 40
	first := lines[:min(len(lines), maxLines)]
	t.Errorf("%d differences in %d entries, among them:\n\t%s", len(lines), len(want), strings.Join(first, "\n\t"))
}
