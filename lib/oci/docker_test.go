package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// skopeoSave makes what skopeo and podman save: layers and configuration by
// digest, and for old docker a directory of links.
func (p *pack) skopeoSave(t testing.TB, ti testImage, suffix string, tags ...string) *pack {
	t.Helper()
	di := dockerImage{RepoTags: tags}
	var diffIDs []digest.Digest
	for _, data := range ti.layers {
		d := digest.FromBytes(data)
		diffIDs = append(diffIDs, d)
		name := d.Encoded() + suffix
		if _, ok := p.files[name]; !ok {
			p.add(name, compressed(t, ti.compress, data))
			p.link(digest.FromString(name).Encoded()+"/layer.tar", "../"+name)
		}
		di.Layers = append(di.Layers, name)
	}
	conf := config(ti.plat, diffIDs)
	di.Config = digest.FromBytes(conf).Encoded() + ".json"
	p.add(di.Config, conf)
	p.add(dockerName, mustJSON([]dockerImage{di}))
	return p
}

func TestDockerArchives(t *testing.T) {
	plain := simple(t)
	plain.compress = ""
	var same digest.Digest
	for _, compress := range []string{"", "gzip", "zstd"} {
		ti := simple(t)
		ti.compress = compress
		first := newPack()
		first.add(dockerName, nil)
		whole := newPack().skopeoSave(t, ti, ".tar", "a/b:c")
		for _, n := range append([]string{dockerName}, whole.names...) {
			if whole.links[n] == "" {
				first.add(n, whole.files[n])
			}
		}
		for name, p := range map[string]*pack{
			"docker 24":      newPack().dockerSave(t, ti, "a/b:c"),
			"skopeo":         whole,
			"crane":          newPack().skopeoSave(t, ti, ".tar.gz", "a/b:c"),
			"manifest first": first,
		} {
			t.Run(name+" "+compress, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "a")
				must(t, os.WriteFile(file, p.tar(t), 0o666))
				for _, open := range []func() (*Image, error){
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file, linux) },
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file+":a/b:c", linux) },
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file+":c", linux) },
					func() (*Image, error) { return OpenArchive(ctx, pipe(p.tar(t), nil), linux) },
					func() (*Image, error) { return OpenArchive(ctx, pipe(compressed(t, "gzip", p.tar(t)), nil), linux) },
				} {
					img, err := open()
					must(t, err)
					plain.check(t, img) // uncompressed, whatever the archive has
					if same == "" {
						same = img.Digest
					}
					if img.Digest != same || img.Tag != "c" || img.MediaType != string(types.OCIManifestSchema1) {
						t.Errorf("manifest %s, want %s; tag %q", img.Digest, same, img.Tag)
					}
					canonical(t, img)
					must(t, img.Close())
				}
			})
		}
	}
}

// canonical sees that the manifest we make says what the image has.
func canonical(t *testing.T, img *Image) {
	t.Helper()
	var m document
	must(t, json.Unmarshal(img.Manifest, &m))
	if m.SchemaVersion != 2 || m.MediaType != types.OCIManifestSchema1 || m.Config.Digest != img.ConfigDigest ||
		m.Config.Size != int64(len(img.Config)) || len(m.Layers) != len(img.Layers) {
		t.Errorf("manifest %s", img.Manifest)
	}
	for i, l := range img.Layers {
		if m.Layers[i].Digest != l.DiffID || m.Layers[i].Size != l.Size || m.Layers[i].MediaType != types.OCIUncompressedLayer {
			t.Errorf("layer %d: %+v", i, m.Layers[i])
		}
	}
}

func TestDockerNoLayers(t *testing.T) {
	ti := testImage{plat: amd64}
	img, err := OpenArchive(ctx, pipe(newPack().dockerSave(t, ti).tar(t), nil), linux)
	must(t, err)
	ti.check(t, img)
	if !bytes.Contains(img.Manifest, []byte(`"layers":[]`)) {
		t.Errorf("manifest %s", img.Manifest)
	}
}

func TestDockerSeveral(t *testing.T) {
	one, two := simple(t), simple(t)
	two.layers = two.layers[:2]
	p := newPack().dockerSave(t, one, "one:latest", "one:1").dockerSave(t, two, "localhost:5000/two:latest")
	file := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(file, p.tar(t), 0o666))
	for sel, want := range map[string]int{":one:latest": 3, ":one:1": 3, ":docker.io/library/one:1": 3, ":localhost:5000/two:latest": 2, ":1": 3} {
		img, err := Open(ctx, "docker-archive:"+file+sel, linux)
		must(t, err)
		if len(img.Layers) != want {
			t.Errorf("%s: %d layers", sel, len(img.Layers))
		}
	}
	for sel, want := range map[string]error{"": ErrUnsupported, ":three": ErrNotFound, ":latest": ErrUnsupported} {
		_, err := Open(ctx, "docker-archive:"+file+sel, linux)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "available: localhost:5000/two:latest, one:1, one:latest") {
			t.Errorf("%q: %v", sel, err)
		}
	}
}

// TestDockerHybrid is what docker 25 and newer save: an OCI layout, its index
// last, and manifest.json that names the same blobs.
func TestDockerHybrid(t *testing.T) {
	ti := simple(t)
	ti.compress = ""
	p := newPack()
	d := p.image(t, ti)
	d.Annotations = map[string]string{annotationFullName: "docker.io/library/x:1", annotationRefName: "1"}
	p.add(dockerName, mustJSON([]dockerImage{{Config: "blobs/sha256/x", RepoTags: []string{"x:1"}}}))
	p.index(d)
	file := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(file, p.tar(t), 0o666))
	for _, ref := range []string{"docker-archive:" + file, "docker-archive:" + file + ":x:1", "oci-archive:" + file + ":1"} {
		img, err := Open(ctx, ref, linux)
		must(t, err)
		ti.check(t, img)
		if img.Digest != d.Digest {
			t.Errorf("%s: %s", ref, img.Digest)
		}
	}
}

func TestDockerRefuse(t *testing.T) {
	ti := simple(t)
	for _, c := range []struct {
		name  string
		want  error
		says  string
		opts  Options
		spoil func(p *pack, di *dockerImage)
	}{
		{"layer count", ErrCorrupt, "2 layers, the configuration 3 diff_ids", linux, func(_ *pack, di *dockerImage) { di.Layers = di.Layers[:2] }},
		{"no layer", ErrNotFound, "layer 1", linux, func(_ *pack, di *dockerImage) { di.Layers[1] = "x" }},
		{"no config", ErrNotFound, "configuration", linux, func(_ *pack, di *dockerImage) { di.Config = "../../../etc/passwd" }},
		{"bad config", ErrCorrupt, "configuration", linux, func(p *pack, di *dockerImage) { p.files[di.Config] = []byte("x") }},
		{"bad diff-id", ErrCorrupt, "layer 2", linux, func(p *pack, di *dockerImage) {
			id := digest.FromBytes(ti.layers[0])
			p.files[di.Config] = config(amd64, []digest.Digest{id, id, "sha256:../../x"})
		}},
		{"bad gzip", ErrCorrupt, "layer 0", linux, func(p *pack, di *dockerImage) { p.files[di.Layers[0]][15] ^= 0xff }},
		{"cut gzip", ErrCorrupt, "layer 0", linux, func(p *pack, di *dockerImage) { p.files[di.Layers[0]] = p.files[di.Layers[0]][:40] }},
		{"bomb", ErrUnsupported, "--max-layer", Options{MaxLayer: 1000}, func(*pack, *dockerImage) {}},
		{"large config", ErrUnsupported, "--max-metadata", Options{MaxMetadata: 330}, func(*pack, *dockerImage) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPack().skopeoSave(t, ti, ".tar", "x:y")
			var list []dockerImage
			must(t, json.Unmarshal(p.files[dockerName], &list))
			for _, n := range list[0].Layers {
				p.files[n] = bytes.Clone(p.files[n])
			}
			c.spoil(p, &list[0])
			p.files[dockerName] = mustJSON(list)
			_, err := OpenArchive(ctx, pipe(p.tar(t), nil), c.opts)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("no images", func(t *testing.T) {
		p := newPack()
		p.add(dockerName, []byte("[]"))
		if _, err := OpenArchive(ctx, pipe(p.tar(t), nil), linux); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("wrong layer", func(t *testing.T) {
		p := newPack().skopeoSave(t, ti, ".tar", "x:y")
		for n := range p.files {
			if strings.HasSuffix(n, ".tar") {
				p.files[n] = layerTar(t, "other", "content")
			}
		}
		img, err := OpenArchive(ctx, pipe(p.tar(t), nil), linux)
		must(t, err)
		if _, err := contents(img); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "layer 0") {
			t.Error(err)
		}
	})
}
