package erofs

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

func TestLayerMarks(t *testing.T) {
	var warnings []string
	b := build(t, Options{Layer: true, Warn: func(s string) { warnings = append(warnings, s) }}, layer()...)
	img := open(t, b)
	want := canonical(t, tree.Layer, withAll(layer(), func(e *tree.Entry) {
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
		{"kept", disk.MarkOrigin.Name, ""},
		{"implied", disk.MarkImplied.Name, "y"},
		{"noattrs", disk.MarkImplied.Name, "y"},
		{"lower", disk.MarkLink, "usr/bin/below"},
		{"lower", "trusted.overlay.metacopy", ""},
		{"lower", "trusted.overlay.redirect", "/.ocipipe-link"},
		{".", disk.MarkImplied.Name, "y"},
	} {
		if v, ok := rawXattrs(t, b, c.path)[c.name]; !ok || v != c.value {
			t.Errorf("%s: xattr %s is %q (%v)", c.path, c.name, v, ok)
		}
	}
	if e, err := img.Lookup("lower"); err != nil || !e.IsLower() || e.Lower.Targets[0] != "usr/bin/below" || len(e.Xattrs) > 0 {
		t.Errorf("lower: %+v, %v", e, err)
	}
	if e, err := img.Lookup("implied/a"); err != nil || !e.NoChange || len(e.Xattrs) > 0 {
		t.Errorf("implied/a: %+v, %v", e, err)
	}
}

// No regular file of a layer image is inline, so that all data has block addresses.
func TestLayerHasWholeBlocks(t *testing.T) {
	img := open(t, build(t, Options{Layer: true}, corpus()...))
	for path, e := range list(t, img.Source()) {
		if c, ok := e.Content.(*read.Content); ok {
			for _, r := range c.Runs() {
				if r.Pos%int64(img.BlockSize()) != 0 {
					t.Errorf("%s has data at byte %d", path, r.Pos)
				}
			}
		}
	}
}

func TestKernelLayer(t *testing.T) {
	at := reftest.Mount(t, "erofs", write(t, Options{Layer: true}, corpus()...).Name(), "")
	want := withAll(corpus(), func(e *tree.Entry) {})
	for _, path := range []string{"deep/a", "deep/a/b", "deep/a/b/c"} {
		want = append(want, xattrs(with(dir(path), func(e *tree.Entry) { e.Time = tree.Time{} }), disk.MarkImplied.Name, "y"))
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

// Where overlayfs stacks the images, it refuses a hard link to a layer below: to
// the kernel there is no such file, and an empty one would be a lie.
func TestKernelOverlayRefusesLinks(t *testing.T) {
	lower := []tree.Entry{dir("."), file("below", pattern(1, 5000)), dir("d"), file("d/stays", pattern(2, 10)), file("old", pattern(3, 10))}
	upper := []tree.Entry{
		dir("."), dir("d"), lowerLink("d/link", "below"), hardlink("d/name", "d/link"), lowerLink("old", "below"), file("new", pattern(4, 10)),
	}
	var dirs []string
	for _, es := range [][]tree.Entry{lower, upper} {
		dirs = append(dirs, reftest.Mount(t, "erofs", write(t, Options{Layer: true}, es...).Name(), ""))
	}
	for _, options := range []string{"metacopy=off", "metacopy=on"} {
		at := reftest.OverlayWith(t, options, dirs...)
		for _, link := range []string{"d/link", "d/name", "old"} {
			if fi, err := os.Lstat(at + "/" + link); err == nil {
				t.Errorf("%s: %s is a file of %d bytes", options, link, fi.Size())
			}
			if b, err := os.ReadFile(at + "/" + link); !errors.Is(err, map[string]error{"metacopy=off": syscall.EPERM, "metacopy=on": syscall.EIO}[options]) {
				t.Errorf("%s: %s reads as %d bytes, %v", options, link, len(b), err)
			}
		}
		for path, want := range map[string][]byte{"below": pattern(1, 5000), "d/stays": pattern(2, 10), "new": pattern(4, 10)} {
			if b, err := os.ReadFile(at + "/" + path); err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s: %s: %d bytes, %v", options, path, len(b), err)
			}
		}
		var names []string
		err := filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
			names = append(names, strings.TrimPrefix(path, at))
			return err
		})
		if err != nil || strings.Join(names, " ") != " /below /d /d/link /d/name /d/stays /new /old" {
			t.Errorf("%s: %q, %v", options, names, err)
		}
	}
}

// What steers overlayfs in the record of such a link is not in the image beside
// the marks, and the marks do not come back.
func TestLayerLinkMarks(t *testing.T) {
	var warnings []string
	link := xattrs(lowerLink("a", "b"), "trusted.overlay.redirect", "/etc/shadow", "user.a", "b")
	b := build(t, Options{Layer: true, Warn: func(s string) { warnings = append(warnings, s) }}, dir("."), link)
	want := map[string]string{disk.MarkLink: "b", "trusted.overlay.metacopy": "", "trusted.overlay.redirect": "/.ocipipe-link", "user.a": "b"}
	if have := rawXattrs(t, b, "a"); !maps.Equal(have, want) {
		t.Errorf("stored: %q", have)
	}
	if e, err := open(t, b).Lookup("a"); err != nil || !slices.Equal(e.Xattrs, []tree.Xattr{{Name: "user.a", Value: "b"}}) {
		t.Errorf("read: %+v, %v", e, err)
	}
	if !slices.ContainsFunc(warnings, func(w string) bool { return w == "a: xattr trusted.overlay.redirect: left out" }) {
		t.Errorf("warnings %q", warnings)
	}
}
