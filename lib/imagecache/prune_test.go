package imagecache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/reftest"
)

func prune(t testing.TB, s *cas.Store, o PruneOptions) Report {
	t.Helper()
	before := list(t, s).Size
	r, err := Prune(ctx, s, o)
	must(t, err)
	if after := list(t, s).Size; r.Size != after || r.Freed != before-after {
		t.Errorf("report has size %d, freed %d; the cache had %d and has %d", r.Size, r.Freed, before, after)
	}
	return r
}

func TestPrune(t *testing.T) {
	s := open(t, t.TempDir())
	addLayer(t, s, 1)
	other := makeFile(t, s, cas.Artifact{Kind: "layers", ABI: "0", Key: diffID(1), Variant: "old", Ext: "erofs"}, "of an old version")
	a := add(t, s, spec{name: "a", layers: []int{1, 2}, fsmeta: true, flat: true, top: true})
	if !slices.Contains(a.files, other) {
		t.Fatal("an artifact of an old version is not of the image")
	}
	b := add(t, s, spec{name: "b", layers: []int{3}, dropped: true})
	strays := []string{addLayer(t, s, 9), makeFile(t, s, artifact("rootfs", digest.FromString("x"), "erofs"), "without a record")}
	strays = append(strays, addFlat(t, s, []digest.Digest{diffID(2), diffID(1)}, "of other layers")...)
	strays = append(strays, addFlat(t, s, nil, "of none")...)
	strays = append(strays, makeFile(t, s, artifact("rootfs", digest.FromString("y"), "json"), "garbage"))
	_, blob := put(t, s, "stray")
	strays = append(strays, blob)
	foreign := filepath.Join(s.Dir(), "rootfs/"+ABI+"/sha256/README")
	must(t, os.WriteFile(foreign, nil, 0o666))

	r := prune(t, s, PruneOptions{})
	var names []string
	for _, f := range r.Files {
		names = append(names, f.Name)
	}
	if slices.Sort(names); !slices.Equal(names, union(strays)) || len(r.Images) != 0 {
		t.Errorf("removed %q, %v; want %q", names, r.Images, strays)
	}
	wantKept(t, s, a.files, b.files, []string{"rootfs/" + ABI + "/sha256/README"})
	if r := prune(t, s, PruneOptions{}); len(r.Files) != 0 || r.Files == nil || r.Images == nil {
		t.Errorf("again: %+v", r)
	}
}

func TestPruneOld(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Unix(2e9, 0)
	old := add(t, s, spec{name: "old", layers: []int{1, 2}, used: now.Add(-time.Hour), fsmeta: true})
	edge := add(t, s, spec{name: "edge", layers: []int{2, 3}, used: now})
	future := add(t, s, spec{name: "future", layers: []int{4}, used: now.Add(1000 * time.Hour)}) // by a wrong clock
	used := add(t, s, spec{name: "used", layers: []int{5}, used: now.Add(-2 * time.Hour), dropped: true})
	u, err := s.Use(ctx, "x", []string{layout.BlobName(used.Digest)})
	must(t, err)
	r := prune(t, s, PruneOptions{Before: now})
	if len(r.Images) != 1 || r.Images[0] != (Removed{"old", old.Digest, "linux/amd64"}) {
		t.Errorf("removed %+v", r.Images)
	}
	wantKept(t, s, edge.files, future.files, used.files)
	u.Release()
	prune(t, s, PruneOptions{Before: now})
	wantKept(t, s, edge.files, future.files)
}

func TestPruneSize(t *testing.T) {
	s := open(t, t.TempDir())
	var all []made
	for i := range 5 {
		addLayer(t, s, 10*i+11)
		all = append(all, add(t, s, spec{name: fmt.Sprint(i), layers: []int{10*i + 11, 1}, used: time.Unix(int64(1000+i), 0)}))
	}
	size := list(t, s).Size
	for _, c := range []struct {
		limit int64
		left  int
	}{{size, 5}, {size - 1, 4}, {sizeOf(t, s, union(all[3].files, all[4].files)...), 2}, {0, 0}} {
		r := prune(t, s, PruneOptions{MaxSize: &c.limit})
		if r.Size > c.limit {
			t.Errorf("limit %d: %d are left", c.limit, r.Size)
		}
		var want []string
		for _, m := range all[5-c.left:] {
			want = append(want, m.files...)
		}
		wantKept(t, s, want)
	}
}

// TestPruneInUse: a limit that cannot be reached, because all that is left is in use.
func TestPruneInUse(t *testing.T) {
	s := open(t, t.TempDir())
	m := add(t, s, spec{name: "a", layers: []int{1, 2}, used: time.Unix(1, 0)})
	layer := layout.BlobName(digest.FromString(layerText(1)))
	_, stray := put(t, s, "stray")
	u, err := s.Use(ctx, "x", []string{layer, stray})
	must(t, err)
	defer u.Release()
	none := int64(0)
	r := prune(t, s, PruneOptions{MaxSize: &none})
	if r.InUse != sizeOf(t, s, layer, stray) || r.Size != r.InUse || len(r.Images) != 1 {
		t.Errorf("%+v", r)
	}
	wantKept(t, s, []string{layer, stray})
	u2, err := s.Use(ctx, "x", []string{layout.BlobName(m.Digest)})
	must(t, err)
	defer u2.Release()
	m = add(t, s, spec{name: "a", layers: []int{1, 2}})
	if r = prune(t, s, PruneOptions{MaxSize: &none, Before: time.Unix(1e10, 0)}); len(r.Images) != 0 {
		t.Errorf("an image in use was removed: %+v", r)
	}
	wantKept(t, s, m.files, []string{stray})
}

func TestRemove(t *testing.T) {
	s := open(t, t.TempDir())
	a := add(t, s, spec{name: "a", layers: []int{1, 2}, fsmeta: true})
	b := add(t, s, spec{name: "b", layers: []int{2, 3}})
	same := a.Ref
	same.Name = "same"
	must(t, s.SetRef(ctx, same, nil))
	_, stray := put(t, s, "stray")
	before := list(t, s)
	find := func(name string) []Image {
		t.Helper()
		found, err := Select(before.Images, name, "")
		must(t, err)
		return found
	}
	r, err := Remove(ctx, s, find("a"))
	if err != nil || len(r.Images) != 1 || len(r.Files) != 0 {
		t.Errorf("one of two names: %+v, %v", r, err)
	}
	wantKept(t, s, a.files, b.files, []string{stray})
	if r, err := Remove(ctx, s, find("a")); err != nil || len(r.Images) != 0 {
		t.Errorf("again: %+v, %v", r, err)
	}
	u, err := s.Use(ctx, "x", []string{layout.BlobName(a.Digest)})
	must(t, err)
	defer u.Release()
	r, err = Remove(ctx, s, find("same"))
	if err != nil || len(r.Images) != 1 || r.Freed == 0 || r.InUse != sizeOf(t, s, layout.BlobName(a.Digest), stray)-sizeOf(t, s, stray) {
		t.Errorf("in use: %+v, %v", r, err)
	}
	wantKept(t, s, b.files, []string{stray, layout.BlobName(a.Digest)})
}

// TestRemoveTwice: a name may list a manifest twice, once with its platform. Both entries go,
// whichever list the images are from.
func TestRemoveTwice(t *testing.T) {
	for name, images := range map[string]func(s *cas.Store) ([]Image, error){
		"List":    func(s *cas.Store) ([]Image, error) { l, err := List(ctx, s); return l.Images, err },
		"Entries": Entries,
	} {
		s := open(t, t.TempDir())
		m := add(t, s, spec{name: "a", layers: []int{1}, top: true})
		entry := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"a"}`, m.MediaType, m.Digest, m.Size)
		must(t, os.WriteFile(filepath.Join(s.Dir(), "index.json"), []byte(`{"schemaVersion":2,"manifests":[`+
			entry+`},`+entry+`,"platform":{"os":"linux","architecture":"amd64"}}]}`), 0o666))
		all, err := images(s)
		must(t, err)
		chosen, err := Select(all, "a", "")
		must(t, err)
		if r, err := Remove(ctx, s, chosen); err != nil || len(r.Images) != 2 || r.Freed == 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if refs, err := s.AllRefs(); err != nil || len(refs) > 0 {
			t.Errorf("%s: %+v is left, %v", name, refs, err)
		}
	}
}

// TestUnreadable: where it is not known what is held, nothing is removed.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(s *cas.Store, m made) error
	}{
		{"index.json", func(s *cas.Store, m made) error {
			return os.WriteFile(filepath.Join(s.Dir(), "index.json"), []byte("["), 0o666)
		}},
		{"refs.json", func(s *cas.Store, m made) error {
			return os.WriteFile(filepath.Join(s.Dir(), "refs.json"), []byte("{"), 0o666)
		}},
		{"index.json is a directory", func(s *cas.Store, m made) error {
			return errors.Join(os.Remove(filepath.Join(s.Dir(), "index.json")), os.Mkdir(filepath.Join(s.Dir(), "index.json"), 0o777))
		}},
	} {
		s := open(t, t.TempDir())
		m := add(t, s, spec{name: "a", layers: []int{1}})
		_, stray := put(t, s, "stray")
		must(t, c.spoil(s, m))
		if r, err := Prune(ctx, s, PruneOptions{}); err == nil || len(r.Files) > 0 {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
		wantKept(t, s, m.files, []string{stray})
	}
	// A damaged manifest is different: the image cannot be used. Others are untouched.
	s := open(t, t.TempDir())
	m, other := add(t, s, spec{name: "a", layers: []int{1, 2}}), add(t, s, spec{name: "b", layers: []int{2, 3}})
	path := filepath.Join(s.Dir(), layout.BlobName(m.Digest))
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	prune(t, s, PruneOptions{})
	wantKept(t, s, other.files, []string{layout.BlobName(m.Digest)})

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Prune(cancelled, s, PruneOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// randomCache fills a cache at random, and returns its images, and the names of files that
// nothing holds.
func randomCache(t testing.TB, s *cas.Store, rnd *rand.Rand) (images []made, strays []string) {
	t.Helper()
	names := []string{"a", "b", "c", "r.io/d:1", "e@sha256:x"}
	for i := range 8 {
		if rnd.IntN(2) == 0 {
			addLayer(t, s, i)
		}
	}
	byName := map[string]made{}
	for range rnd.IntN(7) {
		sp := spec{name: names[rnd.IntN(len(names))], top: rnd.IntN(3) == 0, dropped: rnd.IntN(3) == 0, fsmeta: rnd.IntN(2) == 0, flat: rnd.IntN(2) == 0, used: time.Unix(1000+rnd.Int64N(20), 0)}
		for range 1 + rnd.IntN(4) {
			sp.layers = append(sp.layers, rnd.IntN(8))
		}
		if _, ok := byName[sp.name]; !ok {
			byName[sp.name] = add(t, s, sp)
		}
	}
	for range rnd.IntN(5) {
		_, name := put(t, s, fmt.Sprint("stray ", rnd.IntN(100)))
		strays = append(strays, name)
	}
	return slices.Collect(maps.Values(byName)), strays
}

// TestPruneProperty prunes random caches: what an image or a use holds is untouched, and
// nothing else is left.
func TestPruneProperty(t *testing.T) {
	rounds := 20
	if os.Getenv("SOAK") == "true" {
		rounds = 2000
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 3))
		s := open(t, t.TempDir())
		images, _ := randomCache(t, s, rnd)
		before := content(t, s.Dir())
		// Files may have come after an image that they belong to, so ask what each image holds
		// only now, independent of the code: from its manifest and configuration.
		var used []string
		for _, name := range kept(t, s.Dir()) {
			if rnd.IntN(8) == 0 {
				used = append(used, name)
			}
		}
		u, err := s.Use(ctx, "x", used)
		must(t, err)
		held := used
		for _, m := range images {
			held = append(held, heldBy(before, m)...)
		}
		prune(t, s, PruneOptions{})
		wantKept(t, s, held)
		wantSame(t, before, content(t, s.Dir()))

		limit := rnd.Int64N(list(t, s).Size + 1)
		r := prune(t, s, PruneOptions{MaxSize: &limit})
		wantLimit(t, s, images, used, limit, r)
		wantSame(t, before, content(t, s.Dir()))
		u.Release()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// heldBy returns what m holds of files, by the rules in doc.go.
func heldBy(files map[string]string, m made) (held []string) {
	config := ""
	manifest := files[layout.BlobName(m.Digest)]
	mentions := func(text, hex string) bool { return hex != "" && strings.Contains(text, hex) }
	hexOf := func(name string) string {
		hex, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), "-")
		return hex
	}
	for name, text := range files {
		if strings.HasPrefix(name, "blobs/") && mentions(manifest, filepath.Base(name)) && strings.Contains(text, `"diff_ids"`) {
			config = text
		}
	}
	diffIDs := config[strings.Index(config, `"diff_ids":`):]
	diffIDs = diffIDs[:strings.Index(diffIDs, "]")+1]
	for name := range files {
		hex := hexOf(name)
		switch kind, _, _ := strings.Cut(name, "/"); {
		case kind == "blobs" && (hex == m.Digest.Encoded() || m.Top != "" && hex == m.Top.Encoded() || !m.Dropped && mentions(manifest, hex) || files[name] == config):
			held = append(held, name)
		case (kind == "layers" || kind == "fsmeta" || kind == "vmdk") && (hex == m.Digest.Encoded() || mentions(diffIDs, hex)):
			held = append(held, name)
		case kind == "rootfs" && strings.Contains(files["rootfs/"+ABI+"/sha256/"+hex+".json"], diffIDs):
			held = append(held, name)
		}
	}
	return held
}

// wantSame checks that no file has changed, other than the lists of images.
func wantSame(t testing.TB, before, after map[string]string) {
	t.Helper()
	for name, text := range after {
		if before[name] != text && name != "index.json" && name != "refs.json" {
			t.Errorf("%s has changed", name)
		}
	}
}

// wantLimit checks what a limit has left: it is kept unless all that is left is in use, what
// is listed is complete, and no image has gone before one that was not used for longer.
func wantLimit(t testing.TB, s *cas.Store, all []made, used []string, limit int64, r Report) {
	t.Helper()
	files := content(t, s.Dir())
	refs, err := s.AllRefs()
	must(t, err)
	isListed := func(m made) bool {
		return slices.ContainsFunc(refs, func(r cas.Ref) bool { return r.Name == m.Name && r.Digest == m.Digest })
	}
	isUsed := func(m made) bool { return slices.Contains(used, layout.BlobName(m.Digest)) }
	lastUsed := func(m made) time.Time {
		info, err := os.Stat(filepath.Join(s.Dir(), layout.BlobName(m.Digest)))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	held := slices.Clone(used)
	for _, m := range all {
		if !isListed(m) {
			continue
		}
		if !isUsed(m) && r.Size > limit {
			t.Errorf("%s is left, and %d of at most %d bytes", m.Name, r.Size, limit)
		}
		held = append(held, heldBy(files, m)...)
		for _, n := range m.files {
			if _, ok := files[n]; !ok {
				t.Errorf("%s is listed without %s", m.Name, n)
			}
		}
		for _, gone := range r.Images {
			i := slices.IndexFunc(all, func(x made) bool { return x.Name == gone.Name && x.Digest == gone.Manifest })
			if !isUsed(m) && !isUsed(all[i]) && !lastUsed(all[i]).IsZero() && lastUsed(all[i]).After(lastUsed(m)) {
				t.Errorf("%s went before %s", gone.Name, m.Name)
			}
		}
	}
	wantKept(t, s, held)
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("IMAGECACHE_PRUNE"); dir != "" {
		none := int64(0)
		s, err := cas.Open(ctx, dir, cas.Options{})
		if err == nil {
			_, err = Prune(ctx, s, PruneOptions{MaxSize: &none})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestPruneKilled kills processes while they prune everything. What is listed after that is
// complete, what is in use is there, and the next prune finds nothing in its way.
func TestPruneKilled(t *testing.T) {
	rounds := 6
	if os.Getenv("SOAK") == "true" {
		rounds = 1000
	}
	killed, between := 0, 0
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 4))
		s := open(t, t.TempDir())
		images, _ := randomCache(t, s, rnd)
		for i := range 12 {
			images = append(images, add(t, s, spec{name: fmt.Sprint("more", i), layers: []int{i + 20, i + 21}}))
		}
		u, err := s.Use(ctx, "x", images[0].files)
		must(t, err)
		cmd := reftest.Command(t, os.Args[0])
		cmd.Env = append(os.Environ(), "IMAGECACHE_PRUNE="+s.Dir(), "GORACE=atexit_sleep_ms=0")
		must(t, cmd.Start())
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
			if refs, _ := s.AllRefs(); len(refs) < len(images) { // it has begun
				break
			}
		}
		time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond / 2)
		cmd.Process.Kill()
		if err := cmd.Wait(); err != nil {
			killed++
		}
		refs, err := s.AllRefs()
		must(t, err)
		if list(t, s).Unheld > 0 {
			between++
		}
		files := content(t, s.Dir())
		for _, m := range images {
			isListed := slices.ContainsFunc(refs, func(r cas.Ref) bool { return r.Name == m.Name })
			for _, name := range m.files {
				if _, ok := files[name]; !ok && (isListed || m.Name == images[0].Name) {
					t.Errorf("%s lacks %s", m.Name, name)
				}
			}
		}
		prune(t, s, PruneOptions{})
		u.Release()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if killed == 0 || between == 0 {
		t.Errorf("%d killed, %d of them in the middle", killed, between)
	}
	t.Logf("%d killed, %d of them in the middle", killed, between)
}

// TestPruneWhileBuilding has goroutines that use images, put them into the cache and find
// them there, while others prune.
func TestPruneWhileBuilding(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	stop := time.Now().Add(500 * time.Millisecond)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			s := open(t, dir)
			rnd := rand.New(rand.NewPCG(uint64(g), 5))
			for time.Now().Before(stop) && !t.Failed() {
				buildAndFind(t, s, rnd.IntN(6))
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			s, none := open(t, dir), int64(0)
			for time.Now().Before(stop) {
				if _, err := Prune(ctx, s, PruneOptions{MaxSize: &none}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// buildAndFind puts an image of two layers into s, as a puller does, and looks for it.
func buildAndFind(t *testing.T, s *cas.Store, i int) {
	u, err := s.Use(ctx, "build", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer u.Release()
	var names []string
	store := func(text string) digest.Digest {
		d := digest.FromString(text)
		names = append(names, layout.BlobName(d))
		if err := errors.Join(u.Add(ctx, names[len(names)-1:]), s.Put(ctx, d, []byte(text))); err != nil {
			t.Error(err)
		}
		return d
	}
	a, b := store(layerText(i)), store(layerText(i+1))
	c := store(fmt.Sprintf(`{"rootfs":{"diff_ids":[%q,%q]}}`, diffID(i), diffID(i+1)))
	m := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[{"digest":%q,"size":1},{"digest":%q,"size":1}]}`, c, a, b)
	image := artifact("layers", diffID(i), "erofs")
	names = append(names, image.Name())
	err = errors.Join(u.Add(ctx, names[len(names)-1:]), s.SetRef(ctx, cas.Ref{Name: fmt.Sprint(i), MediaType: manifestType, Digest: store(m), Size: int64(len(m))}, []digest.Digest{a, b, c}))
	if merr := s.Make(ctx, image, func(f *os.File) error { return nil }); merr != cas.ErrExists {
		err = errors.Join(err, merr)
	}
	if err != nil {
		t.Error(err)
	}
	for _, name := range names {
		f, err := s.OpenFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		f.Close()
	}
}

func TestRemoveUnheld(t *testing.T) {
	s := open(t, t.TempDir())
	m := add(t, s, spec{name: "a", layers: []int{1}})
	_, stray := put(t, s, "stray")
	_, other := put(t, s, "other")
	_, used := put(t, s, "used")
	u, err := s.Use(ctx, "x", []string{used})
	must(t, err)
	defer u.Release()
	names := append([]string{stray, used, "index.json", "../x", layout.BlobName(digest.FromString("missing"))}, m.files...)
	r, err := RemoveUnheld(ctx, s, names)
	if err != nil || len(r.Files) != 1 || r.Files[0].Name != stray || r.Freed != sizeOf(t, s, other) {
		t.Errorf("%+v, %v", r, err)
	}
	wantKept(t, s, m.files, []string{other, used})
}

// TestCancelled: a prune that is cancelled in the middle says so.
func TestCancelled(t *testing.T) {
	s := open(t, t.TempDir())
	add(t, s, spec{name: "a", layers: []int{1}})
	put(t, s, "stray")
	stop, cancel := context.WithCancelCause(ctx)
	cause := errors.New("cause")
	r, err := sweep(stop, s, func(g *gardener) error {
		cancel(cause)
		g.removeUnheld()
		return nil
	})
	if err != cause || len(r.Files) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
