package oci

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
)

// TestStrangers shows that entries that are not images are skipped: in an index, in one within
// another and in index.json, named or not.
func TestStrangers(t *testing.T) {
	p := ocitest.NewPack()
	ti := ocitest.Simple(t)
	image := p.Image(t, ti)
	bare := image
	bare.Platform = nil
	index := func(list ...manifest.Descriptor) manifest.Descriptor {
		return p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
	}
	known, unknown := p.Strangers()
	for _, list := range []map[string]manifest.Descriptor{known, unknown} {
		for name, d := range list {
			for how, top := range map[string][]manifest.Descriptor{
				"index":               {index(d, image)},
				"index, unlabelled":   {index(d, bare)},
				"nested":              {index(index(d), index(bare, d))},
				"index.json":          {d, image},
				"index.json, named":   {ocitest.Named(bare, "v1"), ocitest.Named(d, "sha256-0.sig")},
				"index.json, one tag": {ocitest.Named(d, "v1"), ocitest.Named(bare, "v1")},
			} {
				t.Run(name+", "+how, func(t *testing.T) {
					img, err := openLayout(ctx, packed{p.Index(top...)}, selector{}, linux)
					must(t, err)
					if img.Digest != image.Digest {
						t.Errorf("got %s", img.Digest)
					}
				})
			}
			t.Run(name+", alone", func(t *testing.T) {
				_, err := openLayout(ctx, packed{p.Index(index(d))}, selector{}, linux)
				if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNotFound) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	t.Run("a tag of an artifact", func(t *testing.T) {
		_, err := openLayout(ctx, packed{p.Index(ocitest.Named(image, "v1"), ocitest.Named(known["artifact type"], "sbom"))}, selector{tag: "sbom"}, linux)
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"application/vnd.example.sbom", not a container image`) {
			t.Error(err)
		}
	})
	t.Run("two images are two", func(t *testing.T) {
		two := ti
		two.Layers = ti.Layers[:1]
		_, err := openLayout(ctx, packed{p.Index(ocitest.Named(image, "v1"), ocitest.Named(p.Image(t, two), "v2"), ocitest.Named(unknown["cosign signature"], "sha256-0.sig"))}, selector{}, linux)
		if !errors.Is(err, ErrUnsupported) || !strings.HasSuffix(err.Error(), "available: v1, v2") {
			t.Error(err)
		}
	})
	t.Run("missing for the platform", func(t *testing.T) {
		gone := unknown["missing manifest"]
		gone.Platform = image.Platform
		if _, err := openLayout(ctx, packed{p.Index(index(gone))}, selector{}, linux); !errors.Is(err, ErrNotFound) || !strings.HasPrefix(err.Error(), "manifest: not found") {
			t.Error(err)
		}
	})
	t.Run("it may have been the missing one", func(t *testing.T) {
		gone := unknown["missing manifest"]
		_, err := openLayout(ctx, packed{p.Index(index(gone, image))}, selector{}, Options{Platform: "linux/s390x"})
		if !errors.Is(err, ErrNotFound) || !strings.HasPrefix(err.Error(), "manifest: not found") {
			t.Error(err)
		}
	})
	t.Run("says what there is", func(t *testing.T) {
		_, err := openLayout(ctx, packed{p.Index(index(known["unknown type"], known["attestation"]))}, selector{}, linux)
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "application/vnd.example.thing+json") {
			t.Error(err)
		}
	})
}

// TestConfigTypes are the media types of configurations that Docker takes for those of
// images: registries and builders of old wrote them.
func TestConfigTypes(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.OCIConfigJSON, types.DockerConfigJSON, "application/octet-stream", "application/json", "text/html", ""} {
		t.Run(fmt.Sprintf("%q", mediaType), func(t *testing.T) {
			p := ocitest.NewPack()
			ti := ocitest.Simple(t)
			old := p.Image(t, ti)
			doc, _, err := manifest.Parse(p.Files[layout.BlobName(old.Digest)], old)
			must(t, err)
			doc.Config.MediaType = mediaType
			for _, d := range []manifest.Descriptor{p.JSON(old.MediaType, doc), p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{p.JSON(old.MediaType, doc)}})} {
				p.Index(d)
				forms(t, p, func(t *testing.T, img *Image, err error) {
					must(t, err)
					check(t, ti, img)
					if img.ConfigMediaType != string(mediaType) {
						t.Errorf("type %q", img.ConfigMediaType)
					}
				})
			}
		})
	}
}
