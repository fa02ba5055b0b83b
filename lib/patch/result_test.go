package patch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// The root is always there, as it is below, and so is each directory above a change.
func TestAncestors(t *testing.T) {
	lower := []tree.Entry{
		with(dir("."), func(e *tree.Entry) {
			e.Mode, e.UID, e.Time, e.Xattrs = 0o701, 3, tree.Time{Sec: 9}, []tree.Xattr{{Name: "user.r", Value: "r"}}
		}),
		with(dir("tmp"), func(e *tree.Entry) { e.Mode, e.GID, e.Time = 0o1777, 4, tree.Time{Sec: 8, Nsec: 7} }), dir("tmp/d"), file("other", "o"),
	}
	const root = ". type=dir mode=0701 uid=3 gid=0 time=9.000000000 xattr.user.r=cg==\n"
	for _, c := range []struct {
		ops  []Op
		want string
	}{
		{nil, root},
		{[]Op{Mkdir{Path: "/tmp"}, Remove{Path: "/none"}, Append{Path: "/other"}, Xattr{Path: "/other", Name: "user.x", Remove: true}}, root},
		{[]Op{Text{Path: "/new"}, Remove{Path: "/new"}}, root},
		{[]Op{Mkdir{Path: "/tmp/d/e"}},
			root + "./tmp type=dir mode=1777 uid=0 gid=4 time=8.000000007\n" +
				"./tmp/d type=dir mode=0755 uid=0 gid=0 time=11.000000000\n./tmp/d/e type=dir mode=0755 uid=0 gid=0 time=5.000000000\n"},
		{[]Op{Remove{Path: "/tmp/d"}}, root + "./tmp type=dir mode=1777 uid=0 gid=4 time=8.000000007\n./tmp/d type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0\n"},
	} {
		if have := stream(t, apply(t, merged(t, lower), Options{Epoch: ptr(int64(5))}, c.ops...).Source(tree.Layer)); have != c.want {
			t.Errorf("%+v:\n%s\nexpected\n%s", c.ops, have, c.want)
		}
	}
}

// Nothing happens to what becomes itself: a file is not parted from its other names.
func TestOntoItself(t *testing.T) {
	f := file("f", "f")
	lower := []tree.Entry{dir("."), f, hardlink("g", f)}
	want := stream(t, merged(t, lower).Source(tree.Flat))
	for _, op := range []Op{Link{Target: "/f", Link: "/f", Replace: true}, Rename{Src: "/g", Dst: "/g"}} {
		if have := stream(t, apply(t, merged(t, lower), Options{}, op).Source(tree.Flat)); have != want {
			t.Errorf("%+v:\n%s", op, have)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want tree.Time
	}{
		{Options{}, tree.Time{}},
		{Options{Epoch: ptr(int64(-7))}, tree.Time{Sec: -7}},
		{Options{Epoch: ptr(int64(-7)), Mtime: &tree.Time{Sec: 3, Nsec: 4}}, tree.Time{Sec: 3, Nsec: 4}},
	} {
		found := read(t, apply(t, merged(t, []tree.Entry{dir("."), file("f", "f"), file("g", "g")}), c.opts,
			Append{Path: "/f", Content: "+"}, Symlink{Target: "x", Link: "/a/l"}, Text{Path: "/t"}, Touch{Path: "/g"}, Touch{Path: "/n", Time: &tree.Time{Sec: 1}}).Source(tree.Layer))
		for _, p := range []string{"f", "a", "a/l", "t", "g"} {
			if found[p].Time != c.want {
				t.Errorf("%+v: time of %s is %v", c.opts, p, found[p].Time)
			}
		}
		if found["n"].Time != (tree.Time{Sec: 1}) {
			t.Errorf("touched at %v", found["n"].Time)
		}
	}
}

func TestKeepCaps(t *testing.T) {
	capable := with(file("f", "f"), func(e *tree.Entry) {
		e.Mode, e.Xattrs = 0o6755, []tree.Xattr{{Name: capability, Value: capNetRaw}, {Name: "user.a", Value: "1"}}
	})
	for _, c := range []struct {
		op   Op
		keep bool
		want string
	}{
		{Append{Path: "/f", Content: "+"}, false, "6755 [{user.a 1}]"},
		{Append{Path: "/f", Content: "+"}, true, "6755 [{security.capability cap} {user.a 1}]"},
		{Append{Path: "/f", Attr: Attr{Mode: ptr(uint16(0o600))}}, false, "600 [{security.capability cap} {user.a 1}]"},
		{Chown{Path: "/f", Attr: Attr{Owner: Owner{UID: ptr(uint32(0))}}}, false, "755 [{user.a 1}]"},
		{Chown{Path: "/f", Attr: Attr{Owner: Owner{UID: ptr(uint32(0))}}}, true, "755 [{security.capability cap} {user.a 1}]"},
		{Chown{Path: "/f", Attr: Attr{Owner: Owner{GID: ptr(uint32(0))}, Mode: ptr(uint16(0o4711))}}, false, "4711 [{user.a 1}]"},
		{Chmod{Path: "/f", Mode: 0o711}, false, "711 [{security.capability cap} {user.a 1}]"},
		{Rename{Src: "/f", Dst: "/g"}, false, "6755 [{security.capability cap} {user.a 1}]"},
		{Link{Target: "/f", Link: "/g"}, false, "6755 [{security.capability cap} {user.a 1}]"},
		{Text{Path: "/f", Content: "new", Replace: true}, true, "644 []"},
	} {
		found := read(t, apply(t, merged(t, []tree.Entry{dir("."), capable}), Options{KeepCaps: c.keep}, c.op).Source(tree.Flat))
		e, ok := found["f"]
		if !ok {
			e = found["g"]
		}
		have := strings.ReplaceAll(fmt.Sprintf("%o %v", e.Mode, e.Xattrs), capNetRaw, "cap")
		if have != c.want {
			t.Errorf("%+v, keep %v: %q, expected %q", c.op, c.keep, have, c.want)
		}
	}
}

// TestACL sets modes of files that have access control lists, and lists.
func TestACL(t *testing.T) {
	acl := func(owner, group, mask, other string) string { // with "" as mask there is no more than a mode
		s := "\x02\x00\x00\x00" + "\x01\x00" + owner + "\x00\xff\xff\xff\xff"
		if mask != "" {
			s += "\x02\x00\x07\x00\x07\x00\x00\x00"
		}
		s += "\x04\x00" + group + "\x00\xff\xff\xff\xff"
		if mask != "" {
			s += "\x10\x00" + mask + "\x00\xff\xff\xff\xff"
		}
		return s + "\x20\x00" + other + "\x00\xff\xff\xff\xff"
	}
	listed := with(file("f", "f"), func(e *tree.Entry) {
		e.Mode, e.Xattrs = 0o674, []tree.Xattr{{Name: posixacl.Access, Value: acl("\x06", "\x04", "\x07", "\x04")}}
	})
	for _, c := range []struct {
		op   Op
		mode uint16
		want string // the list
	}{
		{Chmod{Path: "/f", Mode: 0o4751}, 0o4751, acl("\x07", "\x04", "\x05", "\x01")},
		{Xattr{Path: "/f", Name: posixacl.Access, Value: acl("\x07", "\x00", "\x02", "\x00")}, 0o720, acl("\x07", "\x00", "\x02", "\x00")},
		{Xattr{Path: "/f", Name: posixacl.Access, Value: acl("\x05", "\x04", "", "\x01")}, 0o541, ""},
		{Xattr{Path: "/f", Name: posixacl.Access, Value: ""}, 0o674, ""},
		{Xattr{Path: "/f", Name: posixacl.Access, Value: "\x02\x00\x00\x00"}, 0o674, ""},
		{Xattr{Path: "/f", Name: posixacl.Access, Remove: true}, 0o674, ""},
		{Xattr{Path: "/f", Name: posixacl.Access, Remove: true, Attr: Attr{Mode: ptr(uint16(0o600))}}, 0o600, ""},
	} {
		e := read(t, apply(t, merged(t, []tree.Entry{dir("."), listed}), Options{}, c.op).Source(tree.Flat))["f"]
		if value, _ := e.Xattr(posixacl.Access); e.Mode != c.mode || value != c.want {
			t.Errorf("%+v: mode %o, %q", c.op, e.Mode, value)
		}
	}
	for _, value := range []string{
		"\x01\x00\x00\x00", "\x02\x00\x00\x00\x01", acl("\x08", "\x00", "", "\x00"), acl("\x00", "\x00", "\x00", "\x00")[:36],
		acl("\x00", "\x00", "", "\x00")[:20], "\x02\x00\x00\x00" + acl("\x00", "\x00", "", "\x00")[12:],
		strings.Replace(acl("\x00", "\x00", "\x00", "\x00"), "\x07\x00\x00\x00", "\xff\xff\xff\xff", 1),
	} {
		if err := (Xattr{Path: "/f", Name: posixacl.Access, Value: value}).check(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: error %v", value, err)
		}
	}
	for _, c := range []struct {
		op   Op
		want error
	}{
		{Xattr{Path: "/f", Name: posixacl.Default, Value: acl("\x07", "\x00", "\x02", "\x00")}, unix.EACCES},
		{Xattr{Path: "/l", Name: posixacl.Access, Value: acl("\x07", "\x00", "\x02", "\x00")}, unix.EOPNOTSUPP},
		{Xattr{Path: "/l", Name: "user.a", Value: "1"}, unix.EPERM},
		{Xattr{Path: "/d", Name: "user.a", Value: "1"}, unix.EPERM},
		{Chmod{Path: "/l", Mode: 0o600}, unix.EOPNOTSUPP},
	} {
		_, err := Apply(context.Background(), merged(t, []tree.Entry{dir("."), listed, symlink("l", "f"), device("d")}), []Op{c.op}, Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: error %v, expected %v", c.op, err, c.want)
		}
	}
}

// TestAppend appends to files of all shapes, twice.
func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int64
		data    string
		extents []tree.Extent
		want    []tree.Extent
	}{
		{"dense", 3, "abc", nil, nil},
		{"empty", 0, "", nil, nil},
		{"hole", 4096, "", []tree.Extent{}, []tree.Extent{{Off: 4096, Len: 3}}},
		{"hole at the end", 100, "abc", []tree.Extent{{Off: 0, Len: 3}}, []tree.Extent{{Off: 0, Len: 3}, {Off: 100, Len: 3}}},
		{"data at the end", 100, "abc", []tree.Extent{{Off: 97, Len: 3}}, []tree.Extent{{Off: 97, Len: 6}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := tree.Entry{Path: "f", Type: tree.File, Size: c.size, Extents: c.extents, Extra: &tree.Keywords{{Name: "sha256digest", Value: "old"}, {Name: "x-a", Value: "1"}}}
			if c.data != "" {
				e.Content = tree.WithHoles(text(c.data), c.size, c.extents)
			}
			if c.data != "" && c.extents == nil {
				e.Content = text(c.data)
			}
			lower := merged(t, []tree.Entry{dir("."), e})
			before := slices.Clone(c.extents)
			for range 2 { // the first result does not change the second
				have := read(t, apply(t, lower, Options{}, Append{Path: "/f", Content: "12"}, Append{Path: "/f", Content: "3"}).Source(tree.Layer))["f"]
				if have.Size != c.size+3 || !slices.Equal(have.Extents, c.want) || content(t, have) != c.data+"123" || fmt.Sprint(have.Extra) != `[{"x-a" "1"}]` {
					t.Errorf("%+v, %q", have, content(t, have))
				}
				checkReadAt(t, have)
			}
			if !slices.Equal(before, c.extents) {
				t.Errorf("extents below are %v", c.extents)
			}
		})
	}
}

// checkReadAt compares what is read of e at all offsets with what is written.
func checkReadAt(t *testing.T, e tree.Entry) {
	t.Helper()
	var whole bytes.Buffer
	if err := tree.WriteExpanded(&whole, &e); err != nil {
		t.Fatal(err)
	}
	r, ok := e.ReaderAt()
	if !ok {
		t.Fatalf("%s cannot be read at random", e.Path)
	}
	for off := max(0, e.Size-20); off <= e.Size+1; off++ {
		for n := range 25 {
			have := make([]byte, n)
			got, err := r.ReadAt(have, off)
			want := whole.Bytes()[min(off, e.Size):min(off+int64(n), e.Size)]
			if string(have[:got]) != string(want) || got < n != (err == io.EOF) {
				t.Fatalf("%s: %d bytes at %d: %q, %v, expected %q", e.Path, n, off, have[:got], err, want)
			}
		}
	}
}

func TestReadAtHost(t *testing.T) {
	in := plant(t, "file")
	r := apply(t, merged(t, []tree.Entry{dir("."), {Path: "s", Type: tree.File, Size: 5, Content: failing{}}}), Options{},
		CopyFile{Src: Source{Dir: in, Path: "file"}, Dst: "/f"}, CopyFile{Src: Source{Dir: in, Path: "file"}, Dst: "/g"}, Append{Path: "/g", Content: "more"}, Append{Path: "/s", Content: "+"})
	found := read(t, r.Source(tree.Layer))
	checkReadAt(t, found["f"])
	checkReadAt(t, found["g"])
	s := found["s"]
	if at, ok := s.ReaderAt(); ok {
		if _, err := at.ReadAt(make([]byte, 6), 0); err != errNotRandom {
			t.Errorf("of a stream: error %v", err)
		}
	}
	f, _ := found["f"].Content.(tree.RandomContent)
	if err := os.Truncate(filepath.Join(in, "file"), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); err == nil || !strings.Contains(err.Error(), "from 4 bytes to 2") {
		t.Errorf("error %v", err)
	}
}

// A result may be the tree below another one.
func TestAppendToResult(t *testing.T) {
	first := apply(t, merged(t, []tree.Entry{dir("."), file("f", "a")}), Options{}, Append{Path: "/f", Content: "b"})
	middle, err := tree.ReadLayer(first.Source(tree.Flat), nil)
	if err != nil {
		t.Fatal(err)
	}
	second := apply(t, middle, Options{}, Append{Path: "/f", Content: "c"})
	if a, b := content(t, read(t, first.Source(tree.Flat))["f"]), content(t, read(t, second.Source(tree.Flat))["f"]); a != "ab" || b != "abc" {
		t.Errorf("%q, %q", a, b)
	}
}

func TestAppendWithoutData(t *testing.T) {
	noData := with(file("f", ""), func(e *tree.Entry) { e.Size = 5 })
	_, err := Apply(context.Background(), merged(t, []tree.Entry{dir("."), noData}), []Op{Append{Path: "/f", Content: "+"}}, Options{})
	if err == nil || err.Error() != "patch 1 (append /f): the tree has no contents of files" {
		t.Errorf("error %v", err)
	}
	huge := with(noData, func(e *tree.Entry) { e.Size, e.Extents = 1<<63-1, []tree.Extent{} })
	_, err = Apply(context.Background(), merged(t, []tree.Entry{dir("."), huge}), []Op{Append{Path: "/f", Content: "+"}}, Options{})
	if !errors.Is(err, unix.EINVAL) {
		t.Errorf("error %v", err)
	}
}

// zeros is content that is written in pieces.
type zeros int64

func (z zeros) WriteTo(w io.Writer) (total int64, err error) {
	piece := make([]byte, 64<<10)
	for total < int64(z) && err == nil {
		var n int
		n, err = w.Write(piece[:min(int64(len(piece)), int64(z)-total)])
		total += int64(n)
	}
	return total, err
}

// TestHuge appends to 10 GiB, in little memory, and does not read what it does not change.
func TestHuge(t *testing.T) {
	reftest.OneThread(t)
	const size = 10 << 30
	huge := tree.Entry{Path: "huge", Type: tree.File, Size: size, Content: zeros(size)}
	unread := tree.Entry{Path: "unread", Type: tree.File, Size: size, Content: failing{}}
	r := apply(t, merged(t, []tree.Entry{dir("."), huge, unread}), Options{}, Append{Path: "/huge", Content: "end"}, Text{Path: "/new", Content: "n"})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var tail last
	found := read(t, r.Source(tree.Layer))
	if _, err := found["huge"].Content.WriteTo(&tail); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	if found["huge"].Size != size+3 || tail.n != size+3 || string(tail.b) != "end" || len(found) != 3 {
		t.Errorf("%d bytes, the last are %q; %d entries", tail.n, tail.b, len(found))
	}
}

type failing struct{}

func (failing) WriteTo(io.Writer) (int64, error) { return 0, errors.New("is read") }

// last counts what is written and keeps the last piece.
type last struct {
	n int64
	b []byte
}

func (l *last) Write(p []byte) (int, error) {
	l.n += int64(len(p))
	l.b = append(l.b[:0], p...)
	return len(p), nil
}

// A result can be read again, also by several at the same time, and the same list gives
// the same.
func TestSourcesOfResult(t *testing.T) {
	lower := merged(t, interopLayers()...)
	r := apply(t, lower, Options{}, Rename{Src: "/old", Dst: "/new"}, Text{Path: "/a/b", Content: "c"}, Link{Target: "/a/b", Link: "/z"}, Append{Path: "/etc/shadow", Content: "+"})
	for _, form := range []tree.Form{tree.Layer, tree.Flat} {
		want := stream(t, r.Source(form))
		have := make([]string, 8)
		var group sync.WaitGroup
		for i := range have {
			group.Go(func() { have[i] = stream(t, r.Source(form)) })
		}
		group.Wait()
		for _, s := range have {
			if s != want {
				t.Errorf("another reading of %v:\n%s\nexpected\n%s", form, s, want)
			}
		}
		again := apply(t, merged(t, interopLayers()...), Options{}, Rename{Src: "/old", Dst: "/new"}, Text{Path: "/a/b", Content: "c"}, Link{Target: "/a/b", Link: "/z"}, Append{Path: "/etc/shadow", Content: "+"})
		if s := stream(t, again.Source(form)); s != want {
			t.Errorf("the same list again:\n%s\nexpected\n%s", s, want)
		}
	}
}

func TestChanges(t *testing.T) {
	lower := []tree.Entry{dir("."), file("kept", "k"), file("same", "s"), dir("gone"), file("gone/x", "x"), dir("was"), file("was/y", "y"), file("f", "f"), dir("moved"), file("moved/m", "m"), file("twin1", "1"), file("twin2", "2")}
	r := apply(t, merged(t, lower), Options{}, Remove{Path: "/gone"}, Text{Path: "/was", Content: "w", Replace: true}, Append{Path: "/f", Content: "+"},
		Chmod{Path: "/same", Mode: 0o644}, Rename{Src: "/moved", Dst: "/to"}, Text{Path: "/new/n"}, Rename{Src: "/twin1", Dst: "/twin2", Replace: true})
	var have []string
	for c := range r.Changes() {
		s := c.Path
		for _, e := range []*tree.Entry{c.Old, c.New} {
			if e == nil {
				s += " -"
			} else {
				s += fmt.Sprintf(" %s:%d", e.Type, e.Size)
			}
		}
		have = append(have, s)
	}
	want := []string{"f file:1 file:2", "gone dir:0 -", "gone/x file:1 -", "moved dir:0 -", "moved/m file:1 -", "new - dir:0", "new/n - file:0", "to - dir:0", "to/m - file:1", "twin1 file:1 -", "twin2 file:1 file:1", "was dir:0 file:1", "was/y file:1 -"}
	if !slices.Equal(have, want) {
		t.Errorf("%q\nexpected\n%q", have, want)
	}
	for c := range r.Changes() { // to stop is no fault
		if c.Path == "gone/x" {
			break
		}
	}
}

// Errors say which operation, and what package fs knows of them.
func TestErrors(t *testing.T) {
	lower := []tree.Entry{dir("."), file("f", "f"), dir("d"), file("d/x", "x")}
	for _, c := range []struct {
		op   Op
		want string
		is   error
	}{
		{Append{Path: "/d/none"}, "patch 2 (append /d/none): not found", fs.ErrNotExist},
		{Append{Path: "/etc/shadow"}, "patch 2 (append /etc/shadow): not found: /etc does not exist", fs.ErrNotExist},
		{Text{Path: "/f"}, "patch 2 (text /f): exists (set replace to allow)", fs.ErrExist},
		{Text{Path: "/f/x"}, "patch 2 (text /f/x): /f is not a directory", unix.ENOTDIR},
		{Append{Path: "/d"}, "patch 2 (append /d): is a directory", unix.EISDIR},
		{Rename{Src: "/d", Dst: "/d/x/y"}, "patch 2 (rename /d): to /d/x/y: /d/x is not a directory", unix.ENOTDIR},
		{Rename{Src: "/d", Dst: "/d/y"}, "patch 2 (rename /d): to /d/y: is below what is moved", unix.EINVAL},
		{Rename{Src: "/d/x", Dst: "/d", Replace: true}, "patch 2 (rename /d/x): to /d: what is moved lies in it", unix.ENOTEMPTY},
		{Rename{Src: "/", Dst: "/d"}, "patch 2 (rename /): not for the root directory", unix.EINVAL},
		{Remove{Path: "//"}, "patch 2 (remove //): not for the root directory", unix.EINVAL},
		{Chmod{Path: "/f", Mode: 0o10000}, "patch 2 (chmod /f): mode 010000 is more than 07777", unix.EINVAL},
		{Mkdir{Path: "/x", Attr: Attr{Owner: Owner{UID: ptr(uint32(1<<32 - 1))}}}, "patch 2 (mkdir /x): 4294967295 is no user or group", unix.EINVAL},
		{Touch{Path: "/x", Time: &tree.Time{Nsec: 1e9}}, "patch 2 (touch /x): time with 1000000000 nanoseconds", unix.EINVAL},
		{Text{Path: "/a\n\x1b"}, `patch 2 (text "/a\n\x1b"): `, nil},
	} {
		r, err := Apply(context.Background(), merged(t, lower), []Op{Mkdir{Path: "/ok"}, c.op}, Options{})
		if c.is == nil {
			if err != nil {
				t.Errorf("%+v: error %v", c.op, err)
			}
			continue
		}
		if err == nil || r != nil || err.Error() != c.want || !errors.Is(err, c.is) {
			t.Errorf("%+v: error %q, expected %q, %v", c.op, err, c.want, c.is)
		}
	}
}

// Links that lead on and on are bounded for a list as a whole.
func TestSteps(t *testing.T) {
	lower := []tree.Entry{dir("."), dir("d")}
	target := strings.Repeat("d/../", 800)
	for i := range 30 {
		lower = append(lower, symlink(fmt.Sprint("l", i), fmt.Sprintf("%sl%d", target, i+1)))
	}
	lower = append(lower, symlink("l30", "d"))
	var ops []Op
	for i := range 100 {
		ops = append(ops, Text{Path: fmt.Sprint("/l0/", i)})
	}
	_, err := Apply(context.Background(), merged(t, lower), ops, Options{})
	if !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), "over 1048576 steps") {
		t.Errorf("error %v", err)
	}
	apply(t, merged(t, lower), Options{}, ops[:5]...)
}

// TestManyXattrs gives a file attributes until their names are too many to be listed.
func TestManyXattrs(t *testing.T) {
	reftest.OneThread(t)
	var ops []Op
	for i := range maxXattrNames / len("user.0000\x00") {
		ops = append(ops, Xattr{Path: "/f", Name: fmt.Sprintf("user.%04d", i)})
	}
	lower := merged(t, []tree.Entry{file("f", "f")})
	full := append(ops, Xattr{Path: "/f", Name: "user.0007", Value: "new"})
	r := apply(t, lower, Options{}, full...)
	if xs := read(t, r.Source(tree.Layer))["f"].Xattrs; len(xs) != len(ops) || xs[7].Value != "new" {
		t.Errorf("%d attributes", len(xs))
	}
	_, err := Apply(context.Background(), lower, append(full, Xattr{Path: "/f", Name: "user.one more"}), Options{})
	if !errors.Is(err, unix.E2BIG) || !strings.Contains(err.Error(), "names of extended attributes of more than 65536 bytes") {
		t.Errorf("error %v", err)
	}
}

// TestManyMoves moves a directory with much in it until that is too often.
func TestManyMoves(t *testing.T) {
	reftest.OneThread(t)
	const names = 1 << 16
	lower := bigTree(names)
	var ops []Op
	for i := range names / 100 {
		ops = append(ops, Rename{Src: fmt.Sprint("/d", i), Dst: fmt.Sprint("/m0/d", i)})
	}
	for i := range maxWalked / names {
		ops = append(ops, Rename{Src: fmt.Sprint("/m", i), Dst: fmt.Sprint("/m", i+1)})
	}
	apply(t, lower, Options{}, ops[:len(ops)-names/100]...)
	_, err := Apply(context.Background(), lower, ops, Options{})
	if !errors.Is(err, unix.E2BIG) || !strings.Contains(err.Error(), "directories that are moved hold too many names: over 16777216 in all") {
		t.Errorf("error %v", err)
	}
}
