package imagecache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
)

func sizeOf(t testing.TB, s *cas.Store, names ...string) (n int64) {
	t.Helper()
	for _, name := range names {
		info, err := os.Stat(filepath.Join(s.Dir(), name))
		must(t, err)
		n += info.Size()
	}
	return n
}

func TestList(t *testing.T) {
	s := open(t, t.TempDir())
	if l := list(t, s); l.Images == nil || len(l.Images) != 0 || l.Size != 0 || l.Cache != s.Dir() {
		t.Errorf("an empty cache: %+v", l)
	}
	layerImage := addLayer(t, s, 2)
	at := time.Unix(1e9, 5)
	b := add(t, s, spec{name: "r.io/b:1", layers: []int{1, 2, 1}, top: true, fsmeta: true, flat: true, used: at})
	a := add(t, s, spec{name: "r.io/a:1", layers: []int{2, 3}})
	c := add(t, s, spec{name: "r.io/c:1", layers: []int{4}, dropped: true})
	_, stray := put(t, s, "stray")

	l := list(t, s)
	if len(l.Images) != 3 || l.Images[0].Name != "r.io/a:1" || l.Images[1].Name != "r.io/b:1" || l.Images[2].Name != "r.io/c:1" {
		t.Fatalf("%+v", l.Images)
	}
	if want := sizeOf(t, s, kept(t, s.Dir())...); l.Size != want || l.Unheld != sizeOf(t, s, stray) {
		t.Errorf("size %d, %d unheld; want %d, %d", l.Size, l.Unheld, want, sizeOf(t, s, stray))
	}
	shared := []string{layout.BlobName(digest.FromString(layerText(2))), layerImage}
	for i, m := range []made{a, b, c} {
		im := l.Images[i]
		alone := slices.DeleteFunc(slices.Clone(m.files), func(name string) bool { return slices.Contains(shared, name) })
		if im.Size != sizeOf(t, s, m.files...) || im.Alone != sizeOf(t, s, alone...) || !slices.Equal(im.holds, m.files) {
			t.Errorf("%s: size %d, alone %d, holds %q; want %d, %d, %q", im.Name, im.Size, im.Alone, im.holds, sizeOf(t, s, m.files...), sizeOf(t, s, alone...), m.files)
		}
		if im.Manifest != m.Digest || im.Index != m.Top || im.Platform != "linux/amd64" || im.Dropped != m.Dropped || len(im.Problems) > 0 {
			t.Errorf("%+v", im)
		}
	}
	im := l.Images[1]
	if !im.LastUsed.Equal(at) || len(im.Artifacts) != 4 || len(im.Layers) != 3 {
		t.Errorf("%+v", im)
	}
	want := Layer{Digest: digest.FromString(layerText(2)), DiffID: diffID(2), Size: int64(len(layerText(2))), Blob: true, Images: []File{{layerImage, sizeOf(t, s, layerImage)}}, Shared: 1}
	if got, _ := json.Marshal(im.Layers[1]); string(got) != jsonOf(want) || im.Layers[0].Shared != 0 || l.Images[2].Layers[0].Blob {
		t.Errorf("layer %s, want %s", got, jsonOf(want))
	}
}

func jsonOf(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// TestProblems lists images whose documents are missing or damaged: none of that is an error.
func TestProblems(t *testing.T) {
	garbage := "garbage"
	missing := digest.FromString("missing")
	ref := func(s *cas.Store, text string) cas.Ref {
		d, _ := put(t, s, text)
		return cas.Ref{Name: "a", MediaType: manifestType, Digest: d, Size: int64(len(text))}
	}
	for _, c := range []struct{ name, manifest, want string }{
		{"garbage", garbage, "not JSON"},
		{"an array", "[]", "a list, not an object"},
		{"neither", `{"schemaVersion":2}`, "neither an index nor"},
		{"both", `{"schemaVersion":2,"config":{"digest":"x","size":1},"manifests":[]}`, "both an index and"},
		{"no configuration", fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[]}`, missing), "configuration " + missing.String() + " is missing"},
		{"escape in a configuration", `{"schemaVersion":2,"config":{"digest":"sha256:../../x\u001b[31m","size":1},"layers":[]}`, "configuration: digest"},
		{"missing layer", fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[{"digest":%q,"size":1}]}`, digest.FromString("{}"), missing), "layer 0 " + missing.String() + " is missing"},
		{"wrong layer", fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[{"digest":"sha256:../x","size":1}]}`, digest.FromString("{}")), "layer 0: digest"},
		{"no diff-ids", fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[{"digest":%q,"size":1}]}`, digest.FromString("{}"), digest.FromString("{}")), "has 0 diff-ids for 1 layers"},
		{"configuration is garbage", fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[]}`, digest.FromString(garbage)), "corrupt image: configuration"},
	} {
		s := open(t, t.TempDir())
		put(t, s, "{}")
		put(t, s, garbage)
		must(t, s.SetRef(ctx, ref(s, c.manifest), nil))
		im := list(t, s).Images[0]
		if !strings.Contains(strings.Join(im.Problems, "\n"), c.want) {
			t.Errorf("%s: problems %q, want %q", c.name, im.Problems, c.want)
		}
	}

	s := open(t, t.TempDir())
	m := add(t, s, spec{name: "a", layers: []int{1}, top: true})
	path := filepath.Join(s.Dir(), layout.BlobName(m.Digest))
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte(`{"schemaVersion":2,"config":null}`), 0o600))
	if im := list(t, s).Images[0]; len(im.Problems) != 1 || !strings.Contains(im.Problems[0], "is damaged") || len(im.Layers) != 0 {
		t.Errorf("another manifest: %+v", im)
	}
	must(t, os.Remove(path))
	if im := list(t, s).Images[0]; len(im.Problems) != 1 || !strings.Contains(im.Problems[0], "manifest "+m.Digest.String()+" is missing") || im.LastUsed != nil {
		t.Errorf("no manifest: %+v", im)
	}
	must(t, os.Remove(filepath.Join(s.Dir(), layout.BlobName(m.Top))))
	if im := list(t, s).Images[0]; len(im.Problems) != 2 || !strings.Contains(im.Problems[0], "index "+m.Top.String()+" is missing") {
		t.Errorf("no index: %+v", im)
	}
}

// TestOtherPrograms lists an index with one of its platforms, an artifact, and a manifest of
// a kind that is not known: they hold what they mention.
func TestOtherPrograms(t *testing.T) {
	s := open(t, t.TempDir())
	m := add(t, s, spec{name: "r.io/a:1", layers: []int{1}})
	must(t, s.RemoveRef(ctx, m.Ref))
	index, indexName := put(t, s, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d},{"mediaType":%q,"digest":%q,"size":1}]}`,
		indexType, manifestType, m.Digest, m.Size, manifestType, digest.FromString("arm64, not here")))
	blob, blobName := put(t, s, "a chart")
	empty, emptyName := put(t, s, "{}")
	art, artName := put(t, s, fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.helm.config","digest":%q,"size":2},"layers":[{"mediaType":"text/plain","digest":%q,"size":7}]}`, empty, blob))
	odd, oddName := put(t, s, fmt.Sprintf(`{"schemaVersion":2,"blobs":[{"digest":%q}]}`, digest.FromString("odd blob")))
	_, oddBlob := put(t, s, "odd blob")
	for _, d := range []digest.Digest{index, art, odd} {
		must(t, s.SetRef(ctx, cas.Ref{Digest: d, MediaType: map[bool]string{true: indexType, false: manifestType}[d == index]}, nil))
	}
	_, stray := put(t, s, "stray")
	l := list(t, s)
	if len(l.Images) != 3 || l.Unheld != sizeOf(t, s, stray) {
		t.Errorf("%+v", l)
	}
	if _, err := Prune(ctx, s, PruneOptions{}); err != nil {
		t.Error(err)
	}
	wantKept(t, s, m.files, []string{indexName, blobName, emptyName, artName, oddName, oddBlob})
	if v, err := Verify(ctx, s, VerifyOptions{Repair: true}); err != nil || len(v.Faults) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if n := len(list(t, s).Images); n != 3 {
		t.Errorf("%d images after Verify", n)
	}
}

// TestIndexOfIndexes has indexes that name the one below many times: each counts once, and at
// whatever depth it lies, what it needs is held.
func TestIndexOfIndexes(t *testing.T) {
	s := open(t, t.TempDir())
	m := add(t, s, spec{name: "a", layers: []int{1, 2}})
	must(t, s.RemoveRef(ctx, m.Ref))
	files, d, size, mediaType := m.files, m.Digest, m.Size, manifestType
	for range 8 {
		desc := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, d, size)
		text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType, strings.Join(slices.Repeat([]string{desc}, 20), ","))
		var name string
		d, name = put(t, s, text)
		files, size, mediaType = append(files, name), int64(len(text)), indexType
	}
	must(t, s.SetRef(ctx, cas.Ref{Name: "deep", Digest: d, Size: size, MediaType: indexType}, nil))
	if im := list(t, s).Images[0]; len(im.Layers) != 2 || len(im.Problems) > 0 {
		t.Errorf("%d layers, problems %q", len(im.Layers), im.Problems)
	}
	prune(t, s, PruneOptions{})
	wantKept(t, s, files)
}

func TestSelect(t *testing.T) {
	images := []Image{
		{Name: "docker.io/library/a:latest", Manifest: "sha256:" + digest.Digest(strings.Repeat("a", 64)), Platform: "linux/amd64"},
		{Name: "docker.io/library/a:latest", Manifest: "sha256:" + digest.Digest(strings.Repeat("b", 64)), Platform: "linux/arm64", Index: "sha256:" + digest.Digest(strings.Repeat("c", 64))},
		{Name: "other", Manifest: "sha256:" + digest.Digest(strings.Repeat("a", 64))},
		{Name: "", Manifest: "sha256:" + digest.Digest("bbbbbbbbbc"+strings.Repeat("b", 54))},
		{Name: "deadbeef", Manifest: "sha256:" + digest.Digest(strings.Repeat("d", 64))},
		{Name: "x", Manifest: "sha512:" + digest.Digest(strings.Repeat("e", 128))},
	}
	for _, c := range []struct {
		words []string
		want  string // numbers of images, or an error
	}{
		{[]string{"a", "docker.io/library/a:latest"}, "[0 1]"},
		{[]string{"docker.io/library/a:latest"}, "[0 1]"},
		{[]string{"deadbeef", "docker.io/library/deadbeef:latest"}, "[4]"},
		{[]string{"aaaaaaaa"}, "[0 2]"},
		{[]string{"sha256:aaaaaaaa"}, "[0 2]"},
		{[]string{"sha256:" + strings.Repeat("c", 64)}, "[1]"},
		{[]string{"cccccccccccc"}, "[1]"},
		{[]string{"eeeeeeee"}, "[5]"},
		{[]string{"sha512:" + strings.Repeat("e", 128)}, "[5]"},
		{[]string{"bbbbbbbb"}, "bbbbbbbb: ambiguous: sha256:bbbbbbbbbb"},
		{[]string{"bbbbbbbbbc"}, "[3]"},
		{[]string{"aaaaaaa"}, "aaaaaaa: not in the cache"},
		{[]string{"AAAAAAAA"}, "AAAAAAAA: not in the cache"},
		{[]string{"ffffffff"}, "ffffffff: not in the cache"},
		{[]string{"", ""}, ": not in the cache"},
	} {
		found, err := Select(images, c.words[0], c.words[len(c.words)-1])
		got := fmt.Sprint(err)
		if err == nil {
			var numbers []int
			for _, im := range found {
				numbers = append(numbers, slices.IndexFunc(images, func(x Image) bool { return x.entry() == im.entry() }))
			}
			got = fmt.Sprint(numbers)
		} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%q: %v", c.words, err)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %s, want %s", c.words, got, c.want)
		}
	}
}

func TestSelectHidesPasswords(t *testing.T) {
	if _, err := Select(nil, "https://me:secret@localhost/r", ""); err == nil || err.Error() != "https://me:xxxxx@localhost/r: not in the cache" {
		t.Error(err)
	}
}
