package oci

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/platform"
)

// strangers are descriptors of what builders put into an index beside images. By name
// those that have to be read before they are known for what they are.
func (p *pack) strangers() (known, unknown map[string]descriptor) {
	missing := func(mediaType types.MediaType) descriptor {
		return descriptor{MediaType: mediaType, Digest: digest.FromString(string(mediaType)), Size: 7}
	}
	artifact := func(artifactType, config, layer types.MediaType) descriptor {
		c := p.blob(digest.SHA256, config, []byte(`{}`))
		l := p.blob(digest.SHA256, layer, []byte(`signature`))
		return p.json(types.OCIManifestSchema1, document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
			ArtifactType: artifactType, Config: &c, Layers: []descriptor{l}})
	}
	attestation := missing(types.OCIManifestSchema1)
	attestation.Platform = &platform.Platform{OS: "unknown", Architecture: "unknown"}
	docker := missing(types.OCIManifestSchema1)
	docker.Annotations = map[string]string{annotationDocker: "attestation-manifest"}
	typed := missing(types.OCIManifestSchema1)
	typed.ArtifactType = "application/vnd.example.sbom"
	return map[string]descriptor{
			"unknown type":         missing("application/vnd.example.thing+json"),
			"unknown type, a text": p.blob(digest.SHA256, "text/html", []byte("<html>")),
			"schema 1":             missing(types.DockerManifestSchema1Signed),
			"artifact manifest":    missing("application/vnd.oci.artifact.manifest.v1+json"),
			"attestation":          attestation,
			"docker's attestation": docker,
			"artifact type":        typed,
		}, map[string]descriptor{
			"cosign signature":      artifact("", types.OCIConfigJSON, "application/vnd.dev.cosign.simplesigning.v1+json"),
			"empty configuration":   artifact("application/vnd.example.sbom", "application/vnd.oci.empty.v1+json", "text/spdx"),
			"configuration of helm": artifact("", "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
			"octets and a type":     artifact("application/vnd.example.sbom", "application/octet-stream", "text/spdx"),
			"missing manifest":      missing(types.OCIManifestSchema1),
			"missing index":         missing(types.OCIImageIndex),
		}
}

// TestStrangers shows that what is no image is passed over, in an index, in one within
// another and in index.json, named or not.
func TestStrangers(t *testing.T) {
	p := newPack()
	ti := simple(t)
	image := p.image(t, ti)
	bare := image
	bare.Platform = nil
	index := func(list ...descriptor) descriptor {
		return p.json(types.OCIImageIndex, document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
	}
	known, unknown := p.strangers()
	for _, list := range []map[string]descriptor{known, unknown} {
		for name, d := range list {
			for how, top := range map[string][]descriptor{
				"index":               {index(d, image)},
				"index, unlabelled":   {index(d, bare)},
				"nested":              {index(index(d), index(bare, d))},
				"index.json":          {d, image},
				"index.json, named":   {named(bare, "v1"), named(d, "sha256-0.sig")},
				"index.json, one tag": {named(d, "v1"), named(bare, "v1")},
			} {
				t.Run(name+", "+how, func(t *testing.T) {
					img, err := openLayout(ctx, p.index(top...), selector{}, linux)
					must(t, err)
					if img.Digest != image.Digest {
						t.Errorf("got %s", img.Digest)
					}
				})
			}
			t.Run(name+", registry", func(t *testing.T) {
				img, err := Open(ctx, fakeRegistry(t, p, index(d, bare), nil)+"/r:v1", linux)
				must(t, err)
				ti.check(t, img)
			})
			t.Run(name+", alone", func(t *testing.T) {
				_, err := openLayout(ctx, p.index(index(d)), selector{}, linux)
				if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNotFound) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	t.Run("a tag of an artifact", func(t *testing.T) {
		_, err := openLayout(ctx, p.index(named(image, "v1"), named(known["artifact type"], "sbom")), selector{tag: "sbom"}, linux)
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"application/vnd.example.sbom", not a container image`) {
			t.Error(err)
		}
	})
	t.Run("two images are two", func(t *testing.T) {
		two := ti
		two.layers = ti.layers[:1]
		_, err := openLayout(ctx, p.index(named(image, "v1"), named(p.image(t, two), "v2"), named(unknown["cosign signature"], "sha256-0.sig")), selector{}, linux)
		if !errors.Is(err, ErrUnsupported) || !strings.HasSuffix(err.Error(), "available: v1, v2") {
			t.Error(err)
		}
	})
	t.Run("missing for the platform", func(t *testing.T) {
		gone := unknown["missing manifest"]
		gone.Platform = image.Platform
		if _, err := openLayout(ctx, p.index(index(gone)), selector{}, linux); !errors.Is(err, ErrNotFound) || !strings.HasPrefix(err.Error(), "manifest: not found") {
			t.Error(err)
		}
	})
	t.Run("it may have been the missing one", func(t *testing.T) {
		gone := unknown["missing manifest"]
		_, err := openLayout(ctx, p.index(index(gone, image)), selector{}, Options{Platform: "linux/s390x"})
		if !errors.Is(err, ErrNotFound) || !strings.HasPrefix(err.Error(), "manifest: not found") {
			t.Error(err)
		}
	})
	t.Run("says what there is", func(t *testing.T) {
		_, err := openLayout(ctx, p.index(index(known["unknown type"], known["attestation"])), selector{}, linux)
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
			p := newPack()
			ti := simple(t)
			old := p.image(t, ti)
			doc, _, err := parseDocument(p.files[layout.BlobName(old.Digest)], old)
			must(t, err)
			doc.Config.MediaType = mediaType
			for _, d := range []descriptor{p.json(old.MediaType, doc), p.json(types.OCIImageIndex, document{SchemaVersion: 2, Manifests: []descriptor{p.json(old.MediaType, doc)}})} {
				p.index(d)
				forms(t, p, func(t *testing.T, img *Image, err error) {
					must(t, err)
					ti.check(t, img)
					if img.ConfigMediaType != string(mediaType) {
						t.Errorf("type %q", img.ConfigMediaType)
					}
				})
			}
		})
	}
}
