package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/platform"
	fake "ocipipe/lib/reftest/registry"
)

// puller pulls from a registry that can misbehave, into a cache.
type puller struct {
	*fake.Server
	t    *testing.T
	dir  string // of the cache; "" is none
	opts Options

	mu     sync.Mutex
	events []Event
	warned []string
}

func newPuller(t *testing.T) *puller {
	t.Helper()
	s, err := fake.Start(fake.Config{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	p := &puller{Server: s, t: t, dir: filepath.Join(t.TempDir(), "cache")}
	p.opts = Options{
		Image:    oci.Options{TmpDir: t.TempDir(), Warn: func(s string) { p.mu.Lock(); defer p.mu.Unlock(); p.warned = append(p.warned, s) }},
		Registry: registry.Options{Timeout: 5 * time.Second},
		Progress: func(e Event) { p.mu.Lock(); defer p.mu.Unlock(); p.events = append(p.events, e) },
	}
	return p
}

// open opens the image ref of the registry, as a process of its own would.
func (p *puller) open(ctx context.Context, ref string, o cas.Options) (*Image, error) {
	p.t.Helper()
	p.events = nil
	opts := p.opts
	if p.dir != "" {
		var err error
		o.Warn = opts.Image.Warn
		opts.Cache, err = cas.Open(ctx, p.dir, o)
		must(p.t, err)
	}
	return Open(ctx, p.Host+"/"+ref, opts)
}

// pull writes the image as an archive.
func (p *puller) pull(ref string, o cas.Options) ([]byte, error) {
	p.t.Helper()
	img, err := p.open(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	var b bytes.Buffer
	if err = oci.WriteArchive(ctx, &b, img.Image); err == nil {
		img.Record(ctx)
	}
	return b.Bytes(), err
}

// want is pull where it must succeed.
func (p *puller) want(ref string) []byte {
	p.t.Helper()
	data, err := p.pull(ref, cas.Options{})
	must(p.t, err)
	return data
}

// twice returns how many bytes of blobs were sent more than once.
func (p *puller) twice() (n int64) {
	for _, v := range p.Stats().Blobs {
		n += v.Again
	}
	return n
}

func (p *puller) requests() (n int) {
	for _, k := range p.Stats().Requests {
		n += k
	}
	return n
}

// layers are some that differ in size: fetched whole, and in ranges.
func layers() [][]byte {
	return [][]byte{fake.Layer(1, 300_000), fake.Layer(2, 5<<20), fake.Layer(3, 100), fake.Layer(4, 2<<20)}
}

// kinds are the events about layer i, in order, with bytes only once.
func (p *puller) kinds(layer int) (list []EventKind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Layer == layer && (len(list) == 0 || list[len(list)-1] != e.Kind) {
			list = append(list, e.Kind)
		}
	}
	return list
}

// TestPull: the same archive, with a cache and without, of one connection and of
// many.
func TestPull(t *testing.T) {
	var first []byte
	for _, c := range []struct {
		name       string
		cache      bool
		jobs, conn int
	}{
		{"cache", true, 0, 0}, {"no cache", false, 0, 0}, {"serial cache", true, 1, 1}, {"serial", false, 1, 1}, {"many", true, 9, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPuller(t)
			img := p.AddImage("r", "v1", layers()...)
			if !c.cache {
				p.dir = ""
			}
			p.opts.Jobs, p.opts.Registry.Connections = c.jobs, c.conn
			got := p.want("r:v1")
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Error("another archive")
			}
			if n := p.twice(); n != 0 {
				t.Errorf("%d bytes were sent twice", n)
			}
			if left, _ := os.ReadDir(p.opts.Image.TmpDir); len(left) > 0 {
				t.Errorf("left in the spool directory: %v", left)
			}
			if c.jobs != 1 || c.cache {
				want := []EventKind{EventQueued, EventStarted, EventBytes, EventDone}
				if k := p.kinds(1); fmt.Sprint(k) != fmt.Sprint(want) && fmt.Sprint(k) != fmt.Sprint([]EventKind{EventQueued, EventStarted, EventDone}) {
					t.Errorf("events %v, want %v", k, want)
				}
			}
			if !c.cache {
				return
			}
			before := p.requests()
			if again := p.want("r:v1"); !bytes.Equal(again, got) || p.requests() != before {
				t.Errorf("from the cache: equal %v, %d requests", bytes.Equal(again, got), p.requests()-before)
			}
			if k := p.kinds(2); fmt.Sprint(k) != fmt.Sprint([]EventKind{EventQueued, EventCached}) {
				t.Errorf("events from the cache: %v", k)
			}
			byDigest := p.want("r@" + img.Manifest)
			if p.requests() != before || len(byDigest) != len(got) {
				t.Error("by digest it is not from the cache")
			}
			layout, err := Open(ctx, "oci:"+p.dir+":"+p.Host+"/r:v1", p.opts)
			must(t, err)
			defer layout.Close()
			if layout.Digest.String() != img.Manifest {
				t.Errorf("as a layout the cache has %s", layout.Digest)
			}
		})
	}
}

// TestPullPolicies: when the registry is asked.
func TestPullPolicies(t *testing.T) {
	p := newPuller(t)
	p.opts.Policy = Never
	_, err := p.pull("r:v1", cas.Options{})
	if absent := (*AbsentError)(nil); !errors.Is(err, oci.ErrNotFound) || temporary(err) || !errors.As(err, &absent) || absent.Cache != p.dir || !strings.HasSuffix(err.Error(), "not found in the cache "+p.dir+": its manifest") {
		t.Errorf("never, nothing there: %v", err)
	}
	all := layers()
	img := p.AddImage("r", "v1", all...)
	p.opts.Policy = IfMissing
	first := p.want("r:v1")

	blob := func(i int) string { return filepath.Join(p.dir, "blobs", strings.Replace(img.Layers[i], ":", "/", 1)) }
	must(t, os.Remove(blob(0)))
	must(t, os.Remove(blob(2)))
	p.Reset()
	p.opts.Policy = Never
	_, err = p.pull("r:v1", cas.Options{})
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(fmt.Sprint(err), "layer 0 "+img.Layers[0]+", layer 2 "+img.Layers[2]) || strings.Contains(err.Error(), img.Layers[1]) {
		t.Errorf("never: %v", err)
	}
	one, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	if err := oci.WriteLayer(ctx, &bytes.Buffer{}, one.Image, "1"); err != nil {
		t.Errorf("a layer that is there: %v", err)
	}
	if err := oci.WriteLayer(ctx, &bytes.Buffer{}, one.Image, "2"); !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "layer 2: ") {
		t.Errorf("a layer that is not: %v", err)
	}
	one.Close()
	if n := p.requests(); n > 0 {
		t.Errorf("never made %d requests", n)
	}

	p.opts.Policy = IfMissing
	if got := p.want("r:v1"); !bytes.Equal(got, first) {
		t.Error("what was missing came back differently")
	}
	st := p.Stats()
	if len(st.Requests) != 2 || st.Requests["GET /v2/r/blobs/"+img.Layers[0]] == 0 || st.Requests["GET /v2/r/blobs/"+img.Layers[2]] == 0 {
		t.Errorf("if-missing asked for %v", st.Requests)
	}

	p.opts.Policy = Always
	p.Reset()
	p.want("r:v1")
	if st := p.Stats(); len(st.Requests) != 1 || st.Requests["HEAD /v2/r/manifests/v1"] != 1 {
		t.Errorf("always, nothing new: %v", st.Requests)
	}
	p.AddImage("r", "v1", append(all, fake.Layer(9, 1000))...)
	p.Reset()
	if got := p.want("r:v1"); bytes.Equal(got, first) || p.twice() > 0 || len(p.Stats().Requests) != 4 {
		t.Errorf("always, a new layer: %v", p.Stats().Requests)
	}
	p.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "HEAD", Status: 405}}})
	p.Reset()
	p.want("r:v1")
	if st := p.Stats(); st.Requests["GET /v2/r/manifests/v1"] != 1 || len(st.Requests) != 2 {
		t.Errorf("always, no HEAD: %v", st.Requests)
	}
	p.opts.Policy = IfMissing
	p.Close()
	p.want("r:v1")

	p.dir, p.opts.Policy = "", Never
	if _, err := p.pull("r:v1", cas.Options{}); err == nil || !strings.Contains(err.Error(), "there is no cache") {
		t.Errorf("never without a cache: %v", err)
	}
}

// TestForceAndVerify: corrupt blobs in the cache.
func TestForceAndVerify(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", layers()...)
	good := p.want("r:v1")
	spoil := func(d string) {
		path := filepath.Join(p.dir, "blobs", strings.Replace(d, ":", "/", 1))
		data, err := os.ReadFile(path)
		must(t, err)
		data[len(data)/2] ^= 1
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, data, 0o444))
	}
	spoil(img.Layers[1])
	if got := p.want("r:v1"); bytes.Equal(got, good) {
		t.Error("nothing was spoilt")
	}
	if got, err := p.pull("r:v1", cas.Options{Verify: true}); err != nil || !bytes.Equal(got, good) || len(p.warned) != 1 {
		t.Errorf("verified: %v, warned %q", err, p.warned)
	}
	if got := p.want("r:v1"); !bytes.Equal(got, good) {
		t.Error("the blob was not replaced")
	}
	for _, d := range []string{img.Manifest, img.Config} { // always verified
		p.warned = nil
		spoil(d)
		if got := p.want("r:v1"); !bytes.Equal(got, good) || len(p.warned) != 1 {
			t.Errorf("%s: equal %v, warned %q", d, bytes.Equal(got, good), p.warned)
		}
	}
	spoil(img.Layers[0])
	p.opts.Policy = Always
	p.Reset()
	if got, err := p.pull("r:v1", cas.Options{Fresh: true}); err != nil || !bytes.Equal(got, good) || p.requests() < 6 {
		t.Errorf("forced: %v, %d requests", err, p.requests())
	}
}

// TestResumeAcrossRuns: a run that ends early leaves what it had, and the next
// one asks for the rest.
func TestResumeAcrossRuns(t *testing.T) {
	p := newPuller(t)
	p.opts.Registry.Retries, p.opts.Registry.Connections = -1, 3
	p.AddImage("r", "v1", fake.Layer(1, 9<<20), fake.Layer(2, 7<<20))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Break: "close", At: 700_000}}})
	runs := 0
	var got []byte
	for err := errors.New("not yet"); err != nil; runs++ {
		if runs == 60 {
			t.Fatal(err)
		}
		if got, err = p.pull("r:v1", cas.Options{}); err != nil && !temporary(err) {
			t.Fatal(err)
		}
	}
	if n := p.twice(); n > 12<<20 || runs < 3 { // what was on its way when a run ended
		t.Errorf("%d runs, %d bytes were sent twice", runs, n)
	}
	p.dir, p.opts.Registry.Retries = "", 0
	p.Behave(fake.Behaviour{})
	if !bytes.Equal(got, p.want("r:v1")) {
		t.Error("another archive")
	}
}

// TestCorruptDownload: bytes that are not the right ones are an error, at once,
// and are not kept.
func TestCorruptDownload(t *testing.T) {
	for _, rule := range []fake.Rule{{Flip: 3 << 20}, {Range: "lie"}} {
		for _, serial := range []bool{false, true} {
			p := newPuller(t)
			img := p.AddImage("r", "v1", fake.Layer(1, 1000), fake.Layer(2, 8<<20))
			rule.Match = "/blobs/" + img.Layers[1]
			p.Behave(fake.Behaviour{Rules: []fake.Rule{rule}})
			if serial {
				p.dir, p.opts.Jobs, p.opts.Registry.Connections = "", 1, 1
				if rule.Range != "" {
					continue // nobody asks for one
				}
			}
			_, err := p.pull("r:v1", cas.Options{})
			if !errors.Is(err, oci.ErrCorrupt) || temporary(err) || !strings.Contains(err.Error(), "layer 1: ") || !strings.Contains(err.Error(), img.Layers[1]) {
				t.Errorf("%+v: %v (temporary %v)", rule, err, temporary(err))
			}
			if p.twice() > 0 && rule.Range == "" {
				t.Errorf("%+v: it was tried again", rule)
			}
			if _, err := os.Stat(filepath.Join(p.dir, "tmp")); err == nil {
				if left, _ := filepath.Glob(p.dir + "/tmp/*.part"); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		}
	}
}

// TestLayerTwice: downloaded once, written once.
func TestLayerTwice(t *testing.T) {
	p := newPuller(t)
	a, b := fake.Layer(1, 3<<20), fake.Layer(2, 1000)
	p.AddImage("r", "v1", a, b, a)
	data := p.want("r:v1")
	if p.twice() > 0 || len(data) > 3<<20+1<<19 {
		t.Errorf("%d bytes twice, archive of %d", p.twice(), len(data))
	}
	img, err := oci.OpenArchive(ctx, io.NopCloser(bytes.NewReader(data)), linux.Image)
	must(t, err)
	defer img.Close()
	if len(img.Layers) != 3 {
		t.Fatalf("%d layers", len(img.Layers))
	}
	for i, want := range [][]byte{a, b, a} {
		if data, err := ocitest.Content(img.Layers[i].Open); err != nil || !bytes.Equal(data, want) {
			t.Errorf("layer %d: %d bytes, %v", i, len(data), err)
		}
	}
}

// TestFirstFailureEndsAll: if one layer of an image fails the others are not fetched, and
// the error is the cause.
func TestFirstFailureEndsAll(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", fake.Layer(1, 4<<20), fake.Layer(2, 1000))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{
		{Match: "/blobs/" + img.Layers[0], Piece: 100_000, Pause: fake.Duration(time.Second)},
		{Match: "/blobs/" + img.Layers[1], Status: 404, Code: "BLOB_UNKNOWN", Message: "gone"},
	}})
	_, err := p.pull("r:v1", cas.Options{})
	if !errors.Is(err, oci.ErrNotFound) || err.Error() != "layer 1: registry: BLOB_UNKNOWN: gone (HTTP 404)" {
		t.Error(err)
	}
	if served := p.Stats().Blobs[img.Layers[0]]; served.Size > 0 && served.Unique >= served.Size { // it may not have begun
		t.Errorf("all %d bytes of the other layer were fetched", served.Size)
	}
	if k := p.kinds(1); k[len(k)-1] != EventFailed {
		t.Errorf("events %v", k)
	}
}

// TestRetriesAreTold: an event for each attempt.
func TestRetriesAreTold(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", fake.Layer(1, 1000))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{
		{Match: "/manifests/", Times: 1, Status: 503, RetryAfter: "1"}, {Match: "/blobs/" + img.Layers[0], Times: 1, Break: "reset", At: 500}}})
	p.want("r:v1")
	for _, e := range p.events {
		if e.Kind == EventRetry && (e.Attempt != 1 || e.Wait <= 0 || e.Err == nil) {
			t.Errorf("%+v", e)
		}
	}
	k := p.kinds(0)
	if !slices.Contains(k, EventRetry) || k[0] != EventQueued || k[1] != EventStarted || k[len(k)-1] != EventDone {
		t.Errorf("events %v", k)
	}
	if !slices.ContainsFunc(p.events, func(e Event) bool { return e.Kind == EventRetry && e.Layer == -1 }) {
		t.Error("nothing was said of the manifest")
	}
}

// TestUnwritableCache: the pull goes on without it.
func TestUnwritableCache(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to mount")
	}
	p := newPuller(t)
	p.AddImage("r", "v1", fake.Layer(1, 3<<20), fake.Layer(2, 3<<20), fake.Layer(3, 1000))
	p.dir = ""
	want := p.want("r:v1")
	mount := func(size string) string {
		dir := t.TempDir()
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return dir
	}
	for _, c := range []struct {
		name, cache, tmp string
		warns            int
	}{
		{"full", "4m", "", 1},
		{"full, and the spool too", "4m", "2m", 1},
		{"tiny", "8k", "", 1},
	} {
		p.dir, p.warned = mount(c.cache)+"/cache", nil
		if c.tmp != "" {
			p.opts.Image.TmpDir = mount(c.tmp)
		}
		got, err := p.pull("r:v1", cas.Options{})
		if err != nil || !bytes.Equal(got, want) || len(p.warned) != c.warns {
			t.Errorf("%s: %v, equal %v, warned %q", c.name, err, bytes.Equal(got, want), p.warned)
		}
	}
	p.dir, p.opts.Image.TmpDir, p.warned = "", mount("2m"), nil
	if got, err := p.pull("r:v1", cas.Options{}); err != nil || !bytes.Equal(got, want) || len(p.warned) != 1 ||
		!strings.Contains(p.warned[0], "no space left on device: layers come one after the other") || strings.Contains(p.warned[0], "cache") {
		t.Errorf("no cache, and the spool is full: %v, warned %q", err, p.warned)
	}
	// all of it serves, nothing is written, and nothing is said
	p.dir, p.warned, p.opts.Image.TmpDir = mount("20m"), nil, t.TempDir()
	p.want("r:v1")
	must(t, unix.Mount("", p.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	p.Reset()
	if got := p.want("r:v1"); !bytes.Equal(got, want) || p.requests() > 0 {
		t.Errorf("read only: %d requests", p.requests())
	}
	p.AddImage("r", "v2", fake.Layer(1, 3<<20), fake.Layer(7, 2<<20))
	if got := p.want("r:v2"); len(got) < 5<<20 || len(p.warned) > 0 {
		t.Errorf("read only, something new: %d bytes, warned %q", len(got), p.warned)
	}
}

// TestConcurrentPulls: many at once, into one cache, fetch each blob once.
func TestConcurrentPulls(t *testing.T) {
	p := newPuller(t)
	p.opts.Progress = nil
	p.AddImage("r", "v1", layers()...)
	p.Behave(fake.Behaviour{Latency: fake.Duration(5 * time.Millisecond)})
	results := make(chan []byte)
	for range 6 {
		go func() {
			opts := p.opts
			var err error
			opts.Cache, err = cas.Open(ctx, p.dir, cas.Options{})
			if err != nil {
				t.Error(err)
			}
			img, err := Open(ctx, p.Host+"/r:v1", opts)
			if err != nil {
				t.Error(err)
				results <- nil
				return
			}
			defer img.Close()
			var b bytes.Buffer
			if err := oci.WriteArchive(ctx, &b, img.Image); err != nil {
				t.Error(err)
			}
			results <- b.Bytes()
		}()
	}
	first := <-results
	for range 5 {
		if !bytes.Equal(<-results, first) {
			t.Error("archives differ")
		}
	}
	for d, v := range p.Stats().Blobs {
		if v.Again > 0 && v.Size > 2000 { // manifests are asked for by tag
			t.Errorf("%s: %d bytes came twice", d, v.Again)
		}
	}
}

// TestEmbedded: blobs that lie in their descriptors.
func TestEmbedded(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		p := newPuller(t)
		layer := ocitest.Layer(t, "a", "content")
		conf := ocitest.Config(ocitest.AMD64, []digest.Digest{digest.FromBytes(layer)})
		embed := func(m types.MediaType, data []byte) manifest.Descriptor {
			return manifest.Descriptor{MediaType: m, Digest: digest.FromBytes(data), Size: int64(len(data)), Data: data}
		}
		c := embed(types.OCIConfigJSON, conf)
		m := manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &c, Layers: []manifest.Descriptor{embed(types.OCIUncompressedLayer, layer)}}
		if wrong {
			m.Layers[0].Data = bytes.Repeat([]byte{1}, len(layer))
		}
		d := embed(types.OCIManifestSchema1, manifest.Encode(m))
		d.Platform = &ocitest.AMD64
		index := manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{d}})
		p.Tag("r", "v1", p.AddBlob(index))
		p.opts.Image.Platform = "linux/amd64"
		_, err := p.pull("r:v1", cas.Options{})
		if wrong && (!errors.Is(err, oci.ErrCorrupt) || !strings.Contains(err.Error(), "layer 0: ")) || !wrong && err != nil {
			t.Errorf("wrong %v: %v", wrong, err)
		}
		if n := p.requests(); n > 2 { // one of them by TLS
			t.Errorf("%d requests", n)
		}
		if !wrong {
			p.Close()
			p.want("r:v1")
		}
	}
}

// TestForeignLayerFromRegistry: a foreign layer is fetched only if that is allowed.
func TestForeignLayerFromRegistry(t *testing.T) {
	p := newPuller(t)
	layer := ocitest.Layer(t, "a", "content")
	elsewhere := p.AddBlob(layer)
	conf := ocitest.Config(ocitest.AMD64, []digest.Digest{digest.FromBytes(layer)})
	c := manifest.Descriptor{MediaType: types.OCIConfigJSON, Digest: digest.Digest(p.AddBlob(conf)), Size: int64(len(conf))}
	// The blob is there under another name only.
	d := manifest.Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest: digest.SHA512.FromBytes(layer), Size: int64(len(layer)),
		URLs: []string{"http://" + p.Host + "/v2/r/blobs/" + elsewhere}}
	m := manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &c, Layers: []manifest.Descriptor{d}})
	p.Tag("r", "v1", p.AddBlob(m))
	_, err := p.pull("r:v1", cas.Options{})
	if foreign := (*oci.ForeignError)(nil); !errors.As(err, &foreign) || !errors.Is(err, oci.ErrUnsupported) || temporary(err) || !strings.Contains(err.Error(), "layer 0: ") || foreign.URL != d.URLs[0] {
		t.Errorf("without leave: %v", err)
	}
	p.opts.AllowForeign = true
	p.want("r:v1")
}

// TestSizes: a negative size is refused, and not taken for "unknown".
func TestSizes(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", fake.Layer(1, 10))
	d := manifest.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest.Digest(img.Manifest), Size: -1, Platform: &ocitest.AMD64}
	p.Tag("r", "v2", p.AddBlob(manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{d}})))
	if _, err := p.pull("r:v2", cas.Options{}); !errors.Is(err, oci.ErrCorrupt) || !strings.Contains(err.Error(), "size -1") {
		t.Errorf("%v", err)
	}
}

// TestIndexInCache: the platform is chosen again, from the cached index.
func TestIndexInCache(t *testing.T) {
	p := newPuller(t)
	var list []manifest.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		layer := ocitest.Layer(t, arch, "content")
		conf := ocitest.Config(platform.Platform{OS: "linux", Architecture: arch}, []digest.Digest{digest.FromBytes(layer)})
		c := manifest.Descriptor{MediaType: types.OCIConfigJSON, Digest: digest.Digest(p.AddBlob(conf)), Size: int64(len(conf))}
		l := manifest.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: digest.Digest(p.AddBlob(layer)), Size: int64(len(layer))}
		m := manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &c, Layers: []manifest.Descriptor{l}})
		list = append(list, manifest.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest.Digest(p.AddBlob(m)), Size: int64(len(m)),
			Platform: &platform.Platform{OS: "linux", Architecture: arch}})
	}
	index := p.AddBlob(manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list}))
	p.Tag("r", "v1", index)
	pulled := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		p.opts.Image.Platform = "linux/" + arch
		pulled[arch] = p.want("r:v1")
	}
	if p.Stats().Requests["GET /v2/r/manifests/v1"] > 2 { // one of them by TLS
		t.Errorf("the index was fetched again: %v", p.Stats().Requests)
	}
	p.Close()
	for arch, want := range pulled {
		p.opts.Image.Platform = "linux/" + arch
		if got := p.want("r:v1"); !bytes.Equal(got, want) {
			t.Errorf("%s differs", arch)
		}
	}
	s, err := cas.Open(ctx, p.dir, cas.Options{})
	must(t, err)
	refs, err := s.Refs(p.Host + "/r:v1")
	if err != nil || len(refs) != 2 || refs[0].Top.String() != index || refs[0].Platform == nil {
		t.Errorf("%+v, %v", refs, err)
	}
}

// TestReferenceError: a layout that has the name of an image, and names that are wrong.
func TestReferenceError(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	must(t, os.MkdirAll("img", 0o777))
	must(t, os.WriteFile("img/index.json", nil, 0o666))
	must(t, os.WriteFile("img.tar", nil, 0o666))
	opts := linux
	opts.Policy = Never
	digest := "@sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]ReferenceError{
		"img:v1":              {File: "oci:img:v1"},
		"img":                 {File: "oci:img", DefaultTag: "latest"},
		"img.tar":             {File: "oci-archive:img.tar", DefaultTag: "latest"},
		"./img.tar":           {File: "oci-archive:./img.tar"},
		"other":               {DefaultTag: "latest"},
		"other:latest":        {},
		"Other:V1":            {Lower: "other:V1"},
		"host:1/A/b" + digest: {Lower: "host:1/a/b" + digest},
		"https://host/A:v1":   {Lower: "host/a:v1"},
		"Other:v 1":           {},
		"IMG:v1":              {Lower: "img:v1"},
	} {
		_, err := Open(ctx, ref, opts)
		got := &ReferenceError{}
		errors.As(err, &got)
		if err == nil || got.File != want.File || got.Lower != want.Lower || got.DefaultTag != want.DefaultTag {
			t.Errorf("%s: %v, %+v, want %+v", ref, err, got, want)
		}
	}
}

// TestDownloadsOutliveOpen: the context of Open does not end the downloads of the image.
func TestDownloadsOutliveOpen(t *testing.T) {
	p := newPuller(t)
	layer := fake.Layer(1, 4<<20)
	p.AddImage("r", "v1", layer)
	opening, cancel := context.WithCancel(ctx)
	img, err := p.open(opening, "r:v1", cas.Options{})
	cancel()
	must(t, err)
	defer img.Close()
	must(t, img.Prefetch())
	if data, err := ocitest.Content(img.Layers[0].Open); err != nil || !bytes.Equal(data, layer) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	img.Record(ctx)
	must(t, img.Close())
	must(t, img.Close())
	p.Server.Close()
	p.opts.Policy = Never
	p.want("r:v1")
}

// TestCloseEndsDownloads: nothing goes on after an image was closed.
func TestCloseEndsDownloads(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", fake.Layer(1, 4<<20), fake.Layer(2, 4<<20))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Skip: 1, Break: "stall", At: 100}}})
	img, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	must(t, img.Prefetch())
	r, err := img.Layers[0].Open(ctx)
	must(t, err)
	closed := make(chan error)
	time.AfterFunc(100*time.Millisecond, func() { closed <- img.Close() })
	if _, err := r.Read(make([]byte, 1<<20)); err == nil {
		_, err = r.Read(make([]byte, 1<<20))
	}
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(2 * time.Minute):
		t.Fatal("not closed")
	}
	for i := 0; p.Stats().Running > 0; i++ { // the server learns of it a moment later
		if i == 600 {
			t.Fatalf("%d requests still run", p.Stats().Running)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestOpenEndsWithItsContext: a reader that finds its part at an end before the download
// is waits no longer than it may.
func TestOpenEndsWithItsContext(t *testing.T) {
	part, err := cas.Spool(t.TempDir(), digest.FromString("x"), 1)
	must(t, err)
	must(t, part.Close())
	d := &download{ready: make(chan struct{}), ended: make(chan struct{}), part: part, kind: sourcePart}
	close(d.ready)
	waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		_, err := d.open(waiting)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
	}
}
