package sizes_test

import (
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/sizes"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

func layerOf(t *testing.T, name string, entries ...tree.Entry) merge.Layer {
	t.Helper()
	var m erofstest.Image
	w, err := erofs.NewWriter(t.Context(), &m, erofs.Options{Layer: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return merge.Layer{Name: name, Image: erofstest.Open(t, m.B)}
}

// TestHidden counts two layers, of which the upper replaces one of three files of the lower.
func TestHidden(t *testing.T) {
	low := layerOf(t, "low", erofstest.Dir("."), erofstest.File("kept", erofstest.Pattern(1, 40000)), erofstest.File("replaced", erofstest.Pattern(2, 30000)))
	up := layerOf(t, "up", erofstest.Dir("."), erofstest.File("replaced", erofstest.Pattern(3, 20000)))
	images := []*read.Image{low.Image, up.Image}
	names := []list.SizesLayer{sizes.Layer("low", low.Image.Size()), sizes.Layer("up", up.Image.Size())}
	counted, err := sizes.Count(t.Context(), names, images, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	merged, err := merge.Layers(t.Context(), []merge.Layer{low, up}, merge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := counted.Show(t.Context(), merged.Source(tree.Flat), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := s.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(out.String(), "\n\n")
	for i, want := range []string{"70000 32768", "20000 0", "90000 32768"} { // of files, hidden in blocks
		f := strings.Fields(strings.Split(table, "\n")[i+1])
		if got := f[2] + " " + f[4]; got != want {
			t.Errorf("line %d: %s, want %s:\n%s", i+1, got, want, out.String())
		}
	}
}

// TestLimits counts no more entries than are allowed, all layers together.
func TestLimits(t *testing.T) {
	low := layerOf(t, "low", erofstest.Dir("."), erofstest.File("a", erofstest.Pattern(1, 10)))
	images := []*read.Image{low.Image, low.Image}
	names := []list.SizesLayer{sizes.Layer("one", 1), sizes.Layer("two", 1)}
	if _, err := sizes.Count(t.Context(), names, images, tree.Limits{Entries: 3}); err == nil || !strings.HasPrefix(err.Error(), "two: ") {
		t.Errorf("error %v", err)
	}
}
