package patch

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// gen makes random trees and operations on few names.
type gen struct{ *rand.Rand }

func (g gen) path() string {
	names := make([]string, 1+g.IntN(3))
	for i := range names {
		names[i] = string("abcdl"[g.IntN(5)])
	}
	return strings.Join(names, "/")
}

func (g gen) target() string {
	return []string{"a", "b", "../a", "/d", "/d/a", "l", "/nowhere", "../../c", "/", "a/", ".", "b/../d"}[g.IntN(12)]
}

func (g gen) mode() uint16 { return uint16(g.IntN(0o10000)) }

func (g gen) attr() (a Attr) {
	a.Owner = g.owner()
	if g.IntN(5) == 0 {
		a.Mode = ptr(g.mode())
	}
	return a
}

func (g gen) owner() (o Owner) {
	if g.IntN(6) == 0 {
		o.UID = ptr(g.Uint32N(9))
	}
	if g.IntN(6) == 0 {
		o.GID = ptr(g.Uint32N(9))
	}
	return o
}

func (g gen) lower() (list []tree.Entry) {
	have := map[string]tree.Entry{".": dir(".")}
	list = append(list, with(dir("."), func(e *tree.Entry) { e.Mode, e.UID = 0o751, 5 }))
	for range 3 + g.IntN(15) {
		p := g.path()
		parent := path.Dir(p)
		if e, ok := have[parent]; ok && e.Type != tree.Dir || have[p].Path != "" {
			continue
		}
		if _, ok := have[parent]; !ok { // implied, and so are those above
			clash := false
			for d := parent; d != "."; d = path.Dir(d) {
				if e, ok := have[d]; ok && e.Type != tree.Dir {
					clash = true
				}
			}
			if clash {
				continue
			}
			for d := parent; d != "."; d = path.Dir(d) {
				if _, ok := have[d]; !ok {
					have[d] = implied(d)
				}
			}
		}
		e := g.entry(p, list)
		have[p] = e
		list = append(list, e)
	}
	return list
}

func (g gen) entry(p string, list []tree.Entry) (e tree.Entry) {
	switch g.IntN(7) {
	case 0, 1:
		e = with(dir(p), func(e *tree.Entry) { e.Mode = g.mode() })
	case 2:
		e = symlink(p, g.target())
	case 3:
		e = device(p)
	case 4:
		if of := list[g.IntN(len(list))]; of.Type != tree.Dir {
			if of.Hardlink != "" {
				of.Path = of.Hardlink
			}
			return hardlink(p, of)
		}
		fallthrough
	default:
		e = with(file(p, strings.Repeat(p, g.IntN(3))), func(e *tree.Entry) { e.Mode = g.mode() })
		if g.IntN(3) == 0 {
			e.Xattrs = []tree.Xattr{{Name: "security.capability", Value: "cap"}, {Name: "user.a", Value: "1"}}
		}
	}
	e.UID = g.Uint32N(5)
	return e
}

func (g gen) op() Op {
	p, replace := "/"+g.path(), g.IntN(2) == 0
	q := "/" + g.path()
	switch g.IntN(13) {
	case 0:
		return Text{Path: p, Content: strings.Repeat("t", g.IntN(3)), Replace: replace, Attr: g.attr()}
	case 1:
		return File{Path: p, Content: []byte("f"), Replace: replace, Attr: g.attr()}
	case 2:
		return Symlink{Target: g.target(), Link: p, Replace: replace, Owner: g.owner()}
	case 3:
		return Mkdir{Path: p, Attr: g.attr()}
	case 4:
		return Remove{Path: p}
	case 5:
		return Append{Path: p, Content: strings.Repeat("+", g.IntN(3)), Attr: g.attr()}
	case 6:
		return Chmod{Path: g.orRoot(p), Mode: g.mode(), Owner: g.owner()}
	case 7:
		o := Chown{Path: g.orRoot(p), Attr: g.attr()}
		o.UID = ptr(g.Uint32N(9))
		return o
	case 8:
		return Link{Target: p, Link: q, Replace: replace, Attr: g.attr()}
	case 9:
		o := Xattr{Path: g.orRoot(p), Name: []string{"trusted.b", "security.capability"}[g.IntN(2)], Attr: g.attr(), Remove: replace}
		if !o.Remove {
			o.Value = "v"
		}
		return o
	case 10:
		o := Touch{Path: p, Attr: g.attr()}
		if replace {
			o.Time = &tree.Time{Sec: -5, Nsec: 3}
		}
		return o
	default:
		return Rename{Src: p, Dst: q, Replace: replace, Attr: g.attr()}
	}
}

func (g gen) orRoot(p string) string {
	if g.IntN(10) == 0 {
		return "/"
	}
	return p
}

// TestModel compares random lists on random trees with the model: what is refused, the
// whole patched tree, and what the difference makes of the tree below.
func TestModel(t *testing.T) {
	reftest.OneThread(t)
	compareModel(t, 0, 3000)
}

func TestModelLong(t *testing.T) {
	reftest.Long(t)
	compareModel(t, 1e6, 100000)
}

func compareModel(t *testing.T, first, n uint64) {
	opts := Options{Epoch: ptr(int64(modelTime))}
	var applied, refused uint64
	for seed := first; seed < first+n; seed++ {
		g := gen{rand.New(rand.NewPCG(seed, 1))}
		lower := g.lower()
		before := stream(t, layer(t, lower...).Source(tree.Flat))
		m := newModel(lower)
		var ops []Op
		for range 1 + g.IntN(8) {
			op := g.op()
			next := m.clone()
			wrong := next.apply(op)
			_, err := Apply(context.Background(), layer(t, lower...), append(ops, op), opts)
			if (err != nil) != (wrong != nil) {
				t.Fatalf("seed %d: %s\n%+v: error %v, the model says %v", seed, before, append(ops, op), err, wrong)
			}
			if err != nil {
				refused++
				var opErr *OpError
				if !errors.As(err, &opErr) || opErr.Index != len(ops)+1 {
					t.Fatalf("seed %d: %v, expected it of number %d", seed, err, len(ops)+1)
				}
				continue
			}
			ops, m = append(ops, op), next
			applied++
		}
		tr := layer(t, lower...)
		r := apply(t, tr, opts, ops...)
		full := stream(t, r.Source(tree.Flat))
		if want := stream(t, m.tree(t).Source(tree.Flat)); full != want {
			t.Fatalf("seed %d: %s\n%+v\n%s\nexpected\n%s", seed, before, ops, full, want)
		}
		diff, err := tree.ReadLayer(r.Source(tree.Layer), nil)
		if err != nil {
			t.Fatal(err)
		}
		checkLinks(t, r.Source(tree.Flat), m.tree(t).Source(tree.Flat))
		checkLinks(t, r.Source(tree.Layer), diff.Source(tree.Layer))
		below := layer(t, lower...)
		if err := below.Apply(diff); err != nil {
			t.Fatal(err)
		}
		if have := stream(t, below.Source(tree.Flat)); have != full {
			t.Fatalf("seed %d: %s\n%+v\ndifference\n%s\nmerged\n%s\nwhole\n%s", seed, before, ops, stream(t, r.Source(tree.Layer)), have, full)
		}
		if after := stream(t, tr.Source(tree.Flat)); after != before {
			t.Fatalf("seed %d: %+v changed the tree below:\n%s\n%s", seed, ops, before, after)
		}
		checkChanges(t, r, layer(t, lower...))
	}
	t.Logf("%d operations applied, %d refused", applied, refused)
	if applied < n || refused < n {
		t.Error("too few to say anything")
	}
}

// checkLinks compares the numbers of links, which a stream does not carry.
func checkLinks(t *testing.T, have, want tree.Source) {
	t.Helper()
	counted := read(t, have)
	for p, e := range read(t, want) {
		if counted[p].Nlink != e.Nlink {
			t.Fatalf("%s has %d links, expected %d", p, counted[p].Nlink, e.Nlink)
		}
	}
}

// checkChanges compares the changes that r says with those that both trees show.
func checkChanges(t *testing.T, r *Result, lower *tree.Tree) {
	t.Helper()
	old, now := read(t, lower.Source(tree.Flat)), read(t, r.Source(tree.Flat))
	said := make(map[string]bool)
	last := ""
	for c := range r.Changes() {
		said[c.Path] = true
		if last != "" && !before(last, c.Path) {
			t.Fatalf("%s comes behind %s", c.Path, last)
		}
		last = c.Path
		_, was := old[c.Path]
		_, is := now[c.Path]
		if (c.Old != nil) != was || (c.New != nil) != is {
			t.Fatalf("%+v: was there: %v, is there: %v", c, was, is)
		}
	}
	for p, e := range now {
		o, was := old[p]
		differs := !was || e.Type != o.Type || e.Mode != o.Mode || e.UID != o.UID || e.GID != o.GID || e.Time != o.Time || e.Size != o.Size || e.Link != o.Link
		if differs && !said[p] {
			t.Fatalf("%s differs: %+v, %+v", p, o, e)
		}
	}
	for p := range old {
		if _, is := now[p]; !is && !said[p] {
			t.Fatalf("%s is gone", p)
		}
	}
}

// before reports whether a comes before b in canonical order.
func before(a, b string) bool {
	return a == "." || slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) < 0
}
