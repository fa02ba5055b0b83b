package materialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/reftest"
	fake "ocipipe/lib/reftest/registry"
	"ocipipe/lib/tree"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a registry and a cache.
type bench struct {
	*fake.Server
	t   *testing.T
	dir string // of the cache

	mu     sync.Mutex
	warned []string
	events []Event
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := fake.Start(fake.Config{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return &bench{Server: s, t: t, dir: filepath.Join(t.TempDir(), "cache")}
}

// run materializes ref, in the registry unless it names a file, as a process of its own
// would.
func (b *bench) run(ctx context.Context, ref string, change func(*Options, *cas.Options)) (*Result, error) {
	b.t.Helper()
	var store cas.Options
	o := Options{
		Ref: ref, Target: All, Jobs: 2,
		Pull:     pull.Options{Registry: registry.Options{Timeout: 5 * time.Second, Retries: -1}},
		Warn:     func(s string) { b.mu.Lock(); defer b.mu.Unlock(); b.warned = append(b.warned, s) },
		Progress: func(e Event) { b.mu.Lock(); defer b.mu.Unlock(); b.events = append(b.events, e) },
	}
	if !strings.Contains(ref, ":/") {
		o.Ref = b.Host + "/" + ref
	}
	if change != nil {
		change(&o, &store)
	}
	store.Warn = o.Warn
	var err error
	if o.Pull.Cache == nil {
		o.Pull.Cache, err = cas.Open(ctx, b.dir, store)
		must(b.t, err)
	}
	return Materialize(ctx, o)
}

// mustRun is run without an error or a warning.
func (b *bench) mustRun(ref string, change func(*Options, *cas.Options)) *Result {
	b.t.Helper()
	b.warned, b.events = nil, nil
	r, err := b.run(b.t.Context(), ref, change)
	must(b.t, err)
	if len(b.warned) > 0 {
		b.t.Errorf("warned: %q", b.warned)
	}
	return r
}

// requests is how many requests the registry has seen.
func (b *bench) requests() (n int) {
	for _, k := range b.Stats().Requests {
		n += k
	}
	return n
}

// stack is n layers, of which some change what is below.
func stack(t testing.TB, n int) (layers [][]byte) {
	for i := range n {
		p := ocitest.NewPack()
		p.Add(fmt.Sprintf("d/f%d", i), bytes.Repeat([]byte{byte(i)}, i*3000))
		p.Add("d/same", []byte(fmt.Sprint("of ", i)))
		if i%3 == 2 {
			p.Add(fmt.Sprintf("d/.wh.f%d", i-1), nil)
		}
		layers = append(layers, p.Tar(t))
	}
	return layers
}

// paths are those of all artifacts.
func paths(r *Result) (list []string) {
	for _, l := range r.Layers {
		list = append(list, l.Path)
	}
	if r.Fsmeta != nil {
		list = append(list, r.Fsmeta.Path)
	}
	if r.VMDK != nil {
		list = append(list, r.VMDK.Path)
	}
	if r.Flat != nil {
		list = append(list, r.Flat.Path)
	}
	return list
}

// contents reads all artifacts.
func contents(t testing.TB, r *Result) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range paths(r) {
		b, err := os.ReadFile(p)
		must(t, err)
		rel, err := filepath.Rel(r.Cache, p)
		must(t, err)
		all[rel] = string(b)
	}
	return all
}

// checkClean fails if the cache has temporary files, or locks that somebody holds.
func (b *bench) checkClean() {
	b.t.Helper()
	ents, err := os.ReadDir(filepath.Join(b.dir, "tmp"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	for _, e := range ents {
		b.t.Errorf("tmp has %s", e.Name())
	}
}

func TestHit(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 4)...)
	first := b.mustRun("r:v1", nil)
	if first.Hit || !first.Layers[0].Built || !first.Fsmeta.Built || !first.VMDK.Built || !first.Flat.Built {
		t.Errorf("%+v", first)
	}
	if first.Reference != b.Host+"/r:v1" || first.Manifest.Digest == "" || len(first.Layers) != 4 {
		t.Errorf("%s", first.JSON())
	}
	b.checkClean()
	want := contents(t, first)
	b.Server.Close() // a hit needs no registry
	second := b.mustRun("r:v1", nil)
	if !second.Hit || second.Layers[0].Built || second.Fsmeta.Built || second.VMDK.Built || second.Flat.Built {
		t.Errorf("%s", second.JSON())
	}
	for path, content := range contents(t, second) {
		if want[path] != content {
			t.Errorf("%s changed", path)
		}
	}
	never := b.mustRun("r:v1", func(o *Options, c *cas.Options) { o.Pull.Policy, o.Verify, c.Verify = pull.Never, true, true })
	if !never.Hit {
		t.Errorf("%s", never.JSON())
	}
}

// TestShared shows that images share layers, and that equal layers of one are one image.
func TestShared(t *testing.T) {
	b := newBench(t)
	l := stack(t, 3)
	b.AddImage("r", "v1", l[0], l[1], l[0])
	b.AddImage("r", "v2", l[0], l[2])
	one, two := b.mustRun("r:v1", nil), b.mustRun("r:v2", nil)
	if one.Layers[0].Path != one.Layers[2].Path || one.Layers[0].Path != two.Layers[0].Path || two.Layers[0].Built || !two.Layers[1].Built {
		t.Errorf("%s\n%s", one.JSON(), two.JSON())
	}
	if n := b.Stats().Blobs[one.Layers[0].Digest.String()].Again; n > 0 {
		t.Errorf("%d bytes of the shared layer were fetched again", n)
	}
}

// TestFormsOfCompression shows that compression does not matter: layer images are those of
// the diff-id.
func TestFormsOfCompression(t *testing.T) {
	b := newBench(t)
	layers := stack(t, 3)
	var want map[string]string
	for _, how := range []string{"", "gzip", "zstd"} {
		p := ocitest.NewPack()
		p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: layers, Compression: how}), "x"))
		r := b.mustRun("oci:"+p.Dir(t)+":x", nil)
		if r.Reference != "" || r.Layers[0].Built != (how == "") || r.Flat.Built != (how == "") {
			t.Errorf("%q: %s", how, r.JSON())
		}
		got := contents(t, r)
		for name := range got {
			if strings.HasPrefix(name, "fsmeta") || strings.HasPrefix(name, "vmdk") {
				delete(got, name)
			}
		}
		if want == nil {
			want = got
		}
		if !mapsEqual(want, got) {
			t.Errorf("%q: other bytes", how)
		}
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// TestAs shows that an image from a pipe is found under its name afterwards, without it.
func TestAs(t *testing.T) {
	b := newBench(t)
	data := ocitest.NewPack().DockerSave(t, ocitest.Image{Platform: ocitest.AMD64, Layers: stack(t, 3)}, "x:1").Tar(t)
	r := b.mustRun("docker-archive:-", func(o *Options, _ *cas.Options) {
		o.Ref, o.Pull.As = "docker-archive:-", "example.org/kept:v1"
		o.Pull.Image.OpenFile = func(string) (f io.ReadCloser, err error) { return ocitest.Pipe(data, nil), nil }
	})
	if r.Reference != "example.org/kept:v1" || r.Hit {
		t.Errorf("%s", r.JSON())
	}
	again := b.mustRun("", func(o *Options, _ *cas.Options) { o.Ref, o.Pull.Policy = "example.org/kept:v1", pull.Never })
	if !again.Hit || again.Manifest.Digest != r.Manifest.Digest {
		t.Errorf("%s", again.JSON())
	}
	must(t, os.RemoveAll(filepath.Join(b.dir, "layers"))) // the blobs make them again
	if rebuilt := b.mustRun("", func(o *Options, _ *cas.Options) { o.Ref, o.Pull.Policy = "example.org/kept:v1", pull.Never }); !rebuilt.Layers[0].Built {
		t.Errorf("%s", rebuilt.JSON())
	}
}

// TestDropped shows that an image whose blobs were not kept is a hit all the same, also for
// another target, and that its layers are fetched again where their images are gone.
func TestDropped(t *testing.T) {
	b := newBench(t)
	img := b.AddImage("r", "v1", stack(t, 3)...)
	drop := func(o *Options, _ *cas.Options) { o.DropBlobs, o.Target = true, VMDK }
	r := b.mustRun("r:v1", drop)
	for _, d := range img.Layers {
		if _, err := os.Stat(filepath.Join(b.dir, "blobs", strings.Replace(d, ":", "/", 1))); err == nil {
			t.Errorf("%s is kept", d)
		}
	}
	before := b.requests()
	if again := b.mustRun("r:v1", drop); !again.Hit {
		t.Errorf("%s", again.JSON())
	}
	if flat := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Pull.Policy = pull.Never }); !flat.Flat.Built || flat.Layers[0].Built {
		t.Errorf("%s", flat.JSON())
	}
	if n := b.requests(); n != before {
		t.Errorf("%d requests", n-before)
	}
	must(t, os.Remove(r.Layers[1].Path))
	if again := b.mustRun("r:v1", drop); again.Layers[0].Built || !again.Layers[1].Built {
		t.Errorf("%s", again.JSON())
	}
}

// TestMaxCacheSize shows that images that were not used for long make room, but not the one
// that was just made, nor what it shares.
func TestMaxCacheSize(t *testing.T) {
	b := newBench(t)
	l := stack(t, 4)
	b.AddImage("r", "old", l[0], l[1])
	b.AddImage("r", "middle", l[0], l[2])
	b.AddImage("r", "new", l[0], l[3])
	at := func(hours int) time.Time { return time.Date(2026, 1, 1, hours, 0, 0, 0, time.UTC) }
	old := b.mustRun("r:old", func(o *Options, _ *cas.Options) { o.Pull.Used = at(1) })
	middle := b.mustRun("r:middle", func(o *Options, _ *cas.Options) { o.Pull.Used = at(2) })
	b.mustRun("r:old", func(o *Options, _ *cas.Options) { o.Pull.Used = at(3) })
	r := b.mustRun("r:new", func(o *Options, _ *cas.Options) { o.Pull.Used, o.MaxCacheSize = at(4), 1<<40 })
	for _, p := range slices.Concat(paths(old), paths(middle)) {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	store, err := cas.Open(t.Context(), b.dir, cas.Options{})
	must(t, err)
	list, err := imagecache.List(t.Context(), store)
	must(t, err)
	b.mustRun("r:new", func(o *Options, _ *cas.Options) { o.Pull.Used, o.MaxCacheSize = at(5), list.Size-4096 })
	if _, err := os.Stat(middle.Layers[1].Path); err == nil {
		t.Error("what was not used for the longest time is still there")
	}
	if _, err := os.Stat(old.Layers[1].Path); err != nil {
		t.Error(err)
	}
	b.mustRun("r:new", func(o *Options, _ *cas.Options) { o.Pull.Used, o.MaxCacheSize = at(6), 1 })
	if _, err := os.Stat(old.Layers[1].Path); err == nil {
		t.Error("more than the limit is there")
	}
	for _, p := range paths(r) {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
}

// TestDamaged changes each artifact in several ways: the damage is named, and mended.
func TestDamaged(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	first := b.mustRun("r:v1", nil)
	want := contents(t, first)
	records := []string{strings.TrimSuffix(first.Fsmeta.Path, ".erofs") + ".json", strings.TrimSuffix(first.Flat.Path, ".erofs") + ".json"}
	for _, path := range append(paths(first), records...) {
		good, err := os.ReadFile(path)
		must(t, err)
		middle := slices.Clone(good)
		middle[len(middle)/2] ^= 1
		for what, bad := range map[string][]byte{"empty": {}, "short": good[:len(good)-1], "other": bytes.Repeat([]byte{'x'}, len(good)), "one bit": middle} {
			must(t, os.WriteFile(path, bad, 0o600))
			b.warned = nil
			r, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Verify = what == "one bit" })
			must(t, err)
			if len(b.warned) == 0 || !strings.HasPrefix(b.warned[0], path+": ") {
				t.Errorf("%s, %s: warned %q", path, what, b.warned)
			}
			if !mapsEqual(want, contents(t, r)) || r.Hit {
				t.Errorf("%s, %s: not mended", path, what)
			}
		}
	}
	b.checkClean()
}

// TestDamagedBlob shows that a wrong blob in the cache is fetched again.
func TestDamagedBlob(t *testing.T) {
	b := newBench(t)
	layers := stack(t, 2)
	img := b.AddImage("r", "v1", layers...)
	r := b.mustRun("r:v1", nil)
	want := contents(t, r)
	blob := filepath.Join(b.dir, "blobs", strings.Replace(img.Layers[1], ":", "/", 1))
	good, err := os.ReadFile(blob)
	must(t, err)
	for what, bad := range map[string][]byte{"a bit": append([]byte{good[0] ^ 1}, good[1:]...), "short": good[:len(good)/2], "empty": {}} {
		must(t, os.Remove(r.Layers[1].Path))
		must(t, os.WriteFile(blob, bad, 0o600))
		b.warned = nil
		again, err := b.run(t.Context(), "r:v1", nil)
		must(t, err)
		if len(b.warned) == 0 || !strings.Contains(b.warned[0], img.Layers[1]) {
			t.Errorf("%s: warned %q", what, b.warned)
		}
		if !mapsEqual(want, contents(t, again)) {
			t.Errorf("%s: not mended", what)
		}
		if now, _ := os.ReadFile(blob); !bytes.Equal(now, good) {
			t.Errorf("%s: the blob is %d bytes", what, len(now))
		}
	}
}

// TestFailures shows what is said of layers that cannot be used, and that nothing is left of
// them.
func TestFailures(t *testing.T) {
	b := newBench(t)
	good := stack(t, 2)
	wrong := ocitest.NewPack()
	wrongID := wrong.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: good, DiffIDs: []digest.Digest{digest.FromBytes(good[0]), digest.FromString("x")}})
	wrong.Index(ocitest.Named(wrongID, "x"))
	b.AddImage("r", "cut", good[0], good[1][:700])
	for _, c := range []struct{ ref, says string }{
		{"oci:" + wrong.Dir(t) + ":x", "layer 1: "},
		{"r:cut", "layer 1: "},
		{"r:absent", "unknown"},
	} {
		r, err := b.run(t.Context(), c.ref, nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %+v", c.ref, err, r)
		}
		b.checkClean()
	}
	for _, o := range []Options{{}, {Target: "x"}, {Target: All, Flat: FlatOptions{Format: "xfs"}}, {Target: All, Flat: FlatOptions{Size: 1 << 20}}, {Target: All, Jobs: -1}} {
		if _, err := b.run(t.Context(), "r:cut", func(p *Options, _ *cas.Options) {
			if p.Target, p.Flat, p.Jobs = o.Target, o.Flat, o.Jobs; p.Target == "" {
				p.Ref = ""
			}
		}); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestCancel ends calls at different moments. They return at once, and leave a cache with
// which the next one goes on.
func TestCancel(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 12)...)
	cause := errors.New("enough")
	before := runtime.NumGoroutine()
	for n := 0; ; n++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		seen := 0
		_, err := b.run(ctx, "r:v1", func(o *Options, _ *cas.Options) {
			o.Progress = func(Event) {
				b.mu.Lock()
				defer b.mu.Unlock()
				if seen++; seen == n {
					cancel(cause)
				}
			}
		})
		cancel(nil)
		if err == nil {
			break
		}
		if !errors.Is(err, cause) {
			t.Fatalf("after %d events: %v", n, err)
		}
	}
	b.mustRun("r:v1", nil)
	b.checkClean()
	for range 100 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d now", before, runtime.NumGoroutine())
}

// TestTogether runs several calls at once: each artifact is built once.
func TestTogether(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 8)...)
	results := make([]*Result, 6)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			r, err := b.run(t.Context(), "r:v1", nil)
			if err != nil {
				t.Error(err)
			}
			results[i] = r
		})
	}
	wg.Wait()
	built := map[string]int{}
	for _, r := range results {
		if r == nil {
			return
		}
		for _, l := range r.Layers {
			if l.Built {
				built[l.Path]++
			}
		}
		for _, i := range []*Image{r.Fsmeta, r.Flat} {
			if i.Built {
				built[i.Path]++
			}
		}
	}
	for path, n := range built {
		if n != 1 {
			t.Errorf("%s was built %d times", path, n)
		}
	}
	if len(built) != 10 {
		t.Errorf("built: %v", built)
	}
	b.checkClean()
}

// TestOptions shows that what changes an artifact changes its name, and that times never
// change what images share.
func TestOptions(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 2)...)
	plain := b.mustRun("r:v1", nil)
	epoch := int64(1700000000)
	flats := map[string]bool{plain.Flat.Path: true}
	for i, flat := range []FlatOptions{
		{Epoch: &epoch}, {Mtime: &tree.Time{Sec: 5}}, {Clamp: &tree.Time{Sec: 5}}, {Label: "x"},
		{Format: Ext4}, {Format: Ext4, Size: 64 << 20}, {Format: Ext4, Epoch: &epoch},
	} {
		r := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Flat = flat })
		if flats[r.Flat.Path] || !r.Flat.Built || r.Fsmeta.Path != plain.Fsmeta.Path || r.Fsmeta.Built || r.Layers[1].Built {
			t.Errorf("%d: %s", i, r.JSON())
		}
		flats[r.Flat.Path] = true
	}
	noTable := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.NoDeviceTable = true })
	if noTable.Fsmeta.Path == plain.Fsmeta.Path || noTable.VMDK.Path == plain.VMDK.Path || noTable.Flat.Path != plain.Flat.Path {
		t.Errorf("%s", noTable.JSON())
	}
	if again := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.NoDeviceTable = true }); !again.Hit {
		t.Errorf("%s", again.JSON())
	}
}

// TestTargets shows what each target makes.
func TestTargets(t *testing.T) {
	for target, want := range map[Target]string{Layers: "", Fsmeta: "fsmeta", "": "fsmeta vmdk", VMDK: "fsmeta vmdk", Flat: "flat", All: "fsmeta vmdk flat"} {
		b := newBench(t)
		b.AddImage("r", "v1", stack(t, 2)...)
		upper := filepath.Join(t.TempDir(), "upper.ext4")
		r, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Target, o.Upper = target, &Upper{Path: upper, Size: 64 << 20} })
		must(t, err)
		if (len(b.warned) > 0) != (target == Layers) { // overlayfs cannot express all of them
			t.Errorf("%q: warned %q", target, b.warned)
		}
		var have []string
		if r.Fsmeta != nil {
			have = append(have, "fsmeta")
		}
		if r.VMDK != nil {
			have = append(have, "vmdk")
		}
		if r.Flat != nil {
			have = append(have, "flat")
		}
		if strings.Join(have, " ") != want {
			t.Errorf("%q makes %v", target, have)
		}
		if info, err := os.Stat(upper); err != nil || info.Size() != 64<<20 || r.Upper.Path != upper {
			t.Errorf("%q: upper: %v", target, err)
		}
	}
}

// TestGolden has the bytes of every artifact of an image, under the ABI: where they change,
// the ABI goes up, so that no cache mixes them. Of compressed artifacts, erofs.EncoderVersion
// goes up, or both.
func TestGolden(t *testing.T) {
	b := newBench(t)
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: stack(t, 5)}), "x"))
	lz4 := &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}}
	for _, c := range []Options{{}, {Flat: FlatOptions{Format: Ext4, Size: 32 << 20}}, {Compression: lz4}} {
		r := b.mustRun("oci:"+p.Dir(t)+":x", func(o *Options, _ *cas.Options) { o.Flat, o.Compression = c.Flat, c.Compression })
		for name, content := range contents(t, r) {
			if !strings.Contains(name, "/"+ABI+"/") {
				t.Errorf("%s is not under the ABI", name)
			}
			reftest.Golden(t, name, strings.NewReader(content))
		}
	}
}
