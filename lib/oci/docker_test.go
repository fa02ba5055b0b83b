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

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
)

// skopeoSave makes what skopeo and podman save: layers and configuration by
// digest, and for old docker a directory of links.
func skopeoSave(p *ocitest.Pack, t testing.TB, ti ocitest.Image, suffix string, tags ...string) *ocitest.Pack {
	t.Helper()
	di := manifest.DockerImage{RepoTags: tags}
	var diffIDs []digest.Digest
	for _, data := range ti.Layers {
		d := digest.FromBytes(data)
		diffIDs = append(diffIDs, d)
		name := d.Encoded() + suffix
		if _, ok := p.Files[name]; !ok {
			p.Add(name, ocitest.Compress(t, ti.Compression, data))
			p.Link(digest.FromString(name).Encoded()+"/layer.tar", "../"+name)
		}
		di.Layers = append(di.Layers, name)
	}
	conf := ocitest.Config(ti.Platform, diffIDs)
	di.Config = digest.FromBytes(conf).Encoded() + ".json"
	p.Add(di.Config, conf)
	p.Add(manifest.DockerList, manifest.Encode([]manifest.DockerImage{di}))
	return p
}

func TestDockerArchives(t *testing.T) {
	plain := ocitest.Simple(t)
	plain.Compression = ""
	var same digest.Digest
	for _, compress := range []string{"", "gzip", "zstd"} {
		ti := ocitest.Simple(t)
		ti.Compression = compress
		first := ocitest.NewPack()
		first.Add(manifest.DockerList, nil)
		whole := skopeoSave(ocitest.NewPack(), t, ti, ".tar", "a/b:c")
		for _, n := range append([]string{manifest.DockerList}, whole.Names...) {
			if whole.Links[n] == "" {
				first.Add(n, whole.Files[n])
			}
		}
		for name, p := range map[string]*ocitest.Pack{
			"docker 24":      ocitest.NewPack().DockerSave(t, ti, "a/b:c"),
			"skopeo":         whole,
			"crane":          skopeoSave(ocitest.NewPack(), t, ti, ".tar.gz", "a/b:c"),
			"manifest first": first,
		} {
			t.Run(name+" "+compress, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "a")
				must(t, os.WriteFile(file, p.Tar(t), 0o666))
				for _, open := range []func() (*Image, error){
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file, linux) },
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file+":a/b:c", linux) },
					func() (*Image, error) { return Open(ctx, "docker-archive:"+file+":c", linux) },
					func() (*Image, error) { return OpenArchive(ctx, ocitest.Pipe(p.Tar(t), nil), linux) },
					func() (*Image, error) {
						return OpenArchive(ctx, ocitest.Pipe(ocitest.Compress(t, "gzip", p.Tar(t)), nil), linux)
					},
				} {
					img, err := open()
					must(t, err)
					check(t, plain, img) // uncompressed, whatever the archive has
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
	var m manifest.Document
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
	ti := ocitest.Image{Platform: ocitest.AMD64}
	img, err := OpenArchive(ctx, ocitest.Pipe(ocitest.NewPack().DockerSave(t, ti).Tar(t), nil), linux)
	must(t, err)
	check(t, ti, img)
	if !bytes.Contains(img.Manifest, []byte(`"layers":[]`)) {
		t.Errorf("manifest %s", img.Manifest)
	}
}

func TestDockerSeveral(t *testing.T) {
	one, two := ocitest.Simple(t), ocitest.Simple(t)
	two.Layers = two.Layers[:2]
	p := ocitest.NewPack().DockerSave(t, one, "one:latest", "one:1").DockerSave(t, two, "localhost:5000/two:latest")
	file := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(file, p.Tar(t), 0o666))
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

// TestDockerHybrid reads what docker 25 and newer save: an OCI layout with its index last,
// and a manifest.json that names the same blobs.
func TestDockerHybrid(t *testing.T) {
	ti := ocitest.Simple(t)
	ti.Compression = ""
	p := ocitest.NewPack()
	d := p.Image(t, ti)
	d.Annotations = map[string]string{manifest.FullName: "docker.io/library/x:1", manifest.RefName: "1"}
	p.Add(manifest.DockerList, manifest.Encode([]manifest.DockerImage{{Config: "blobs/sha256/x", RepoTags: []string{"x:1"}}}))
	p.Index(d)
	file := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(file, p.Tar(t), 0o666))
	for _, ref := range []string{"docker-archive:" + file, "docker-archive:" + file + ":x:1", "oci-archive:" + file + ":1"} {
		img, err := Open(ctx, ref, linux)
		must(t, err)
		check(t, ti, img)
		if img.Digest != d.Digest {
			t.Errorf("%s: %s", ref, img.Digest)
		}
	}
}

func TestDockerRefuse(t *testing.T) {
	ti := ocitest.Simple(t)
	for _, c := range []struct {
		name  string
		want  error
		says  string
		opts  Options
		spoil func(p *ocitest.Pack, di *manifest.DockerImage)
	}{
		{"layer count", ErrCorrupt, "2 layers, the configuration 3 diff_ids", linux, func(_ *ocitest.Pack, di *manifest.DockerImage) { di.Layers = di.Layers[:2] }},
		{"no layer", ErrNotFound, "layer 1", linux, func(_ *ocitest.Pack, di *manifest.DockerImage) { di.Layers[1] = "x" }},
		{"no config", ErrNotFound, "configuration", linux, func(_ *ocitest.Pack, di *manifest.DockerImage) { di.Config = "../../../etc/passwd" }},
		{"bad config", ErrCorrupt, "configuration", linux, func(p *ocitest.Pack, di *manifest.DockerImage) { p.Files[di.Config] = []byte("x") }},
		{"bad diff-id", ErrCorrupt, "layer 2", linux, func(p *ocitest.Pack, di *manifest.DockerImage) {
			id := digest.FromBytes(ti.Layers[0])
			p.Files[di.Config] = ocitest.Config(ocitest.AMD64, []digest.Digest{id, id, "sha256:../../x"})
		}},
		{"bad gzip", ErrCorrupt, "layer 0", linux, func(p *ocitest.Pack, di *manifest.DockerImage) { p.Files[di.Layers[0]][15] ^= 0xff }},
		{"cut gzip", ErrCorrupt, "layer 0", linux, func(p *ocitest.Pack, di *manifest.DockerImage) { p.Files[di.Layers[0]] = p.Files[di.Layers[0]][:40] }},
		{"bomb", ErrUnsupported, "unpacks to more than 1000 bytes", Options{MaxLayer: 1000}, func(*ocitest.Pack, *manifest.DockerImage) {}},
		{"large config", ErrUnsupported, "longer than 330 bytes", Options{MaxMetadata: 330}, func(*ocitest.Pack, *manifest.DockerImage) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := skopeoSave(ocitest.NewPack(), t, ti, ".tar", "x:y")
			var list []manifest.DockerImage
			must(t, json.Unmarshal(p.Files[manifest.DockerList], &list))
			for _, n := range list[0].Layers {
				p.Files[n] = bytes.Clone(p.Files[n])
			}
			c.spoil(p, &list[0])
			p.Files[manifest.DockerList] = manifest.Encode(list)
			_, err := OpenArchive(ctx, ocitest.Pipe(p.Tar(t), nil), c.opts)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("no images", func(t *testing.T) {
		p := ocitest.NewPack()
		p.Add(manifest.DockerList, []byte("[]"))
		if _, err := OpenArchive(ctx, ocitest.Pipe(p.Tar(t), nil), linux); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("wrong layer", func(t *testing.T) {
		p := skopeoSave(ocitest.NewPack(), t, ti, ".tar", "x:y")
		for n := range p.Files {
			if strings.HasSuffix(n, ".tar") {
				p.Files[n] = ocitest.Layer(t, "other", "content")
			}
		}
		img, err := OpenArchive(ctx, ocitest.Pipe(p.Tar(t), nil), linux)
		must(t, err)
		if _, err := contents(img); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "layer 0") {
			t.Error(err)
		}
	})
}
