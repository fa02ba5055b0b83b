package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

func TestLayerOrElse(t *testing.T) {
	for _, bs := range []int{512, 4096} {
		var warnings []string
		opts := Options{Layer: true, Check: true, BlockSize: bs, Warn: func(s string) { warnings = append(warnings, s) }}
		img := open(t, build(t, opts, orElseLayer()...))
		if d := firstDifference(canonical(t, tree.Layer, orElseLayer()...), stream(t, img.Source())); d != "" {
			t.Error(d)
		}
		for path, e := range list(t, img.Source()) {
			have, err := img.Lookup(path)
			if err != nil || fmt.Sprint(have.Lower) != fmt.Sprint(e.Lower) || have.Type != e.Type || have.Size != e.Size || have.Mode != e.Mode {
				t.Errorf("%s: %+v, %v, not %+v", path, have, err, e)
			}
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "express 15 entries") {
			t.Errorf("warnings %q", warnings)
		}
	}
}

// Without a check the tree is used up, but the image is the same.
func TestOrElseUnchecked(t *testing.T) {
	device := func(path, hardlink string) tree.Entry {
		return with(device(path, tree.Char, 5, 1), func(e *tree.Entry) { e.Hardlink = hardlink })
	}
	es := append(orElseLayer(), device("dev/u", ""), orElse(device("dev/v", "dev/u"), "v"))
	var images [2]image
	for i, check := range []bool{true, false} {
		if err := writeTo(&images[i], Options{Layer: true, Check: check}, es); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0].B, images[1].B) {
		t.Error("another image")
	}
}

// Nothing lies below a flat image.
func TestFlatOrElse(t *testing.T) {
	flat := func(e tree.Entry) bool { return e.IsLower() || e.IsWhiteout() }
	es := slices.DeleteFunc(orElseLayer(), flat)
	img := open(t, build(t, Options{Check: true}, es...))
	plain := withAll(slices.Clone(es), func(e *tree.Entry) { e.Lower = nil })
	if d := firstDifference(canonical(t, tree.Flat, plain...), stream(t, img.Source())); d != "" {
		t.Error(d)
	}
}

// randomLayer has few names, so that these meet.
func randomLayer(rnd *rand.Rand) []tree.Entry {
	l := tree.New()
	name := func() string { return string("abcdef"[rnd.IntN(6)]) }
	var es []tree.Entry
	for range rnd.IntN(10) {
		e := file(name(), pattern(byte(rnd.IntN(250)), 1+rnd.IntN(9000)))
		switch rnd.IntN(8) {
		case 0:
			e = device(name(), tree.Char, 0, 0)
		case 1:
			e = lowerLink(name(), name())
		case 2, 3, 4:
			e = orElse(e, name(), name())
			fallthrough
		case 5:
			if target := name(); rnd.IntN(3) > 0 && l.Lookup(target) != nil {
				inode := l.Lookup(target).Entry.Inode()
				if inode.IsWhiteout() || inode.Lower != nil {
					continue
				}
				e.Hardlink, e.Content = target, nil
				e.Size = inode.Size
			}
		case 6:
			e.Path += "/" + name()
		}
		if _, err := l.Put(&e); err != nil {
			continue
		}
		es = append(es, e)
	}
	return es
}

// Layer images say all that their streams say: merged, they are the same tree, or
// fail for the same reason.
func TestMergeOrElseRandom(t *testing.T) {
	reftest.OneThread(t)
	good := 0
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		lists := [][]tree.Entry{randomLayer(rnd), randomLayer(rnd), randomLayer(rnd)}
		want, wantErr := tree.NewFlat(), error(nil)
		for _, es := range lists {
			l := tree.New()
			for i := range es {
				if _, err := l.Put(&es[i]); err != nil {
					t.Fatal(err)
				}
			}
			if wantErr == nil {
				wantErr = want.Apply(l)
			}
		}
		have, err := merge.Layers(t.Context(), layersOf(t, Options{}, lists...), merge.Options{Addressable: true})
		if wantErr != nil || err != nil {
			if wantErr == nil || err == nil || !strings.HasSuffix(err.Error(), wantErr.Error()) {
				t.Errorf("seed %d: %v, want %v", seed, err, wantErr)
			}
			continue
		}
		good++
		if d := firstDifference(stream(t, want.Source(tree.Flat)), stream(t, have.Source(tree.Flat))); d != "" {
			t.Errorf("seed %d: %s\n%v", seed, d, lists)
		}
	}
	if good < 75 {
		t.Errorf("only %d stacks are valid", good)
	}
}

// A hostile image has marks that lead nowhere, to themselves, to each other, and
// to a directory.
func TestOrElseMarksRefused(t *testing.T) {
	img := func(es ...tree.Entry) []byte { return build(t, Options{Layer: true}, es...) }
	pointer := func(path string) tree.Entry { return orElse(hardlink("p", path), "x") }
	for name, c := range map[string]struct {
		b        []byte
		from, to string
	}{
		"nowhere":       {img(file("other", nil), pointer("other")), "elseother", "elseothex"},
		"itself":        {img(file("other", nil), pointer("other")), "elseother", "elsep\x00\x00\x00\x00"},
		"a directory":   {img(file("d/f", nil), pointer("d/f")), "elsed/f", "elsed\x00\x00"},
		"out of root":   {img(file("d/.x", nil), pointer("d/.x")), "elsed/.x", "elsed/.."},
		"another":       {img(file("qq", nil), orElse(hardlink("q", "qq"), "x"), pointer("qq")), "elseqq", "elseq\x00"},
		"no target":     {img(file("other", nil), pointer("other")), "linkx", "link\x00"},
		"not an orphan": {img(orElse(file("p", pattern(1, 5)), "x"), file("q", nil)), "linkx", "link."},
	} {
		t.Run(name, func(t *testing.T) {
			i := strings.Index(string(c.b), "ocipipe."+c.from)
			if i < 0 {
				t.Fatal("not in the image")
			}
			b := slices.Clone(c.b)
			copy(b[i+len("ocipipe."):], c.to)
			sign(b)
			i2, err := read.Open(strings.NewReader(string(b)), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			for src := i2.Source(); ; {
				var e *tree.Entry
				if e, err = src.Next(); err != nil {
					break
				}
				if e.Lower != nil && e.Lower.Else && e.Path == "p" {
					t.Errorf("taken for %+v", e)
				}
			}
			if err != io.EOF && !errors.Is(err, read.ErrCorrupt) {
				t.Error(err)
			}
			_, err = i2.Lookup("p")
			if err != nil && !errors.Is(err, read.ErrCorrupt) {
				t.Error(err)
			}
		})
	}
}

// Many names may have one other inode, and a long way to it.
func TestOrElseInNumbers(t *testing.T) {
	deep := strings.Repeat("d/", 1000) + "f"
	es := []tree.Entry{file(deep, pattern(1, 100))}
	for i := range 3000 {
		es = append(es, orElse(hardlink(fmt.Sprintf("p%d", i), deep), "x"))
	}
	img := open(t, build(t, Options{Layer: true, Check: true}, es...))
	if n := len(list(t, img.Source())); n < 3001 {
		t.Errorf("%d entries", n)
	}
}
