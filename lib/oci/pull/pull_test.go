package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	fake "ocipipe/lib/reftest/registry"
)

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

// TestLayerTwice: downloaded once, written once.
func TestLayerTwice(t *testing.T) {
	p := newPuller(t)
	a, b := fake.Layer(1, 3<<20), fake.Layer(2, 1000)
	p.AddImage("r", "v1", a, b, a)
	data := p.want("r:v1")
	if p.twice() > 0 || len(data) > 3<<20+1<<19 {
		t.Errorf("%d bytes twice, archive of %d", p.twice(), len(data))
	}
	img, err := oci.OpenArchive(ctx, io.NopCloser(bytes.NewReader(data)), p.opts.Image) // that of this host
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
