package pull

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
	fake "ocipipe/lib/reftest/registry"
)

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
