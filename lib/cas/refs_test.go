package cas

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/layout"
	"ocipipe/lib/platform"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	dockerType   = "application/vnd.docker.distribution.manifest.v2+json"
)

var amd64, arm64 = &platform.Platform{OS: "linux", Architecture: "amd64"}, &platform.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}

// image puts a manifest and returns a reference to it.
func image(t testing.TB, s *Store, name string, seed int, p *platform.Platform, top string) Ref {
	t.Helper()
	data := fmt.Appendf(nil, `{"seed":%d}`, seed)
	r := Ref{Name: name, MediaType: manifestType, Digest: put(t, s, data), Size: int64(len(data)), Platform: p}
	if top != "" {
		r.Top = digest.FromString(top)
	}
	return r
}

func setRef(t testing.TB, s *Store, r Ref) {
	t.Helper()
	if err := s.SetRef(ctx, r, nil); err != nil {
		t.Fatal(err)
	}
}

func wantRefs(t testing.TB, s *Store, name string, want ...Ref) {
	t.Helper()
	got, err := s.Refs(name)
	if err != nil {
		t.Fatal(err)
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if len(got) != len(want) || len(got) > 0 && string(g) != string(w) {
		t.Errorf("%s is %s, want %s", name, g, w)
	}
}

func TestRefs(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	wantRefs(t, s, "r.io/a:1")
	a := image(t, s, "r.io/a:1", 1, nil, "")
	setRef(t, s, a)
	wantRefs(t, s, "r.io/a:1", a)

	same := a // a second name of one manifest
	same.Name = "r.io/b:1"
	setRef(t, s, same)
	wantRefs(t, s, "r.io/a:1", a)
	wantRefs(t, s, "r.io/b:1", same)

	// The tag moves to an index, of which another platform is fetched, and again.
	x := image(t, s, "r.io/a:1", 2, amd64, "index")
	y := image(t, s, "r.io/a:1", 3, arm64, "index")
	setRef(t, s, x)
	wantRefs(t, s, "r.io/a:1", x)
	setRef(t, s, y)
	wantRefs(t, s, "r.io/a:1", y, x)
	before, _ := os.Stat(s.path(layout.Index))
	setRef(t, s, x)
	wantRefs(t, s, "r.io/a:1", y, x)
	if after, _ := os.Stat(s.path(layout.Index)); !os.SameFile(before, after) {
		t.Error("index.json was written for nothing")
	}

	// The index moves: what was taken from the old one goes.
	z := image(t, s, "r.io/a:1", 4, amd64, "next index")
	setRef(t, s, z)
	wantRefs(t, s, "r.io/a:1", z)
	wantRefs(t, s, "r.io/b:1", same)
	wantRefs(t, s, "r.io/a")
	wantRefs(t, s, "")
	wantRefs(t, open(t, s.Dir(), Options{}), "r.io/a:1", z)
	wantClean(t, s.Dir())
}

func TestRefIncomplete(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	r := image(t, s, "a:1", 1, nil, "")
	layer := put(t, s, content(1, 100))
	err := s.SetRef(ctx, r, []digest.Digest{layer, digest.FromString("nowhere")})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), digest.FromString("nowhere").String()) {
		t.Errorf("a layer is missing: %v", err)
	}
	wantRefs(t, s, "a:1")
	r.Digest = digest.FromString("nowhere")
	if err := s.SetRef(ctx, r, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the manifest is missing: %v", err)
	}
	wantRefs(t, s, "a:1")
}

// TestForeignIndex checks that entries of other programs in index.json are kept.
func TestForeignIndex(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	d := digest.FromString("x")
	foreign := fmt.Sprintf(`{
  "schemaVersion": 2, "more": {"a": [1, 2]}, "annotations": {"b": "c"},
  "manifests": [
    {"mediaType": "x/y", "digest": "%s", "size": 3, "data": "eHh4", "annotations": {"k": "v"}},
    {"digest": 7}, null, "text"
  ]
}`, d)
	if err := os.WriteFile(s.path(layout.Index), []byte(foreign), 0o666); err != nil {
		t.Fatal(err)
	}
	r := image(t, s, "a:1", 1, nil, "")
	setRef(t, s, r)
	wantRefs(t, s, "a:1", r)
	data, _ := os.ReadFile(s.path(layout.Index))
	for _, want := range []string{
		fmt.Sprintf(`{"mediaType":"x/y","digest":"%s","size":3,"data":"eHh4","annotations":{"k":"v"}},{"digest":7},null,"text",{`, d),
		`"more":{"a":[1,2]}`, `"annotations":{"b":"c"}`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("index.json has no %s: %s", want, data)
		}
	}
}

// TestBadIndex shows that a damaged index is named and begun anew. What it was is kept, and
// the images of the other index are still found.
func TestBadIndex(t *testing.T) {
	for _, file := range []string{layout.Index, DroppedIndex} {
		for _, bad := range []string{"", "{", "null", "[]", `{"manifests": 5}`, "\x00\x00\x00"} {
			var warned []string
			s := open(t, t.TempDir(), Options{Warn: func(s string) { warned = append(warned, s) }})
			here, there := image(t, s, "a:1", 1, nil, ""), image(t, s, "b:1", 2, nil, "")
			here.Dropped, there.Dropped = file == DroppedIndex, file != DroppedIndex
			setRef(t, s, there)
			os.WriteFile(s.path(file), []byte(bad), 0o666)
			refs, err := s.AllRefs()
			if err == nil || !strings.Contains(err.Error(), s.path(file)) || len(refs) != 1 || refs[0] != there {
				t.Errorf("AllRefs with %q: %v, %v", bad, refs, err)
			}
			setRef(t, s, here)
			wantRefs(t, s, "a:1", here)
			wantRefs(t, s, "b:1", there)
			if len(warned) != 1 || !strings.HasPrefix(warned[0], s.path(file)+": ") {
				t.Errorf("warned %q", warned)
			}
			if got, _ := os.ReadFile(s.path(file + ".damaged")); string(got) != bad {
				t.Errorf("%q was not kept, but %q", bad, got)
			}
		}
	}
	s := open(t, t.TempDir(), Options{})
	os.Remove(s.path(layout.Index))
	wantRefs(t, s, "a:1")
	r := image(t, s, "a:1", 1, nil, "")
	setRef(t, s, r)
	wantRefs(t, s, "a:1", r)
}

// TestStrangeIndex has other things in the place of an index. None of them is waited for.
func TestStrangeIndex(t *testing.T) {
	var fifo *os.File
	for kind, make := range map[string]func(path string) error{
		"FIFO": func(p string) error { return unix.Mkfifo(p, 0o666) },
		"FIFO with a writer": func(p string) (err error) {
			unix.Mkfifo(p, 0o666)
			fifo, err = os.OpenFile(p, os.O_RDWR, 0)
			return err
		},
		"directory":       func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o777) },
		"empty directory": func(p string) error { return os.Mkdir(p, 0o777) },
	} {
		for _, file := range []string{layout.Index, DroppedIndex} {
			s := open(t, t.TempDir(), Options{})
			r := image(t, s, "a:1", 1, nil, "")
			os.Remove(s.path(file))
			if err := make(s.path(file)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.AllRefs(); err == nil || !strings.Contains(err.Error(), s.path(file)) {
				t.Errorf("%s: %v", kind, err)
			}
			for _, r.Dropped = range []bool{false, true} {
				setRef(t, s, r)
				wantRefs(t, s, "a:1", r)
			}
		}
	}
	fifo.Close()
}

// TestRefsAtOnce has many list images at once: none is lost.
func TestRefsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := open(t, dir, Options{})
			for j := range 8 {
				setRef(t, s, image(t, s, fmt.Sprintf("a:%d", i*8+j), i, nil, ""))
				setRef(t, s, image(t, s, "both:1", j%2, nil, ""))
			}
		})
	}
	wg.Wait()
	s := open(t, dir, Options{})
	for i := range 64 {
		wantRefs(t, s, fmt.Sprintf("a:%d", i), image(t, s, fmt.Sprintf("a:%d", i), i/8, nil, ""))
	}
	if refs, err := s.Refs("both:1"); err != nil || len(refs) != 1 {
		t.Errorf("both:1 is %v, %v", refs, err)
	}
	_, list, _ := s.readIndex(layout.Index)
	if len(list) != 65 {
		t.Errorf("%d entries", len(list))
	}
}

// TestDroppedRefs moves a reference to refs.json and back.
func TestDroppedRefs(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	whole := image(t, s, "r.io/a:1", 1, amd64, "index")
	other := image(t, s, "r.io/a:1", 2, arm64, "index")
	setRef(t, s, whole)
	setRef(t, s, other)
	dropped := whole
	dropped.Dropped = true
	setRef(t, s, dropped)
	wantRefs(t, s, "r.io/a:1", other, dropped)
	if data, _ := os.ReadFile(s.path(layout.Index)); strings.Contains(string(data), whole.Digest.String()) {
		t.Errorf("index.json still lists it: %s", data)
	}
	before, _ := os.Stat(s.path(DroppedIndex))
	setRef(t, s, dropped)
	if after, _ := os.Stat(s.path(DroppedIndex)); !os.SameFile(before, after) {
		t.Error("refs.json was written without need")
	}
	setRef(t, s, whole)
	wantRefs(t, s, "r.io/a:1", whole, other)

	// Another image takes the name, in the other file.
	moved := image(t, s, "r.io/a:1", 3, nil, "")
	moved.Dropped = true
	setRef(t, s, moved)
	wantRefs(t, s, "r.io/a:1", moved)
	moved.Dropped = false
	setRef(t, s, moved)
	wantRefs(t, s, "r.io/a:1", moved)
	if data, _ := os.ReadFile(s.path(DroppedIndex)); !strings.Contains(string(data), `"manifests":[]`) {
		t.Errorf("refs.json is %s", data)
	}

	missing := moved
	missing.Dropped, missing.Name = true, "r.io/b:1"
	if err := s.SetRef(ctx, missing, []digest.Digest{digest.FromString("config")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its configuration: %v", err)
	}
	wantRefs(t, s, "r.io/b:1")
	os.WriteFile(s.path(DroppedIndex), []byte("["), 0o666)
	if _, err := s.Refs("r.io/a:1"); err == nil || !strings.Contains(err.Error(), "refs.json: ") {
		t.Errorf("refs.json is damaged: %v", err)
	}
}

// TestAllRefs lists entries of other programs, and removes some.
func TestAllRefs(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, b := image(t, s, "r.io/a:1", 1, amd64, "index"), image(t, s, "r.io/b:1", 2, nil, "")
	unnamed := Ref{MediaType: dockerType, Digest: digest.FromString("u"), Size: 3}
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":3},"odd",{"digest":"sha256:../x"},{"annotations":{"org.opencontainers.image.ref.name":"r.io/a:1"}}]}`, dockerType, unnamed.Digest)
	os.WriteFile(s.path(layout.Index), []byte(index), 0o666)
	b.Dropped = true
	setRef(t, s, a)
	setRef(t, s, b)
	list := func() []Ref {
		refs, err := s.AllRefs()
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	want := func(want ...Ref) {
		t.Helper()
		got, _ := json.Marshal(list())
		if w, _ := json.Marshal(want); string(got) != string(w) {
			t.Errorf("all: %s, want %s", got, w)
		}
	}
	want(unnamed, a, b)
	for _, r := range []Ref{{Name: a.Name, Digest: a.Digest, Platform: arm64}, {Name: a.Name, Digest: b.Digest, Platform: amd64}, {Name: b.Name, Digest: b.Digest}, {}} {
		if err := s.RemoveRef(ctx, r); err != nil { // none of which is listed so
			t.Error(err)
		}
	}
	want(unnamed, a, b)
	for i, r := range []Ref{b, unnamed, a} {
		if err := s.RemoveRef(ctx, r); err != nil {
			t.Error(err)
		}
		if n := len(list()); n != 2-i {
			t.Errorf("%d left", n)
		}
	}
	if data, _ := os.ReadFile(s.path(layout.Index)); !strings.Contains(string(data), `"odd"`) || !strings.Contains(string(data), `sha256:../x`) {
		t.Errorf("what is not an image went too: %s", data)
	}
}
