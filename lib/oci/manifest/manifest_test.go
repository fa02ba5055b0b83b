package manifest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/platform"
)

func TestParse(t *testing.T) {
	const (
		index    = `"manifests":[{"digest":"sha256:x","size":1}]`
		manifest = `"config":{"digest":"sha256:x","size":1},"layers":[]`
	)
	for _, c := range []struct {
		name, doc string
		as        types.MediaType // what its descriptor says
		isIndex   bool
		err       error
	}{
		{"index", `{` + index + `}`, "", true, nil},
		{"index by its descriptor", `{` + index + `}`, types.OCIImageIndex, true, nil},
		{"empty index", `{"mediaType":"application/vnd.oci.image.index.v1+json"}`, "", true, nil},
		{"manifest", `{` + manifest + `}`, types.DockerManifestSchema2, false, nil},
		{"manifest that says so", `{"mediaType":"application/vnd.oci.image.manifest.v1+json",` + manifest + `}`, "", false, nil},
		{"both", `{` + index + `,` + manifest + `}`, "", false, ErrCorrupt},
		{"index that is said to be a manifest", `{` + index + `}`, types.OCIManifestSchema1, false, ErrCorrupt},
		{"manifest that is said to be an index", `{` + manifest + `}`, types.OCIImageIndex, false, ErrCorrupt},
		{"index that says it is a manifest", `{"mediaType":"application/vnd.oci.image.manifest.v1+json",` + index + `}`, "", false, ErrCorrupt},
		{"neither", `{"a":1}`, "", false, ErrUnsupported},
		{"schema 1", `{"schemaVersion":1,` + manifest + `}`, "", false, ErrUnsupported},
		{"negative size", `{"manifests":[{"digest":"sha256:x","size":-1}]}`, "", false, ErrCorrupt},
		{"no JSON", `<html>`, "", false, ErrCorrupt},
		{"too many objects", `{"manifests":[` + strings.Repeat("{},", maxObjects) + `{}]}`, "", false, ErrUnsupported},
	} {
		_, isIndex, err := Parse([]byte(c.doc), Descriptor{MediaType: c.as})
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || err == nil && isIndex != c.isIndex {
			t.Errorf("%s: index %v, %v", c.name, isIndex, err)
		}
	}
}

func TestOtherType(t *testing.T) {
	for _, c := range []struct {
		d    Descriptor
		want string
	}{
		{Descriptor{}, ""},
		{Descriptor{MediaType: types.OCIManifestSchema1}, ""},
		{Descriptor{MediaType: types.DockerManifestList, ArtifactType: types.OCIConfigJSON}, ""},
		{Descriptor{MediaType: types.OCIManifestSchema1, ArtifactType: "a/b"}, "a/b"},
		{Descriptor{MediaType: "text/html"}, "text/html"},
		{Descriptor{MediaType: types.OCIManifestSchema1, Platform: &platform.Platform{OS: "unknown", Architecture: "unknown"}}, "attestation"},
		{Descriptor{Annotations: map[string]string{DockerReference: "attestation-manifest"}}, "attestation-manifest"},
	} {
		if got := c.d.OtherType(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.d, got, c.want)
		}
	}
}

func TestArtifact(t *testing.T) {
	for _, c := range []struct {
		config, artifact types.MediaType
		want             string
	}{
		{types.OCIConfigJSON, "", ""},
		{types.DockerConfigJSON, "a/b", ""},
		{"application/octet-stream", "", ""}, // a mistake of old registries
		{"application/octet-stream", "a/b", "a/b"},
		{"application/vnd.oci.empty.v1+json", "", "application/vnd.oci.empty.v1+json"},
	} {
		doc := Document{ArtifactType: c.artifact, Config: &Descriptor{MediaType: c.config}}
		if got := doc.Artifact(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestLayerTypes(t *testing.T) {
	for m, want := range map[types.MediaType]struct{ isRead, isFileSystem bool }{
		"":                                    {true, true},
		types.OCILayer:                        {true, true},
		types.OCILayer + "+encrypted":         {false, true},
		types.OCIUncompressedLayer:            {true, true},
		types.OCIUncompressedLayer + "+zstd":  {true, true},
		types.OCIUncompressedLayer + "+xz":    {false, true},
		types.DockerLayer:                     {true, true},
		types.DockerForeignLayer:              {true, true},
		"application/vnd.oci.empty.v1+json":   {false, false},
		"application/vnd.oci.image.layer.tar": {false, false},
	} {
		if IsLayer(string(m)) != want.isRead || (Descriptor{MediaType: m}).IsFileSystem() != want.isFileSystem {
			t.Errorf("%q: read %v, file system %v", m, IsLayer(string(m)), (Descriptor{MediaType: m}).IsFileSystem())
		}
	}
}
