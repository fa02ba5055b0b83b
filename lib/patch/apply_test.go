package patch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/tree"
)

// kinds are a tree with one of each that a path can lead to.
func kinds() []tree.Entry {
	return []tree.Entry{
		dir("."), dir("k"), file("k/file", "f"), dir("k/dir"), file("k/dir/x", "x"), device("k/dev"),
		symlink("k/tofile", "file"), symlink("k/todir", "dir"), symlink("k/outside", "../../../../etc/conf"),
		symlink("k/dangling", "nowhere"), symlink("k/loop", "loop"),
		dir("k/opaque"), file("imp/file", "i"), dir("etc"), file("etc/conf", "c"),
	}
}

// stacked are the same in three layers, with what whiteouts and an opaque directory hide.
func stacked() [][]tree.Entry {
	return [][]tree.Entry{
		{dir("."), with(dir("k"), func(e *tree.Entry) { e.Mode = 0o700 }), file("k/whited", "w"), file("k/file", "old"), device("k/dir"),
			dir("k/opaque"), file("k/opaque/hidden", "h"), dir("k/tofile"), file("etc/conf", "c"), file("imp/file", "i")},
		{dir("."), whited("k/whited"), whited("k/tofile"), dir("k/dir"), file("k/dir/gone", ""), device("k/dev"), symlink("k/tofile", "file"),
			with(dir("k/opaque"), func(e *tree.Entry) { e.Xattrs = []tree.Xattr{tree.Opaque} }), dir("etc")},
		{dir("."), dir("k"), file("k/file", "f"), file("k/dir/x", "x"), whited("k/dir/gone"), symlink("k/todir", "dir"),
			symlink("k/outside", "../../../../etc/conf"), symlink("k/dangling", "nowhere"), symlink("k/loop", "loop")},
	}
}

var targets = []string{"k/absent", "k/file", "k/dir", "k/tofile", "k/todir", "k/outside", "k/dangling", "k/loop", "k/dev",
	"k/whited", "k/opaque/hidden", "imp/new", "k/todir/new", "k/dangling/new", "k/loop/new", "k/file/new"}

// operations are one of each kind, and with replace.
func operations(src string) []struct {
	name string
	make func(path string) Op
} {
	from := func(name string) Source { return Source{Dir: src, Path: name} }
	return []struct {
		name string
		make func(path string) Op
	}{
		{"text", func(p string) Op { return Text{Path: p, Content: "new"} }},
		{"text!", func(p string) Op { return Text{Path: p, Content: "new", Replace: true} }},
		{"file", func(p string) Op { return File{Path: p, Content: []byte("new")} }},
		{"file!", func(p string) Op { return File{Path: p, Content: []byte("new"), Replace: true} }},
		{"copy_file", func(p string) Op { return CopyFile{Src: from("file"), Dst: p} }},
		{"copy_file!", func(p string) Op { return CopyFile{Src: from("file"), Dst: p, Replace: true} }},
		{"copy_dir", func(p string) Op { return CopyDir{Src: from("dir"), Dst: p} }},
		{"copy_dir!", func(p string) Op { return CopyDir{Src: from("dir"), Dst: p, Replace: true} }},
		{"symlink", func(p string) Op { return Symlink{Target: "t", Link: p} }},
		{"symlink!", func(p string) Op { return Symlink{Target: "t", Link: p, Replace: true} }},
		{"mkdir", func(p string) Op { return Mkdir{Path: p} }},
		{"mkdir 0700", func(p string) Op { return Mkdir{Path: p, Attr: Attr{Mode: ptr(uint16(0o700))}} }},
		{"remove", func(p string) Op { return Remove{Path: p} }},
		{"append", func(p string) Op { return Append{Path: p, Content: "+"} }},
		{"chmod", func(p string) Op { return Chmod{Path: p, Mode: 0o640} }},
		{"chown", func(p string) Op { return Chown{Path: p, Attr: Attr{Owner: Owner{UID: ptr(uint32(7))}}} }},
		{"link from", func(p string) Op { return Link{Target: p, Link: "/z"} }},
		{"link to", func(p string) Op { return Link{Target: "/etc/conf", Link: p} }},
		{"link to!", func(p string) Op { return Link{Target: "/etc/conf", Link: p, Replace: true} }},
		{"xattr", func(p string) Op { return Xattr{Path: p, Name: "trusted.a", Value: "1"} }},
		{"rename from", func(p string) Op { return Rename{Src: p, Dst: "/z"} }},
		{"rename to", func(p string) Op { return Rename{Src: "/etc", Dst: p} }},
		{"rename to!", func(p string) Op { return Rename{Src: "/etc", Dst: p, Replace: true} }},
		{"touch", func(p string) Op { return Touch{Path: p} }},
	}
}

// outcome is what op does: an error, or the names in the difference.
func outcome(t *testing.T, lower *tree.Tree, op Op) string {
	t.Helper()
	r, err := Apply(context.Background(), lower, []Op{op}, Options{})
	if err != nil {
		return "! " + strings.TrimPrefix(err.Error(), fmt.Sprintf("patch 1 (%s %s): ", op.name(), op.path()))
	}
	var names []string
	for p, e := range read(t, r.Source(tree.Layer)) {
		kind := e.Type.String()
		switch {
		case e.IsWhiteout():
			kind = "gone"
		case e.IsOpaque():
			kind = "opaque"
		case e.Hardlink != "":
			kind = "as " + e.Hardlink
		case e.Type == tree.File:
			kind = fmt.Sprintf("file %04o %d", e.Mode, e.Size)
		case e.Type == tree.Link:
			kind = "link " + e.Link
		}
		if e.UID != 0 {
			kind += fmt.Sprint(" of ", e.UID)
		}
		if e.Type == tree.Dir && e.Mode != 0o755 {
			kind += fmt.Sprintf(" %04o", e.Mode)
		}
		if p != "." && p != "k" {
			names = append(names, p+" "+kind)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// TestTargets applies each operation to each kind of target, in one layer and in three.
func TestTargets(t *testing.T) {
	src := t.TempDir()
	for name, content := range map[string]string{"file": "copied", "dir/x": "from host", "dir/sub/y": "y"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/targets.txt")
	if err != nil {
		t.Fatal(err)
	}
	var have strings.Builder
	for _, op := range operations(src) {
		fmt.Fprintf(&have, "%s\n", op.name)
		for _, target := range targets {
			o := op.make("/" + target)
			one := outcome(t, merged(t, kinds()), o)
			three := outcome(t, merged(t, stacked()...), o)
			if one != three {
				t.Errorf("%s %s: in one layer %s, in three %s", op.name, target, one, three)
			}
			fmt.Fprintf(&have, "  %-16s %s\n", target, one)
		}
	}
	if have.String() != string(want) {
		t.Errorf("testdata/targets.txt should be, if that is right:\n%s", have.String())
	}
}

// The mount points of a machine are made where there is nothing, and nothing else changes.
func TestSkeleton(t *testing.T) {
	lower := []tree.Entry{dir("."), with(dir("tmp"), func(e *tree.Entry) { e.Mode, e.UID = 0o700, 5 }), symlink("run", "nowhere"), file("sys", "a file"), dir("dev"), dir("dev/pts")}
	want := ". type=dir mode=0755 uid=0 gid=0 time=11.000000000\n./proc type=dir mode=0555 uid=0 gid=0 time=5.000000000\n"
	if have := stream(t, apply(t, merged(t, lower), Options{Epoch: ptr(int64(5))}, Skeleton()...).Source(tree.Layer)); have != want {
		t.Errorf("%s", have)
	}
	found := read(t, apply(t, merged(t), Options{}, Skeleton()...).Source(tree.Layer))
	for path, mode := range map[string]uint16{"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777} {
		if e := found[path]; e.Type != tree.Dir || e.Mode != mode {
			t.Errorf("%s: %+v", path, e)
		}
	}
	r := apply(t, merged(t, lower), Options{}, MountPoint{Path: "/a/b"}, MountPoint{Path: "/a"})
	if found := read(t, r.Source(tree.Layer)); found["a/b"].Mode != 0o755 || len(found) != 3 {
		t.Errorf("%+v", found)
	}
	if _, err := Apply(context.Background(), merged(t, lower), []Op{MountPoint{Path: "/sys/x"}}, Options{}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("error %v", err)
	}
}

// Directories that are only implied may share an entry, but not what is done to one.
func TestSharedEntries(t *testing.T) {
	lower := tree.NewNames()
	for _, path := range []string{"a/x/f", "a/y/f"} {
		e := file(path, "")
		if _, err := lower.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	found := read(t, apply(t, lower, Options{}, Rename{Src: "/a", Dst: "/b"}, Chmod{Path: "/b/x", Mode: 0o700}).Source(tree.Layer))
	if found["b/x"].Mode != 0o700 || found["b/y"].Mode != 0o755 || found["b"].Mode != 0o755 {
		t.Errorf("%+v", found)
	}
}

// No path of the result is longer than a stream can carry, whichever way it came about.
func TestLongPaths(t *testing.T) {
	long := strings.Repeat("/"+strings.Repeat("n", 255), 15)[1:] // 3839 bytes
	lower := []tree.Entry{dir("."), dir(long), symlink("l", long), dir("d"), dir("d/" + strings.Repeat("e", 250)), file("d/"+strings.Repeat("e", 250)+"/f", "")}
	for _, c := range []struct {
		op Op
		ok bool
	}{
		{Text{Path: "/l/" + strings.Repeat("x", 255)}, true}, // 4095
		{Text{Path: "/l/x/" + strings.Repeat("x", 254)}, false},
		{Mkdir{Path: "/l/xx/" + strings.Repeat("x", 252)}, true},
		{Link{Target: "/d/" + strings.Repeat("e", 250) + "/f", Link: "/l/y/" + strings.Repeat("x", 254)}, false},
		{Rename{Src: "/d", Dst: "/l/d"}, true}, // 3839 + 2 + 251 + 2
		{Rename{Src: "/d", Dst: "/l/ddd"}, false},
		{Rename{Src: "/d", Dst: "/l/dd"}, true},
	} {
		r, err := Apply(context.Background(), merged(t, lower), []Op{c.op}, Options{})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("%.40v: error %.300v", c.op, err)
		}
		if err == nil {
			stream(t, r.Source(tree.Flat))
		}
	}
}
