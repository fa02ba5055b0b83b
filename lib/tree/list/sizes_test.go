package list

import (
	"fmt"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// report counts layers, merges them, and writes the report.
func report(t *testing.T, s *Sizes, layers ...tree.Source) string {
	t.Helper()
	merged := tree.NewFlat()
	for i, src := range layers {
		l, err := tree.ReadLayer(s.Counting(i, src), nil)
		if err == nil {
			err = merged.Apply(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := s.Show(t.Context(), merged.Source(tree.Flat)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	return squeeze(b.String())
}

// What a layer hides stays where it was, with the weight that it had.
func TestSizesOfLayers(t *testing.T) {
	half := func(e *tree.Entry) (int64, error) { return e.Size / 2, nil }
	lower := []*tree.Entry{
		dir("."), dir("a"), file("a/deleted", 1000), file("a/kept", 200), dir("b"), file("b/replaced", 4000), file("b/hidden", 800),
		link("c", "a"), file("linked", 600), {Path: "other name", Type: tree.File, Size: 600, Hardlink: "linked"},
	}
	upper := []*tree.Entry{
		{Path: "a/deleted", Type: tree.Char}, {Path: "b", Type: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{tree.Opaque}}, file("b/replaced", 2000),
		{Path: "linked", Type: tree.Char},
	}
	const paths = "layer size hidden names path, without what has a line of its own|0 4000 4000 1 /b/replaced|1 2000 0 1 /b/replaced|0 1000 1000 1 /a/deleted|0 800 800 1 /b/hidden|0 600 0 1 /linked|all 200 0 9 all that is smaller"
	for _, c := range []struct {
		layers []SizesLayer
		want   string
	}{
		{[]SizesLayer{{Name: "base\n", Bytes: 7000}, {Name: "top", Bytes: 3000}},
			"layer takes size hidden names name|0 7000 6600 5800 10 base\\012|1 3000 2000 0 4 top|all 10000 8600 5800 14 all layers||" + paths},
		{[]SizesLayer{{Bytes: 5}, {Bytes: Unknown}}, "layer takes size hidden names name|0 5 6600 5800 10|1 - 2000 0 4|all - 8600 5800 14 all layers||" + paths},
		{[]SizesLayer{{Stored: half}, {}}, "layer takes size hidden names name|0 0 6600 5800 10|1 0 2000 0 4|all 0 8600 5800 14 all layers||" + paths},
		{[]SizesLayer{{Stored: half}, {Stored: half}}, "layer takes size stored hidden names name|0 0 6600 3300 2900 10|1 0 2000 1000 0 4|all 0 8600 4300 2900 14 all layers||" +
			"layer size stored hidden names path, without what has a line of its own|0 4000 2000 2000 1 /b/replaced|1 2000 1000 0 1 /b/replaced|0 1000 500 500 1 /a/deleted|0 800 400 400 1 /b/hidden|0 600 300 0 1 /linked|all 200 100 0 9 all that is smaller"},
	} {
		if have := report(t, NewSizes(c.layers...), of(lower...), of(upper...)); have != c.want {
			t.Errorf("%+v:\n%s, expected\n%s", c.layers, strings.ReplaceAll(have, "|", "\n"), strings.ReplaceAll(c.want, "|", "\n"))
		}
	}
}

// Many small files weigh where their directories become heavy, and a heavy directory is not
// in those above it.
func TestSizesOfDirectories(t *testing.T) {
	all := []*tree.Entry{dir("."), file("large", 5000)}
	for i := range 100 {
		all = append(all, file(fmt.Sprintf("app/node_modules/%02d/lib/file", i), 100)) // 10000 together
	}
	for i := range 30 {
		all = append(all, file(fmt.Sprintf("app/src/%02d", i), 10)) // 300: too light
	}
	all = append(all, file("usr/lib/a", 900), file("usr/lib/b", 899), file("usr/share/c", 600), file("var/d", 300), file("usr/empty", 0))
	// What is in /usr/lib and /usr/share is heavy only together.
	want := "takes size names name|18000 17999 137 image||size names path, without what has a line of its own|10000 100 /app/node_modules/|5000 1 /large|1499 3 /usr/|900 1 /usr/lib/a|600 32 all that is smaller"
	if have := report(t, NewSizes(SizesLayer{Name: "image", Bytes: 18000}), of(all...)); have != want {
		t.Errorf("%s, expected\n%s", strings.ReplaceAll(have, "|", "\n"), strings.ReplaceAll(want, "|", "\n"))
	}
}

// The report has at most twenty lines for places, whatever the tree is like.
func TestSizesAreFew(t *testing.T) {
	for _, n := range []int{1, 19, 20, 21, 1000} {
		var all []*tree.Entry
		for i := range n {
			all = append(all, file(fmt.Sprintf("%04d/f", i), 1000))
		}
		have := strings.Split(report(t, NewSizes(SizesLayer{}), of(all...)), "|")
		want := n
		if n > 20 {
			want = 1 // the root, of what is too light
		}
		// Before them come headings, the layer, an empty line, and headings.
		if rows := len(have) - 4; rows != want {
			t.Errorf("%d directories: %d lines: %q", n, rows, have)
		}
	}
}

func TestSizesOfNothing(t *testing.T) {
	if have := report(t, NewSizes(SizesLayer{Name: "n"}), of()); have != "takes size names name|0 0 0 n||size names path, without what has a line of its own" {
		t.Error(have)
	}
	huge := []*tree.Entry{}
	for i := range 3 {
		huge = append(huge, &tree.Entry{Path: fmt.Sprint(i), Type: tree.File, Size: 1<<63 - 1, Extents: []tree.Extent{}})
	}
	if have := report(t, NewSizes(SizesLayer{Bytes: 1<<63 - 1}, SizesLayer{Bytes: 1}), of(huge...), of()); !strings.Contains(have, "all 9223372036854775807 9223372036854775807 ") {
		t.Error(have)
	}
}

// What is small has no line of its own, also where the whole is more than can be counted.
func TestSizesOfTooMuch(t *testing.T) {
	huge := &tree.Entry{Path: "huge", Type: tree.File, Size: 1<<63 - 1, Extents: []tree.Extent{}}
	have := report(t, NewSizes(SizesLayer{}), of(huge, file("small", 1000)))
	if !strings.HasSuffix(have, "|9223372036854775807 1 /huge|1000 1 all that is smaller") {
		t.Error(have)
	}
}

// A file without data is shown like others: it has a size.
func TestSizesOfHoles(t *testing.T) {
	hole := &tree.Entry{Path: "hole", Type: tree.File, Size: 3000, Extents: []tree.Extent{}}
	have := report(t, NewSizes(SizesLayer{}, SizesLayer{}), of(hole), of(file("other", 5)))
	if !strings.HasSuffix(have, "|0 3000 0 1 /hole|all 5 0 1 all that is smaller") {
		t.Error(have)
	}
}

// Only files that may get lines of their own are kept one by one.
func TestSizesKeepFewFiles(t *testing.T) {
	s := NewSizes(SizesLayer{})
	for i := range 10000 {
		if err := s.Count(0, file(fmt.Sprintf("d/%04d", i), int64(1000+i%7))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.layers[0].root.enter("d").below); n < 10 || n > 30 {
		t.Errorf("%d files are kept", n)
	}
}
