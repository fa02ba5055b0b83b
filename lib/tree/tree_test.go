package tree

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// put makes a tree of records.
func put(t *testing.T, list ...Entry) *Tree {
	t.Helper()
	tree := New()
	for _, e := range list {
		if _, err := tree.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func dirEntry(path string) Entry { return Entry{Path: path, Type: Dir, Mode: 0o700, UID: 7} }

func fileEntry(path string, size int64) Entry {
	return Entry{Path: path, Type: File, Mode: 0o600, Size: size}
}

func linkEntry(path, target string) Entry {
	return Entry{Path: path, Type: Link, Mode: 0o777, Link: target}
}

func hardEntry(path, target string) Entry {
	return Entry{Path: path, Type: File, Size: 99, Hardlink: target}
}

// list is t as lines that name all that the tests look at.
func list(t *testing.T, tree *Tree, form Form) []string {
	t.Helper()
	src := tree.Source(form)
	defer src.Close()
	var lines []string
	for {
		e, err := src.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s %s %o %d", e.Path, e.Type, e.Mode, e.UID)
		if e.Type == File {
			line += fmt.Sprintf(" size=%d", e.Size)
		}
		if e.Link != "" {
			line += " -> " + e.Link
		}
		if e.Hardlink != "" {
			line += " = " + e.Hardlink
		}
		if e.Lower != nil {
			line += " lower=" + strings.Join(e.Lower.Targets, ",")
			if e.Lower.Else {
				line += " or else"
			}
		}
		if e.NoChange {
			line += " nochange"
		}
		if e.IsOpaque() {
			line += " opaque"
		}
		lines = append(lines, line)
	}
}

func TestPut(t *testing.T) {
	opaque := Entry{Path: "d", Type: Dir, NoChange: true, Xattrs: []Xattr{Opaque}}
	odd := Entry{Path: "d", Type: Dir, NoChange: true, Mode: 0o123, UID: 9, Xattrs: []Xattr{{"user.a", ""}}}
	opaqueDir := dirEntry("d")
	opaqueDir.Xattrs = []Xattr{Opaque}
	for _, c := range []struct {
		name string
		in   []Entry
		want []string
		form Form
	}{
		{"empty", nil, []string{". dir 755 0"}, Flat},
		{"implied parents", []Entry{fileEntry("a/b/c", 1)},
			[]string{". dir 755 0", "a dir 755 0", "a/b dir 755 0", "a/b/c file 600 0 size=1"}, Flat},
		{"implied parents of a layer", []Entry{fileEntry("a/b/c", 1)}, []string{"a/b/c file 600 0 size=1"}, Layer},
		{"a parent that comes later", []Entry{fileEntry("a/b", 1), dirEntry("a"), dirEntry(".")},
			[]string{". dir 700 7", "a dir 700 7", "a/b file 600 0 size=1"}, Flat},
		{"directory over directory", []Entry{opaqueDir, fileEntry("d/a", 1), {Path: "d", Type: Dir, Mode: 0o711}},
			[]string{". dir 755 0", "d dir 711 0", "d/a file 600 0 size=1"}, Flat},
		{"file over directory", []Entry{fileEntry("d/a", 1), fileEntry("d", 2)},
			[]string{". dir 755 0", "d file 600 0 size=2"}, Flat},
		{"directory over file", []Entry{fileEntry("d", 2), dirEntry("d")},
			[]string{". dir 755 0", "d dir 700 7"}, Flat},
		{"below a file", []Entry{fileEntry("d", 2), fileEntry("d/a", 1)},
			[]string{". dir 755 0", "d dir 755 0", "d/a file 600 0 size=1"}, Flat},
		{"below a symbolic link", []Entry{dirEntry("e"), linkEntry("d", "e"), fileEntry("d/a", 1)},
			[]string{". dir 755 0", "d dir 755 0", "d/a file 600 0 size=1", "e dir 700 7"}, Flat},
		{"nochange over directory", []Entry{dirEntry("d"), odd}, []string{". dir 755 0", "d dir 700 7"}, Flat},
		{"nochange alone", []Entry{odd}, []string{". dir 755 0", "d dir 755 0"}, Flat},
		{"nochange over file", []Entry{fileEntry("d", 1), odd}, []string{". dir 755 0", "d dir 755 0"}, Flat},
		{"opaque over directory", []Entry{dirEntry("d"), fileEntry("d/a", 1), opaque, opaque},
			[]string{"d dir 700 7 opaque", "d/a file 600 0 size=1"}, Layer},
		{"opaque alone", []Entry{opaque}, []string{"d dir 755 0 nochange opaque"}, Layer},
		{"directory over opaque", []Entry{opaque, dirEntry("d")}, []string{"d dir 700 7"}, Layer},
		{"opaque root", []Entry{{Path: ".", Type: Dir, NoChange: true, Xattrs: []Xattr{Opaque}}},
			[]string{". dir 755 0 nochange opaque"}, Layer},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := list(t, put(t, c.in...), c.form); !slices.Equal(got, c.want) {
				t.Errorf("tree is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func orElse(e Entry, targets ...string) Entry {
	e.Lower = &Lower{Targets: targets, Else: true}
	return e
}

func TestPutHardLinks(t *testing.T) {
	lower := Entry{Path: "z", Type: File, Lower: &Lower{Targets: []string{"below"}}}
	for _, c := range []struct {
		name string
		in   []Entry
		want []string
	}{
		{"the first name in order is the file", []Entry{fileEntry("b", 1), hardEntry("a", "b"), hardEntry("c", "a")},
			[]string{"a file 600 0 size=1", "b file 600 0 size=1 = a", "c file 600 0 size=1 = a"}},
		{"a link keeps its inode", []Entry{fileEntry("a", 1), hardEntry("b", "a"), fileEntry("a", 2), hardEntry("c", "a")},
			[]string{"a file 600 0 size=2", "b file 600 0 size=1", "c file 600 0 size=2 = a"}},
		{"the first name replaced", []Entry{fileEntry("a", 1), hardEntry("b", "a"), dirEntry("a"), hardEntry("c", "b")},
			[]string{"a dir 700 7", "b file 600 0 size=1", "c file 600 0 size=1 = b"}},
		{"a link over its target", []Entry{fileEntry("a", 1), hardEntry("b", "a"), hardEntry("a", "b")},
			[]string{"a file 600 0 size=1", "b file 600 0 size=1 = a"}},
		{"a link to itself", []Entry{fileEntry("a", 1), hardEntry("a", "a")}, []string{"a file 600 0 size=1"}},
		{"below its target", []Entry{fileEntry("a", 1), hardEntry("a/b", "a")},
			[]string{"a/b file 600 0 size=1"}},
		{"over the directory of its target", []Entry{fileEntry("a/b", 1), hardEntry("a", "a/b")},
			[]string{"a file 600 0 size=1"}},
		{"a symbolic link", []Entry{linkEntry("b", "x"), {Path: "a", Type: Link, Link: "x", Hardlink: "b"}},
			[]string{"a link 777 0 -> x", "b link 777 0 -> x = a"}},
		{"to a layer below or else", []Entry{fileEntry("b", 1), orElse(hardEntry("a", "b"), "x", "y"), orElse(fileEntry("c", 2), "z"), hardEntry("d", "a"), hardEntry("e", "c")},
			[]string{"a file 600 0 size=1 lower=x,y or else", "b file 600 0 size=1 = a", "c file 600 0 size=2 lower=z or else", "d file 600 0 size=1 = a", "e file 600 0 size=2 = c"}},
		{"to a layer below or to another layer below", []Entry{lower, orElse(hardEntry("a", "z"), "x")},
			[]string{"a file 0 0 size=0 lower=x,below", "z file 0 0 size=0 lower=below"}},
		{"to a layer below", []Entry{lower, hardEntry("a", "z")},
			[]string{"a file 0 0 size=0 lower=below", "z file 0 0 size=0 = a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := list(t, put(t, c.in...), Layer); !slices.Equal(got, c.want) {
				t.Errorf("tree is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestPutRefuses(t *testing.T) {
	tree := put(t, dirEntry("d"), linkEntry("l", "d"), fileEntry("d/a", 1))
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{hardEntry("x", "none"), "x: hard link to none, which does not exist"},
		{hardEntry("x\n", "l/a"), `x\012: hard link to l/a, which does not exist`},
		{hardEntry("x", "d/a/b"), "does not exist"},
		{hardEntry("x", "d"), "x: hard link to d, which is a directory"},
		{hardEntry("x", "."), "which is a directory"},
		{fileEntry(".", 0), ".: the root must be a directory"},
	} {
		if _, err := tree.Put(&c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.e.Path, err, c.want)
		}
	}
	if n := tree.Lookup("x"); n != nil {
		t.Error("a refused record left a name")
	}
}

// TestPutCopies changes the record after it was put.
func TestPutCopies(t *testing.T) {
	tree := New()
	e := fileEntry("a", 1)
	kept, err := tree.Put(&e)
	if err != nil {
		t.Fatal(err)
	}
	e.Size = 2
	if n := tree.Lookup("a"); n.Entry != kept || n.Entry.Size != 1 || n.Entry.Path != "" {
		t.Errorf("the tree holds %+v", n.Entry)
	}
}

func TestLookup(t *testing.T) {
	tree := put(t, dirEntry("d"), linkEntry("l", "d"), fileEntry("d/a", 1))
	for path, found := range map[string]bool{
		".": true, "d": true, "d/a": true, "l": true,
		"a": false, "d/b": false, "d/a/b": false, "l/a": false,
	} {
		if n := tree.Lookup(path); (n != nil) != found {
			t.Errorf("%s: %v", path, n)
		}
	}
	if n := tree.Lookup("d"); n.Name() != "d" || n.Child("a") == nil || n.Child("b") != nil || len(n.Children()) != 1 {
		t.Errorf("d is %+v", n)
	}
}

// TestLookupReplaced looks for what a replaced directory held.
func TestLookupReplaced(t *testing.T) {
	tree := put(t, fileEntry("d/a", 1), fileEntry("d", 1))
	if tree.Lookup("d/a") != nil {
		t.Error("d/a is still there")
	}
	e := hardEntry("x", "d/a")
	if _, err := tree.Put(&e); err == nil {
		t.Error("d/a can still be linked to")
	}
}

func TestResolveDir(t *testing.T) {
	tree := put(t,
		dirEntry("usr/bin"), linkEntry("bin", "usr/bin"), linkEntry("abs", "/usr"), linkEntry("up", "../../.."),
		linkEntry("usr/up", ".."), linkEntry("usr/side", "../bin"), linkEntry("loop", "loop"), linkEntry("x", "y"),
		linkEntry("y", "x"), linkEntry("dots", ".//usr/./bin/"), linkEntry("gone", "no/such"), linkEntry("root", "/"),
		fileEntry("file", 1))
	chain := "end"
	for i := range maxLinks {
		e := linkEntry(fmt.Sprintf("c%d", i), chain)
		if _, err := tree.Put(&e); err != nil {
			t.Fatal(err)
		}
		chain = e.Path
	}
	for _, c := range []struct{ path, want string }{
		{".", "."},
		{"usr/bin", "usr/bin"},
		{"no/such", "no/such"},
		{"bin", "usr/bin"},
		{"bin/a/b", "usr/bin/a/b"},
		{"abs/bin", "usr/bin"},
		{"up", "."},
		{"up/bin", "usr/bin"},
		{"usr/up/usr/up/bin", "usr/bin"},
		{"usr/side/x", "usr/bin/x"},
		{"dots", "usr/bin"},
		{"gone/a", "no/such/a"},
		{"root", "."},
		{"root/bin", "usr/bin"},
		{"file/a", "file/a"},
		{"nothing/bin", "nothing/bin"},
		{chain, "end"},
	} {
		if got, err := tree.ResolveDir(c.path); err != nil || got != c.want {
			t.Errorf("%s resolves to %s, %v, want %s", c.path, got, err, c.want)
		}
	}
	over := linkEntry("over", chain)
	if _, err := tree.Put(&over); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"loop", "loop/a", "x", "y/a", "over"} {
		if got, err := tree.ResolveDir(path); err == nil || !strings.Contains(err.Error(), "more than 255 symbolic links") {
			t.Errorf("%s resolves to %s, %v", path, got, err)
		}
	}
}

// TestResolveDirGrows has targets that would make the path grow without end.
func TestResolveDirGrows(t *testing.T) {
	tree := put(t, linkEntry("a", strings.Repeat("a/", 2000)+"a"))
	if _, err := tree.ResolveDir("a"); err == nil {
		t.Error("no error")
	}
}

func TestCountLinks(t *testing.T) {
	tree := put(t, dirEntry("d/e"), dirEntry("d/f"), fileEntry("d/a", 1), hardEntry("b", "d/a"), hardEntry("c", "b"), fileEntry("b", 2))
	for range 2 { // counting again changes nothing
		tree.CountLinks()
		for path, want := range map[string]uint32{".": 3, "d": 4, "d/e": 2, "d/a": 2, "c": 2, "b": 1} {
			if n := tree.Lookup(path).Entry.Nlink; n != want {
				t.Errorf("%s has %d links, want %d", path, n, want)
			}
		}
	}
}

// TestSourceOrder is canonical, whatever the order of the records.
func TestSourceOrder(t *testing.T) {
	paths := []string{"a", "a/\x01", "a/z", "a!", "a-b", "aa", "a\xff", "b/c/d", "b/cc", "b.c", "B"}
	want := []string{".", "B", "a", "a/\x01", "a/z", "a!", "a-b", "aa", "a\xff", "b", "b/c", "b/c/d", "b/cc", "b.c"}
	for range 2 {
		tree := New()
		for _, p := range paths {
			e := dirEntry(p)
			if _, err := tree.Put(&e); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, line := range list(t, tree, Flat) {
			got = append(got, strings.TrimSuffix(strings.TrimSuffix(line, " dir 700 7"), " dir 755 0"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("order is %q, want %q", got, want)
		}
		slices.Reverse(paths)
	}
}

// TestSourceAgain reads a tree twice, and changes it between.
func TestSourceAgain(t *testing.T) {
	tree := put(t, fileEntry("b", 1), hardEntry("a", "b"))
	first := list(t, tree, Flat)
	if second := list(t, tree, Flat); !slices.Equal(first, second) {
		t.Errorf("second time it is %q, not %q", second, first)
	}
	e := dirEntry("a")
	if _, err := tree.Put(&e); err != nil {
		t.Fatal(err)
	}
	want := []string{". dir 755 0", "a dir 700 7", "b file 600 0 size=1"}
	if got := list(t, tree, Flat); !slices.Equal(got, want) {
		t.Errorf("then it is %q, not %q", got, want)
	}
}

// TestManyNames has 100,000 names in one directory, half of them replaced.
func TestManyNames(t *testing.T) {
	const n = 100_000
	tree := New()
	for i := range n + n/2 {
		e := fileEntry(fmt.Sprintf("dir/%06d", (i*7919)%n), int64(i))
		if _, err := tree.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	lines := list(t, tree, Flat)
	if len(lines) != n+2 || !slices.IsSorted(lines[2:]) {
		t.Errorf("%d names, sorted: %v", len(lines)-2, slices.IsSorted(lines[2:]))
	}
}

// TestReadCanonical writes a tree as a stream and reads it back.
func TestReadCanonical(t *testing.T) {
	tree := put(t, dirEntry("."), dirEntry("d"), fileEntry("d/b", 0), hardEntry("a", "d/b"), linkEntry("d/l", "../a"))
	var b strings.Builder
	if err := Copy(t.Context(), NewWriter(&b, WriterOptions{}), tree.Source(Flat)); err != nil {
		t.Fatal(err)
	}
	src, err := NewReader(strings.NewReader(b.String()), ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadLayer(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := list(t, back, Flat), list(t, tree, Flat); !slices.Equal(got, want) {
		t.Errorf("read back %q, want %q", got, want)
	}
}

// TestResolveDirLong has links whose targets climb and descend for ever.
func TestResolveDirLong(t *testing.T) {
	tr := New()
	for i := range 100 {
		target := strings.Repeat("../", 1300) + fmt.Sprintf("l%d", i+1)
		if _, err := tr.Put(&Entry{Path: fmt.Sprintf("l%d", i), Type: Link, Link: target}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tr.ResolveDir("l99"); err != nil {
		t.Errorf("one long link: %v", err)
	}
	if got, err := tr.ResolveDir("l0"); err == nil {
		t.Errorf("a hundred long links lead to %s", got)
	}
}
