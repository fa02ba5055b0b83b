package erofs

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// layer has every mark of a layer. Some of its directories are only implied.
func layer() []tree.Entry {
	return []tree.Entry{
		dir("kept"),
		device("kept/gone", tree.Char, 0, 0),
		file("kept/new", pattern(1, 5000)),
		xattrs(dir("opaque"), tree.Opaque.Name, "y", "user.a", "b"),
		file("opaque/only", pattern(2, 10)),
		file("implied/a/file", pattern(3, 3)),
		device("implied2/gone", tree.Char, 0, 0),
		xattrs(with(dir("noattrs"), func(e *tree.Entry) { e.NoChange = true }), tree.Opaque.Name, "y"),
		file("noattrs/x", nil),
		with(hardlink("lower", "usr/bin/below"), func(e *tree.Entry) { e.Lower = true }),
		hardlink("lower2", "lower"),
		hardlink("kept/link", "kept/new"),
		xattrs(dir("origin"), markOrigin.Name, ""),
		xattrs(dir("origin2"), markOrigin.Name, ""),
		device("origin2/gone", tree.Char, 0, 0),
		xattrs(dir("origin3"), markOrigin.Name, "not empty"),
	}
}

func TestLayerMarks(t *testing.T) {
	var warnings []string
	b := build(t, Options{Layer: true, Warn: func(s string) { warnings = append(warnings, s) }}, layer()...)
	img := open(t, b)
	want := canonical(t, tree.Layer, with2(layer(), func(e *tree.Entry) {
		if e.Path == "origin2" { // what stood for its whiteout anyway
			e.Xattrs = nil
		}
	})...)
	if d := firstDifference(want, stream(t, img.Source())); d != "" {
		t.Error(d)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "5 entries") {
		t.Errorf("warnings %q", warnings) // implied, implied/a, implied2, noattrs, lower
	}
	for _, c := range []struct{ path, name, value string }{
		{"kept", markOrigin.Name, ""},
		{"implied", markImplied.Name, "y"},
		{"noattrs", markImplied.Name, "y"},
		{"lower", markLink, "usr/bin/below"},
		{".", markImplied.Name, "y"},
	} {
		if v, ok := rawXattrs(t, img, c.path)[c.name]; !ok || v != c.value {
			t.Errorf("%s: xattr %s is %q (%v)", c.path, c.name, v, ok)
		}
	}
	if e, err := img.Lookup("lower"); err != nil || e.Hardlink != "usr/bin/below" || !e.Lower || len(e.Xattrs) > 0 {
		t.Errorf("lower: %+v, %v", e, err)
	}
	if e, err := img.Lookup("implied/a"); err != nil || !e.NoChange || len(e.Xattrs) > 0 {
		t.Errorf("implied/a: %+v, %v", e, err)
	}
}

func with2(es []tree.Entry, change func(*tree.Entry)) []tree.Entry {
	for i := range es {
		change(&es[i])
	}
	return es
}

// rawXattrs are the xattrs at path as they are stored.
func rawXattrs(t *testing.T, img *Image, path string) map[string]string {
	t.Helper()
	ino, err := img.readInode(uint64(img.super.RootNid))
	for _, name := range strings.Split(path, "/") {
		if name == "." || err != nil {
			break
		}
		var d named
		if d, err = img.lookup(ino, name); err == nil {
			ino, err = img.readInode(d.nid)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	xs, err := (&xattrReader{img: img, budget: 1 << 20}).read(ino)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, x := range xs {
		m[x.Name] = x.Value
	}
	return m
}

// No regular file of a layer image is inline, so that all data has block addresses.
func TestLayerHasWholeBlocks(t *testing.T) {
	img := open(t, build(t, Options{Layer: true}, corpus()...))
	for path, e := range list(t, img) {
		if c, ok := e.Content.(*content); ok {
			for _, r := range c.runs {
				if r.pos%img.bs != 0 {
					t.Errorf("%s has data at byte %d", path, r.pos)
				}
			}
		}
	}
}

func TestKernelLayer(t *testing.T) {
	at := reftest.Mount(t, "erofs", write(t, Options{Layer: true}, corpus()...).Name(), "")
	want := with2(corpus(), func(e *tree.Entry) {})
	for _, path := range []string{"deep/a", "deep/a/b", "deep/a/b/c"} {
		want = append(want, xattrs(with(dir(path), func(e *tree.Entry) { e.Time = tree.Time{} }), markImplied.Name, "y"))
	}
	if err := compareMount(at, sourceOf(t, want)); err != nil {
		t.Error(err)
	}
}

// Overlayfs shows two layers as one tree, also where a directory with a whiteout
// is in the upper layer only.
func TestKernelOverlay(t *testing.T) {
	lower := []tree.Entry{
		dir("."), dir("d"), file("d/gone", pattern(1, 10)), file("d/stays", pattern(2, 5000)), dir("o"), file("o/hidden", nil),
	}
	upper := []tree.Entry{
		dir("."), dir("d"), device("d/gone", tree.Char, 0, 0), xattrs(dir("o"), tree.Opaque.Name, "y"), file("o/new", pattern(3, 10)),
		dir("only"), device("only/gone", tree.Char, 0, 0), file("only/file", pattern(4, 4096)),
	}
	var dirs []string
	for _, es := range [][]tree.Entry{lower, upper} {
		dirs = append(dirs, reftest.Mount(t, "erofs", write(t, Options{Layer: true}, es...).Name(), ""))
	}
	at := reftest.Overlay(t, dirs...)
	for path, want := range map[string][]string{
		".": {"d", "o", "only"}, "d": {"stays"}, "o": {"new"}, "only": {"file"},
	} {
		names, err := os.ReadDir(at + "/" + path)
		var have []string
		for _, n := range names {
			have = append(have, n.Name())
		}
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%s has %q (%v), expected %q", path, have, err, want)
		}
	}
	if b, err := os.ReadFile(at + "/only/file"); err != nil || string(b) != string(pattern(4, 4096)) {
		t.Errorf("only/file: %d bytes, %v", len(b), err)
	}
}
