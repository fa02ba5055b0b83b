package oci

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
)

// TestRefuse breaks one thing of an image at a time.
func TestRefuse(t *testing.T) {
	zero := digest.Digest("sha256:" + strings.Repeat("0", 64))
	for _, c := range []struct {
		name   string
		want   error
		says   string
		break_ func(m *manifest.Document, conf map[string]any)
	}{
		{"artifact", ErrUnsupported, `artifact of type "application/vnd.helm"`, func(m *manifest.Document, _ map[string]any) { m.Config.MediaType = "application/vnd.helm" }},
		{"artifact type", ErrUnsupported, `artifact of type "a/b"`, func(m *manifest.Document, _ map[string]any) {
			m.ArtifactType, m.Config.MediaType = "a/b", "application/vnd.oci.empty.v1+json"
		}},
		{"no diff ids", ErrCorrupt, "3 layers, the configuration 0 diff_ids", func(_ *manifest.Document, c map[string]any) { delete(c, "rootfs") }},
		{"diff ids", ErrCorrupt, "3 layers, the configuration 1 diff_ids", func(_ *manifest.Document, c map[string]any) {
			c["rootfs"] = map[string]any{"diff_ids": []digest.Digest{zero}}
		}},
		{"diff id", ErrCorrupt, "layer 1: diff-id", func(_ *manifest.Document, c map[string]any) {
			c["rootfs"] = map[string]any{"diff_ids": []digest.Digest{zero, "../../etc", zero}}
		}},
		{"layer type", ErrUnsupported, `layer 1: unsupported image: media type "text/html"`, func(m *manifest.Document, _ map[string]any) { m.Layers[1].MediaType = "text/html" }},
		{"encrypted", ErrUnsupported, "encrypted", func(m *manifest.Document, _ map[string]any) { m.Layers[1].MediaType += "+encrypted" }},
		{"layer digest", ErrCorrupt, "layer 0", func(m *manifest.Document, _ map[string]any) { m.Layers[0].Digest = "sha256:../../../etc/passwd" }},
		{"layer upper case", ErrCorrupt, "layer 0", func(m *manifest.Document, _ map[string]any) {
			m.Layers[0].Digest = digest.Digest(strings.ToUpper(string(zero)))
		}},
		{"layer size", ErrCorrupt, "layer 2", func(m *manifest.Document, _ map[string]any) { m.Layers[2].Size = -1 }},
		{"config digest", ErrNotFound, "configuration", func(m *manifest.Document, _ map[string]any) { m.Config.Digest = zero }},
		{"config algorithm", ErrUnsupported, "sha384", func(m *manifest.Document, _ map[string]any) {
			m.Config.Digest = digest.Digest("sha384:" + strings.Repeat("0", 96))
		}},
		{"config size", ErrCorrupt, "configuration", func(m *manifest.Document, _ map[string]any) { m.Config.Size++ }},
		{"config negative", ErrCorrupt, "configuration", func(m *manifest.Document, _ map[string]any) { m.Config.Size = -1 }},
		{"no config", ErrUnsupported, "neither", func(m *manifest.Document, _ map[string]any) { m.Config = nil }},
		{"both", ErrCorrupt, "both", func(m *manifest.Document, _ map[string]any) {
			m.Manifests = []manifest.Descriptor{}
			m.Manifests = append(m.Manifests, *m.Config)
		}},
		{"both, of no type", ErrCorrupt, "both", func(m *manifest.Document, _ map[string]any) {
			m.MediaType, m.Manifests = "", []manifest.Descriptor{*m.Config}
		}},
		{"index by type", ErrCorrupt, "both", func(m *manifest.Document, _ map[string]any) { m.MediaType = types.OCIImageIndex }},
		{"schema 1", ErrUnsupported, "schema 1", func(m *manifest.Document, _ map[string]any) { m.SchemaVersion = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := ocitest.NewPack()
			old := p.Image(t, ocitest.Simple(t))
			doc, _, err := manifest.Parse(p.Files[layout.BlobName(old.Digest)], old)
			must(t, err)
			conf := map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": []digest.Digest{zero, zero, zero}}}
			c.break_(&doc, conf)
			if doc.Config != nil && doc.Config.MediaType == types.OCIConfigJSON && doc.Config.Digest != zero && doc.Config.Digest.Algorithm() == digest.SHA256 {
				d := p.JSON(types.OCIConfigJSON, conf)
				d.Size += map[bool]int64{true: 1}[c.name == "config size"]
				if doc.Config.Size < 0 {
					d.Size = -1
				}
				doc.Config = &d
			}
			p.Index(p.JSON("", doc))
			forms(t, p, func(t *testing.T, img *Image, err error) {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %v with %q", err, c.want, c.says)
				}
			})
		})
	}
}

// TestCorruptBlobs changes the bytes of blobs.
func TestCorruptBlobs(t *testing.T) {
	ti := ocitest.Simple(t)
	p := ocitest.NewPack()
	p.Index(p.Image(t, ti))
	whole := p.Files
	for name, data := range whole {
		if !strings.HasPrefix(name, layout.Blobs) {
			continue
		}
		for _, change := range []struct {
			name string
			data []byte
			want error
		}{
			{"flip", append([]byte{data[0] ^ 1}, data[1:]...), ErrCorrupt},
			{"shorter", data[:len(data)-1], ErrCorrupt},
			{"longer", append(bytes.Clone(data), 0), ErrCorrupt},
			{"empty", nil, ErrCorrupt},
		} {
			p.Files = map[string][]byte{}
			for n, d := range whole {
				p.Files[n] = d
			}
			p.Files[name] = change.data
			t.Run(name[:15]+" "+change.name, func(t *testing.T) {
				forms(t, p, func(t *testing.T, img *Image, err error) {
					if err == nil {
						_, err = contents(img)
						if err != nil && !strings.Contains(err.Error(), "layer ") {
							t.Errorf("%v does not name the layer", err)
						}
					}
					if !errors.Is(err, change.want) {
						t.Errorf("got %v, want %v", err, change.want)
					}
				})
			})
		}
	}
}
