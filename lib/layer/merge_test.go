package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// soak multiplies the counts of tests for "make soak".
func soak(n int) int {
	if os.Getenv("SOAK") == "true" {
		return 50 * n
	}
	return n
}

// generator makes random stacks of layers over few names, so that these meet.
type generator struct {
	*rand.Rand
	used []string
	id   int
}

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) name() string { return g.pick("a", "b", "c") }

func (g *generator) path() string {
	p := g.name()
	for g.IntN(2) == 0 && len(p) < 5 {
		p += "/" + g.name()
	}
	if len(g.used) > 0 && g.IntN(3) > 0 {
		old := g.used[g.IntN(len(g.used))]
		if g.IntN(3) > 0 {
			return old
		}
		return strings.TrimPrefix(old+"/"+g.name(), "./")
	}
	return p
}

func (g *generator) layers() [][]item {
	g.used, g.id = nil, 0
	layers := make([][]item, 1+g.IntN(4))
	for i := range layers {
		for range g.IntN(8) {
			layers[i] = append(layers[i], g.item())
		}
	}
	return layers
}

func (g *generator) item() item {
	g.id++
	it := item{kind: '0', id: g.id, name: g.path()}
	switch n := g.IntN(20); {
	case n < 4:
	case n < 7:
		it.kind = '5'
		it.name = g.pick("./", "", "", "") + it.name + g.pick("", "/", "//")
		if g.IntN(8) == 0 {
			it.name = g.pick(".", "./", "/")
		}
	case n < 10:
		it.kind = '2'
		it.link = g.pick("a", "b", "c", "/a", "/b/c", "../b", "../../c", "a/b", ".", "..", "/", "/c/../a/b", "nowhere", "/nowhere/x")
	case n < 13:
		it.kind, it.link = '1', g.path()
		if g.IntN(3) == 0 {
			it.link = "./" + it.link
		}
	case n < 14:
		it.kind = byte(g.pick("3", "4", "6")[0])
	case n < 17:
		it.name = hide(it.name)
		if g.IntN(4) == 0 {
			it.kind, it.link = '1', "missing"
		}
	case n < 19:
		it.name += "/.wh..wh..opq"
		if g.IntN(8) == 0 {
			it.name = ".wh..wh..opq"
		}
	default:
		it.name = g.pick("./", "/", ".//") + it.name
	}
	if !strings.Contains(it.name, ".wh.") {
		g.used = append(g.used, strings.Trim(strings.TrimLeft(it.name, "./"), "/"))
		g.used = slices.DeleteFunc(g.used, func(s string) bool { return s == "" || strings.HasPrefix(s, "/") || strings.Count(s, "/") > 4 })
	}
	return it
}

// hide is the name of the whiteout of p.
func hide(p string) string {
	i := strings.LastIndexByte(p, '/') + 1
	return p[:i] + ".wh." + p[i:]
}

// minimise leaves out entries as long as the stack still fails.
func minimise(layers [][]item, fails func([][]item) bool) [][]item {
	for again := true; again; {
		again = false
		for i := range layers {
			for j := range layers[i] {
				fewer := slices.Clone(layers)
				fewer[i] = slices.Delete(slices.Clone(layers[i]), j, j+1)
				if fails(fewer) {
					layers, again = fewer, true
					break
				}
			}
			fewer := slices.Delete(slices.Clone(layers), i, i+1)
			if fails(fewer) {
				layers, again = fewer, true
				break
			}
		}
	}
	return layers
}

// checkStack compares one way of merging with the model, and says how they differ.
func checkStack(layers [][]item, merge func([][]item) (string, error)) string {
	want := ""
	tree, wantErr := model(layers)
	if wantErr == nil {
		want = describeModel(tree)
	}
	got, err := merge(layers)
	switch {
	case (err == nil) != (wantErr == nil):
		return fmt.Sprintf("error %v, the model's is %v", err, wantErr)
	case got != want:
		return fmt.Sprintf("got\n%swant\n%s", got, want)
	}
	return ""
}

// routes are the ways by which layers become a tree; all must give the same one.
func routes(t *testing.T) map[string]func([][]item) (string, error) {
	return map[string]func([][]item) (string, error){
		"merge, one at a time":                 func(l [][]item) (string, error) { return mergeTars(t, l, 1) },
		"merge, eight at once":                 func(l [][]item) (string, error) { return mergeTars(t, l, 8) },
		"streams of layers in their own order": func(l [][]item) (string, error) { return mergeStreams(t, l, false) },
		"streams of layers in canonical order": func(l [][]item) (string, error) { return mergeStreams(t, l, true) },
	}
}

func TestMergeEqualsModel(t *testing.T) {
	quick := func(l [][]item) (string, error) { return mergeInMemory(t, l) }
	for seed := range uint64(soak(800)) {
		layers := (&generator{Rand: rand.New(rand.NewPCG(seed, 0))}).layers()
		expectModel(t, "reader and Apply", layers, quick)
		if seed%10 != 0 {
			continue
		}
		for name, merge := range routes(t) {
			expectModel(t, name, layers, merge)
		}
	}
}

// TestCheckStackHasTeeth gives it wrong answers.
func TestCheckStackHasTeeth(t *testing.T) {
	layers := parseStack("file a #4; hard b -> a; dir d")
	right, err := mergeTars(t, layers, 1)
	if err != nil || checkStack(layers, func([][]item) (string, error) { return right, nil }) != "" {
		t.Fatal("the right answer is wrong")
	}
	for _, change := range [][2]string{
		{" = a", ""}, {"1004", "1005"}, {"0404", "0400"}, {"000004.0", "000004.1"}, {"content 4", "content 5"}, {"user.id", "user.ie"}, {"d dir", "e dir"},
	} {
		wrong := strings.Replace(right, change[0], change[1], 1)
		if wrong == right || checkStack(layers, func([][]item) (string, error) { return wrong, nil }) == "" {
			t.Errorf("%q in place of %q is not noticed", change[1], change[0])
		}
	}
	if checkStack(layers, func([][]item) (string, error) { return "", io.EOF }) == "" {
		t.Error("an error is not noticed")
	}
}

// TestRandomStacksAreValid checks that the generator does not mostly make stacks that are
// refused, with which the other test would prove little.
func TestRandomStacksAreValid(t *testing.T) {
	good := 0
	const all = 1000
	for seed := range uint64(all) {
		if _, err := model((&generator{Rand: rand.New(rand.NewPCG(seed, 0))}).layers()); err == nil {
			good++
		}
	}
	if good < all/2 {
		t.Errorf("only %d stacks of %d are valid", good, all)
	}
}

func expectModel(t *testing.T, name string, layers [][]item, merge func([][]item) (string, error)) {
	t.Helper()
	if checkStack(layers, merge) == "" {
		return
	}
	layers = minimise(layers, func(l [][]item) bool { return checkStack(l, merge) != "" })
	t.Fatalf("%s:\n%s%s", name, printStack(layers), checkStack(layers, merge))
}

// mergeInMemory merges the layers without spool files and goroutines.
func mergeInMemory(t testing.TB, layers [][]item) (string, error) {
	merged := tree.NewFlat()
	for _, in := range inputs(t, layers) {
		l, err := loadInMemory(t, in)
		if err == nil {
			err = merged.Apply(l)
		}
		if err != nil {
			return "", err
		}
	}
	return describe(t, merged.Source(tree.Flat)), nil
}

func loadInMemory(t testing.TB, in layer.Input) (*tree.Tree, error) {
	src, err := layerSource(t, in, false)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return tree.ReadLayer(src, keepInMemory)
}

// alphabet are the entries of which the exhaustive test makes layers.
var alphabet = parseStack(`
	file a; file b; dir a; dir b; dir a/b; file a/b; file b/a
	sym a -> b; sym b -> a; sym a -> .; sym b -> /a/b
	hard a -> b; hard b -> a; hard a/b -> b; hard b -> a/b
	.wh.a; .wh.b; a/.wh.b; b/.wh.a
	.wh..wh..opq; a/.wh..wh..opq; b/.wh..wh..opq
`)[0]

// replay is the source of a layer that was read before.
type replay struct {
	entries []tree.Entry
	next    int
	err     error
}

func (r *replay) Next() (*tree.Entry, error) {
	if r.next == len(r.entries) {
		return nil, r.err
	}
	e := r.entries[r.next]
	r.next++
	return &e, nil
}

func (r *replay) Close() error { return nil }

// prepared is a layer of the exhaustive test, read and modelled.
type prepared struct {
	items []item
	replay
}

func prepare(t *testing.T, items []item, firstID int) prepared {
	t.Helper()
	p := prepared{items: slices.Clone(items)}
	for i := range p.items {
		p.items[i].id = firstID + i
	}
	src, err := layerSource(t, inputs(t, [][]item{p.items})[0], false)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for {
		e, err := src.Next()
		if err != nil {
			p.err = err
			return p
		}
		kept := *e
		if e.Content != nil {
			if kept.Content, err = keepInMemory(e); err != nil {
				t.Fatal(err)
			}
		}
		p.entries = append(p.entries, kept)
	}
}

// sequences are all lists of up to n entries of the alphabet.
func sequences(n int) (list [][]item) { return sequencesOf(alphabet, n) }

func sequencesOf(alphabet []item, n int) (list [][]item) {
	list = [][]item{nil}
	for last := list; n > 0; n-- {
		var longer [][]item
		for _, s := range last {
			for _, it := range alphabet {
				longer = append(longer, append(slices.Clone(s), it))
			}
		}
		list, last = append(list, longer...), longer
	}
	return list
}

// TestMergeExhaustive merges every two layers of up to two entries each.
func TestMergeExhaustive(t *testing.T) {
	reftest.OneThread(t)
	var uppers, lowers []prepared
	for _, items := range sequences(2) {
		uppers = append(uppers, prepare(t, items, 10))
	}
	seen := map[string]bool{}
	for _, items := range sequences(2) {
		l := prepare(t, items, 1)
		m, err := model([][]item{l.items})
		if err != nil || seen[describeModel(m)] {
			continue // the same tree as that of another layer
		}
		seen[describeModel(m)] = true
		lowers = append(lowers, l)
	}
	if len(lowers) < 50 {
		t.Fatalf("only %d lower layers", len(lowers))
	}
	for _, lower := range lowers {
		for _, upper := range uppers {
			layers := [][]item{lower.items, upper.items}
			fault := checkStack(layers, func([][]item) (string, error) { return replayAll(t, lower.replay, upper.replay) })
			if fault != "" {
				t.Fatalf("%s%s", printStack(layers), fault)
			}
		}
	}
	t.Logf("%d stacks", len(lowers)*len(uppers))
}

// TestMergeExhaustiveLinks merges what lies below with every layer of up to four
// entries that hard links are about.
func TestMergeExhaustiveLinks(t *testing.T) {
	reftest.OneThread(t)
	entries := parseStack("file a; file b; sym b -> c; dir b; hard a -> b; hard b -> c; hard c -> a; .wh.b")[0]
	var lowers []prepared
	for _, text := range []string{"", "file b", "file c", "file a; hard b -> a", "dir b; file c", "file x; sym b -> x; sym c -> b"} {
		lowers = append(lowers, prepare(t, parseStack(text)[0], 1))
	}
	for _, items := range sequencesOf(entries, 4) {
		upper := prepare(t, items, 10)
		for _, lower := range lowers {
			layers := [][]item{lower.items, upper.items}
			fault := checkStack(layers, func([][]item) (string, error) { return replayAll(t, lower.replay, upper.replay) })
			if fault != "" {
				t.Fatalf("%s%s", printStack(layers), fault)
			}
		}
	}
}

func replayAll(t *testing.T, layers ...replay) (string, error) {
	merged := tree.NewFlat()
	for _, r := range layers {
		l, err := tree.ReadLayer(&r, nil)
		if err == nil {
			err = merged.Apply(l)
		}
		if err != nil {
			return "", err
		}
	}
	return describe(t, merged.Source(tree.Flat)), nil
}

// mergeStreams passes each layer through a tree stream, in its own order or sorted, and
// merges the entries that are read back.
func mergeStreams(t testing.TB, layers [][]item, sorted bool) (string, error) {
	merged := tree.NewFlat()
	for _, in := range inputs(t, layers) {
		src, err := layerSource(t, in, sorted)
		if err != nil {
			return "", err
		}
		var stream bytes.Buffer
		err = tree.Copy(context.Background(), tree.NewWriter(&stream, tree.WriterOptions{}), src)
		src.Close()
		if err != nil {
			return "", err
		}
		reader, err := tree.NewReader(&stream, tree.ReaderOptions{})
		if err != nil {
			return "", err
		}
		l, err := tree.ReadLayer(reader, keepInMemory)
		if err != nil {
			return "", err
		}
		if err := merged.Apply(l); err != nil {
			return "", err
		}
	}
	return describe(t, merged.Source(tree.Flat)), nil
}

func layerSource(t testing.TB, in layer.Input, sorted bool) (tree.Source, error) {
	if sorted {
		loaded, err := layer.Load(context.Background(), in, layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			return nil, err
		}
		return loaded.Source(tree.Layer), nil
	}
	return layer.Open(context.Background(), in)
}

// memory is content that stays.
type memory []byte

func (m memory) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(m)
	return int64(n), err
}

func keepInMemory(e *tree.Entry) (tree.Content, error) {
	var b bytes.Buffer
	if _, err := e.Content.WriteTo(&b); err != nil {
		return nil, err
	}
	return memory(b.Bytes()), nil
}

// TestSortMeansTheSame puts the stream of a single layer in its own order, and
// the sorted one, into a tree each.
func TestSortMeansTheSame(t *testing.T) {
	sorted := func(layers [][]item) (string, error) { return layerTree(t, layers, true) }
	fault := func(layers [][]item) string {
		want, wantErr := layerTree(t, layers, false)
		got, err := sorted(layers)
		if got != want || (err == nil) != (wantErr == nil) {
			return fmt.Sprintf("sorted, %v:\n%sin its own order, %v:\n%s", err, got, wantErr, want)
		}
		return ""
	}
	for seed := range uint64(soak(300)) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		layers := g.layers()[:1]
		if fault(layers) != "" {
			layers = minimise(layers, func(l [][]item) bool { return len(l) == 1 && fault(l) != "" })
			t.Fatalf("%s%s", printStack(layers), fault(layers))
		}
	}
}

// layerTree describes the one layer given, read back from its stream.
func layerTree(t testing.TB, layers [][]item, sorted bool) (string, error) {
	src, err := layerSource(t, inputs(t, layers)[0], sorted)
	if err != nil {
		return "", err
	}
	defer src.Close()
	l, err := tree.ReadLayer(src, keepInMemory)
	if err != nil {
		return "", err
	}
	return describe(t, l.Source(tree.Layer)), nil
}

// Visit sees every entry of every layer, the tree has the contents that it gives, and nothing
// is spooled.
func TestVisit(t *testing.T) {
	layers := parseStack("kept; dir d; d/b | d/.wh.b; a; c")
	counts := make([]atomic.Int64, len(layers))
	load := layer.LoadOptions{SpoolDir: filepath.Join(t.TempDir(), "none"), Visit: func(i int, e *tree.Entry) error {
		counts[i].Add(1)
		if e.Content != nil {
			e.Content = tree.Bytes(strings.Repeat(fmt.Sprint(i), int(e.Size)))
		}
		return nil
	}}
	merged, err := layer.Merge(t.Context(), inputs(t, layers), load)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if a, b := counts[0].Load(), counts[1].Load(); a != 3 || b != 3 {
		t.Errorf("%d and %d entries, expected 3 and 3", a, b)
	}
	for path, want := range map[string]string{"kept": "0", "a": "1"} {
		var b strings.Builder
		if err := tree.WriteExpanded(&b, merged.Lookup(path).Entry); err != nil || b.String() == "" || strings.Trim(b.String(), want) != "" {
			t.Errorf("%s: %q, %v", path, b.String(), err)
		}
	}
	broken := errors.New("broken")
	load.Visit = func(int, *tree.Entry) error { return broken }
	if _, err := layer.Merge(t.Context(), inputs(t, layers), load); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := layer.Load(t.Context(), inputs(t, layers)[0], load); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// Keep says which contents are spooled. All others say where they were.
func TestKeep(t *testing.T) {
	layers := parseStack("kept; dir d; d/b | d/.wh.b; a; c; e")
	load := layer.LoadOptions{SpoolDir: t.TempDir(), Keep: func(i int, e *tree.Entry) bool {
		return i == 1 && e.Path == "e"
	}}
	merged, err := layer.Merge(t.Context(), inputs(t, layers), load)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	var b strings.Builder
	if err := tree.WriteExpanded(&b, merged.Lookup("e").Entry); err != nil || b.String() == "" {
		t.Errorf("e: %q, %v", b.String(), err)
	}
	for want, path := range []string{"kept", "a"} {
		e := merged.Lookup(path).Entry
		if e.Content != (layer.LeftOut{Layer: want, Path: path}) {
			t.Errorf("%s: %#v", path, e.Content)
		}
		if err := tree.WriteExpanded(&b, e); !errors.Is(err, layer.ErrLeftOut) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
