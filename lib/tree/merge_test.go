package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// layerOf makes a layer of entries written as "PATH TYPE [WORD...]": a target for
// a link, "= PATH" for a hard link, "lower", "opaque", "nochange". The owner is
// the entry's number.
func layerOf(t *testing.T, firstUID uint32, text string) *Tree {
	t.Helper()
	types := map[string]Type{"file": File, "dir": Dir, "link": Link, "white": Char, "fifo": Fifo}
	l := New()
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' }) {
		f := strings.Fields(line)
		e := &Entry{Path: f[0], Type: types[f[1]], Mode: 0o600, UID: firstUID}
		firstUID++
		for i, w := range f[2:] {
			switch w {
			case "=":
				e.Hardlink = f[3+i]
			case "lower":
				e.Hardlink, e.Lower = "", &Lower{Targets: []string{e.Hardlink}}
			case "below":
				e.Lower = &Lower{Targets: strings.Split(f[3+i], ","), Else: true}
			case "opaque":
				e.Xattrs = []Xattr{Opaque}
			case "nochange":
				e.NoChange = true
			case "->":
				e.Link = f[3+i]
			}
		}
		if _, err := l.Put(e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return l
}

// namesOf is tr in words: "a/1" a directory with owner 1, "b2" a file, "c2=b" its
// other name, "d+" an implied directory.
func namesOf(t *testing.T, tr *Tree) string {
	t.Helper()
	var words []string
	for src := tr.Source(Flat); ; {
		e, err := src.Next()
		if err == io.EOF {
			return strings.Join(words, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.NoChange || e.Lower != nil || e.IsWhiteout() || e.IsOpaque() {
			t.Errorf("%s has a mark of a layer", e.Path)
		}
		w := e.Path
		if e.Type == Dir {
			w += "/"
		}
		switch {
		case e.Hardlink != "":
			w += "=" + e.Hardlink
		case e.UID == 0:
			w += "+"
			if e.Mode != 0o755 || e.Time != (Time{}) {
				t.Errorf("%s: implied, mode %04o, time %v", e.Path, e.Mode, e.Time)
			}
		default:
			w += fmt.Sprint(e.UID)
		}
		words = append(words, w)
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct{ name, below, layer, want string }{
		{"nothing", "", "", "./+"},
		{"one layer", "a file; d/b file", "", "./+ a1 d/+ d/b2"},
		{"root", "", ". dir; a file", "./10 a11"},
		{"root keeps", ". dir; a file", "b file", "./1 a2 b10"},
		{"root opaque by a mark", ". dir; a file", ". dir nochange opaque; b file", "./1 b11"},
		{"root opaque", ". dir; a file", ". dir opaque; b file", "./10 b11"},
		{"whiteout", "a file; b file", "a white", "./+ b2"},
		{"whiteout of a tree", "d/e/f file; g file", "d white", "./+ g2"},
		{"whiteout of nothing", "a file", "b white; c/d white", "./+ a1"},
		{"opaque", "d dir; d/a file", "d dir opaque; d/b file", "./+ d/10 d/b11"},
		{"opaque, attributes kept", "d dir; d/a file", "d dir nochange opaque; d/b file", "./+ d/1 d/b11"},
		{"opaque and nested", "d/e/a file; d/f file", "d dir opaque; d/e/b file", "./+ d/10 d/e/+ d/e/b11"},
		{"implied keeps", "d dir; d/a file", "d/b file", "./+ d/1 d/a2 d/b10"},
		{"explicit keeps children", "d dir; d/a file", "d dir", "./+ d/10 d/a2"},
		{"directory over a file", "d file", "d dir; d/a file", "./+ d/10 d/a11"},
		{"implied over a file", "d file", "d/a file", "./+ d/+ d/a10"},
		{"file over a directory", "d/a file", "d file", "./+ d10"},
		{"through a link", "u/b dir; l link -> u/b", "l/f file", "./+ l2 u/+ u/b/1 u/b/f10"},
		{"link replaced", "u/b dir; l link -> u/b", "l dir; l/f file", "./+ l/10 l/f11 u/+ u/b/1"},
		{"whiteout through a link", "u/b file; u/c file; l link -> /u", "l/b white", "./+ l3 u/+ u/c2"},
		{"whiteout through a link spares the layer's own", "u/b file; z link -> u", "u/b file; z/b white", "./+ u/+ u/b10 z2"},
		{"opaque through a link", "u/b file; l link -> u", "l dir nochange opaque; l/c file", "./+ l2 u/+ u/c11"},
		{"lower link", "a file", "b file = a lower", "./+ a1 b=a"},
		{"lower link to what is hidden", "a file", "a white; b file = a lower", "./+ b1"},
		{"lower link to what is replaced", "a file", "a file; b file = a lower", "./+ a10 b1"},
		{"lower links exchange", "a file; b file", "a file = b lower; b file = a lower", "./+ a2 b1"},
		{"two names of one lower link", "a file", "b file = a lower; c file = b", "./+ a1 b=a c=a"},
		{"lower link through a link to what is replaced", "d/a file; l link -> d", "d/a file; b file = l/a lower", "./+ b10 d/+ d/a=b l2"},
		{"lower link through a link to a lower link", "d/a file; l link -> d; x file", "d/a file = x lower; b file = l/a lower", "./+ b3 d/+ d/a=b l2 x=b"},
		{"lower links through links to each other", "d/a file; l link -> d", "d/a file = l/b lower; d/b file = l/a lower", "./+ d/+ d/a1 d/b=d/a l2"},
		{"below or else, below", "a file", "a file; b file = a below a", "./+ a10 b1"},
		{"below or else, else", "x file", "a file; b file = a below a", "./+ a10 b=a x1"},
		{"below or else, first of the inode", "b file", "a file below b; b file = a", "./+ a1 b10"},
		{"below or else, of no other name", "x file", "a file below b", "./+ a10 x1"},
		{"below or else, hidden", "a file", "a white; b file below a", "./+ b1"},
		{"below or else, two targets", "y file", "a file below x,y; b file = a below z; c file = b", "./+ a1 b10 c=b y=a"},
		{"below or else, hard links leave it aside", "y file", "a file below y; b file = a", "./+ a1 b10 y=a"},
		{"below or a lower link", "y file", "a file = y lower; b file = a below x; c file = a", "./+ a1 b=a c=a y=a"},
		{"below or else, a symbolic link", "x file", "a link -> x below y; b link = a below y", "./+ a10 b=a x1"},
		{"below or else, replaced", "b file", "a file below b; a file", "./+ a11 b1"},
		{"lower link below a lower link's name", "a file", "x file = a lower; y/x file = a lower", "./+ a1 x=a y/+ y/x=a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			flat := NewFlat()
			if err := flat.Apply(layerOf(t, 1, c.below)); err != nil {
				t.Fatal(err)
			}
			if err := flat.Apply(layerOf(t, 10, c.layer)); err != nil {
				t.Fatal(err)
			}
			if got := namesOf(t, flat); got != c.want {
				t.Errorf("%s over %s gives\n%s, want\n%s", c.layer, c.below, got, c.want)
			}
		})
	}
}

func TestApplyErrors(t *testing.T) {
	for _, c := range []struct{ below, layer, want string }{
		{"", "d/b file = a lower", "d/b: hard link to a in a layer below: it does not exist"},
		{"", "c file; b file = c below a; d file below b; e file = x lower", "e: hard link to x in a layer below: it does not exist"},
		{"a dir", "c file; b file = c below a", "b: hard link to a in a layer below: it is a directory"},
		{"d link -> d", "b file = d/x lower; d/b file = d/b lower", "b: hard link to d/x in a layer below: d: more than 255 symbolic links on the way"},
		{"a dir", "b file = a lower", "b: hard link to a in a layer below: it is a directory"},
		{"a link -> a", "a/b file", "a/b: a: more than 255 symbolic links on the way"},
		{"e/p file; l link -> /e/p", "l/a white; l/b/c file", "l/b: symbolic link l leads to e/p, which is not a directory"},
		{"p file; l link -> m; m link -> p/q", "l/x dir", "l/x: symbolic link l leads to p, which is not a directory"},
		{"p file; l link -> p", "b file = l/p lower", "b: hard link to l/p in a layer below: symbolic link l leads to p, which is not a directory"},
		{"a link -> a", "b file = a/x lower", "b: hard link to a/x in a layer below: a: more than 255 symbolic links on the way"},
	} {
		flat := NewFlat()
		if err := flat.Apply(layerOf(t, 1, c.below)); err != nil {
			t.Fatal(err)
		}
		if err := flat.Apply(layerOf(t, 10, c.layer)); err == nil || err.Error() != c.want {
			t.Errorf("%s over %s: %v, want %s", c.layer, c.below, err, c.want)
		}
	}
}

// entries is a source of entries and, behind them, an error.
type entries struct {
	list []Entry
	err  error
}

func (s *entries) Next() (*Entry, error) {
	if len(s.list) == 0 {
		return nil, s.err
	}
	e := s.list[0]
	s.list = s.list[1:]
	return &e, nil
}

func (s *entries) Close() error { return nil }

type text string

func (c text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(c))
	return int64(n), err
}

func TestReadLayer(t *testing.T) {
	file := Entry{Path: "a", Type: File, Size: 2, Content: text("hi")}
	link := Entry{Path: "b", Type: File, Size: 2, Hardlink: "a"}
	kept := 0
	keep := func(e *Entry) (Content, error) {
		kept++
		return text("kept"), nil
	}
	l, err := ReadLayer(&entries{[]Entry{file, link}, io.EOF}, keep)
	if err != nil || kept != 1 {
		t.Fatalf("%v, %d contents kept", err, kept)
	}
	var b bytes.Buffer
	if _, err := l.Lookup("b").Entry.Content.WriteTo(&b); err != nil || b.String() != "kept" {
		t.Errorf("%q, %v", b.String(), err)
	}
	cause := errors.New("cut")
	if _, err := ReadLayer(&entries{[]Entry{file}, cause}, nil); err != cause {
		t.Error(err)
	}
	if _, err := ReadLayer(&entries{[]Entry{link}, io.EOF}, nil); err == nil || !strings.Contains(err.Error(), "b: hard link to a, which does not exist") {
		t.Error(err)
	}
	_, err = ReadLayer(&entries{[]Entry{file}, io.EOF}, func(*Entry) (Content, error) { return nil, cause })
	if !errors.Is(err, cause) || err.Error() != "a: cut" {
		t.Error(err)
	}
}
