package erofs

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// flipping is an output that gives one byte back changed.
type flipping struct {
	image
	at int64
}

func (f *flipping) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.image.ReadAt(p, off)
	if i := f.at - off; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	return n, err
}

func TestCheckFindsAFlippedByte(t *testing.T) {
	fill := xattrs(dir("."), "user.fill", strings.Repeat("f", 200)) // so that nothing else is in the head
	es := []tree.Entry{fill, file("sub/large", pattern(1, 100256)), file("tail", pattern(2, 100)), xattrs(symlink("l", "target"), "trusted.a", "value")}
	opts := Options{BlockSize: 512}
	b := build(t, opts, es...)
	for _, c := range []struct {
		name, err string
		at        int
	}{
		{"content", "sub/large: content", bytes.Index(b, pattern(1, 100)) + 50000},
		{"inline end of it", "sub/large: content", bytes.Index(b, pattern(1, 100256)[100200:]) + 50},
		{"inline file", "tail: content", bytes.Index(b, pattern(2, 100)) + 7},
		{"link target", "l: link target", bytes.Index(b, []byte("target"))},
		{"xattr value", "l: xattrs", bytes.Index(b, []byte("value"))},
		{"name, in the first block", "checksum", bytes.Index(b, []byte("subtail")) + 3},
	} {
		opts.Check = true
		err := writeTo(&flipping{at: int64(c.at)}, opts, es)
		if err == nil || !strings.HasPrefix(err.Error(), "check: ") || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.err)
		}
	}
}

// A tree that is not the image's is told from it, whichever has more.
func TestVerifyPaths(t *testing.T) {
	for _, c := range []struct {
		add  string
		drop bool
		err  string
	}{
		{"a", false, "a: not in the image"}, {"z", false, "z: not in the image"},
		{"m", true, "m: in the image, but was not added"},
	} {
		m := &image{}
		w, err := NewWriter(t.Context(), m, Options{Check: true})
		if err != nil {
			t.Fatal(err)
		}
		e := file("m", nil)
		if err := errors.Join(w.Add(&e), w.Close()); err != nil {
			t.Fatal(err)
		}
		more := file(c.add, nil)
		if c.drop {
			w.tree = tree.New()
			root := dir(".")
			root.Time, root.Mode = tree.Time{}, 0o755
			w.tree.Put(&root)
		} else if _, err := w.tree.Put(&more); err != nil {
			t.Fatal(err)
		}
		if err := w.verify(&plan{end: int64(len(m.B))}); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.add, err)
		}
	}
}
