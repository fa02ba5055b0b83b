// Package ocitest makes images for tests: as layouts, OCI archives and archives of
// docker save, whole or with one thing wrong.
package ocitest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/platform"
)

// Pack is a set of files in order, to be written as a directory or as a tar:
// layouts, OCI archives and docker archives are made of it.
type Pack struct {
	Names []string
	Files map[string][]byte
	Links map[string]string // symbolic links
}

// NewPack returns an empty Pack.
func NewPack() *Pack { return &Pack{Files: map[string][]byte{}, Links: map[string]string{}} }

// Add adds a file, or replaces it.
func (p *Pack) Add(name string, data []byte) {
	if _, ok := p.Files[name]; !ok {
		p.Names = append(p.Names, name)
	}
	p.Files[name] = data
}

// Link adds a symbolic link.
func (p *Pack) Link(name, target string) {
	p.Names = append(p.Names, name)
	p.Links[name] = target
}

// Blob adds data under its digest.
func (p *Pack) Blob(alg digest.Algorithm, mediaType types.MediaType, data []byte) manifest.Descriptor {
	d := manifest.Descriptor{MediaType: mediaType, Digest: alg.FromBytes(data), Size: int64(len(data))}
	p.Add(layout.BlobName(d.Digest), data)
	return d
}

// JSON is Blob for the JSON encoding of v.
func (p *Pack) JSON(mediaType types.MediaType, v any) manifest.Descriptor {
	return p.Blob(digest.SHA256, mediaType, manifest.Encode(v))
}

// Index adds oci-layout and an index.json that lists list.
func (p *Pack) Index(list ...manifest.Descriptor) *Pack {
	p.Add(layout.File, []byte(layout.FileContent))
	p.Add(layout.Index, manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list}))
	return p
}

// Streamed orders the files as WriteArchive does.
func (p *Pack) Streamed() *Pack {
	q := NewPack()
	for _, n := range []string{layout.File, layout.Index} {
		q.Add(n, p.Files[n])
	}
	var layers []string
	for i := len(p.Names) - 1; i >= 0; i-- {
		n := p.Names[i]
		if data := p.Files[n]; len(data) > 0 && data[0] == '{' {
			q.Add(n, data)
		} else {
			layers = append([]string{n}, layers...)
		}
	}
	for _, n := range layers {
		q.Add(n, p.Files[n])
	}
	return q
}

// Tar returns the files as a tar.
func (p *Pack) Tar(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, n := range p.Names {
		h := &tar.Header{Name: n, Mode: 0o644, Size: int64(len(p.Files[n])), Typeflag: tar.TypeReg}
		if target, ok := p.Links[n]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(p.Files[n])
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// Dir writes the files to a new directory.
func (p *Pack) Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range p.Names {
		path := filepath.Join(dir, n)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		if target, ok := p.Links[n]; ok {
			must(t, os.Symlink(target, path))
			continue
		}
		must(t, os.WriteFile(path, p.Files[n], 0o666))
	}
	return dir
}

// Strangers returns descriptors, by name, of what builders put into an index beside images:
// known are recognised by the index alone, unknown only once they are read.
func (p *Pack) Strangers() (known, unknown map[string]manifest.Descriptor) {
	missing := func(mediaType types.MediaType) manifest.Descriptor {
		return manifest.Descriptor{MediaType: mediaType, Digest: digest.FromString(string(mediaType)), Size: 7}
	}
	artifact := func(artifactType, config, layer types.MediaType) manifest.Descriptor {
		c := p.Blob(digest.SHA256, config, []byte(`{}`))
		l := p.Blob(digest.SHA256, layer, []byte(`signature`))
		return p.JSON(types.OCIManifestSchema1, manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
			ArtifactType: artifactType, Config: &c, Layers: []manifest.Descriptor{l}})
	}
	attestation := missing(types.OCIManifestSchema1)
	attestation.Platform = &platform.Platform{OS: "unknown", Architecture: "unknown"}
	docker := missing(types.OCIManifestSchema1)
	docker.Annotations = map[string]string{manifest.DockerReference: "attestation-manifest"}
	typed := missing(types.OCIManifestSchema1)
	typed.ArtifactType = "application/vnd.example.sbom"
	return map[string]manifest.Descriptor{
			"unknown type":         missing("application/vnd.example.thing+json"),
			"unknown type, a text": p.Blob(digest.SHA256, "text/html", []byte("<html>")),
			"schema 1":             missing(types.DockerManifestSchema1Signed),
			"artifact manifest":    missing("application/vnd.oci.artifact.manifest.v1+json"),
			"attestation":          attestation,
			"docker's attestation": docker,
			"artifact type":        typed,
		}, map[string]manifest.Descriptor{
			"cosign signature":      artifact("", types.OCIConfigJSON, "application/vnd.dev.cosign.simplesigning.v1+json"),
			"empty configuration":   artifact("application/vnd.example.sbom", "application/vnd.oci.empty.v1+json", "text/spdx"),
			"configuration of helm": artifact("", "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
			"octets and a type":     artifact("application/vnd.example.sbom", "application/octet-stream", "text/spdx"),
			"missing manifest":      missing(types.OCIManifestSchema1),
			"missing index":         missing(types.OCIImageIndex),
		}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Layer returns a layer that holds one file.
func Layer(t testing.TB, name, content string) []byte {
	p := NewPack()
	p.Add(name, []byte(content))
	return p.Tar(t)
}

// Image says what goes into an image.
type Image struct {
	Platform    platform.Platform
	Layers      [][]byte // uncompressed
	Compression string   // "", gzip or zstd
	Algorithm   digest.Algorithm
	Docker      bool // media types of schema 2
	DiffIDs     []digest.Digest
}

// Config returns a configuration.
func Config(p platform.Platform, diffIDs []digest.Digest) []byte {
	return manifest.Encode(map[string]any{
		"architecture": p.Architecture, "os": p.OS, "variant": p.Variant,
		"config": map[string]any{"Cmd": []string{"/init"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
}

// Image adds an image and returns the descriptor of its manifest.
func (p *Pack) Image(t testing.TB, ti Image) manifest.Descriptor {
	t.Helper()
	if ti.Algorithm == "" {
		ti.Algorithm = digest.SHA256
	}
	manifestType, conf, layer := types.OCIManifestSchema1, types.OCIConfigJSON, string(types.OCIUncompressedLayer)
	if ti.Docker {
		manifestType, conf, layer = types.DockerManifestSchema2, types.DockerConfigJSON, string(types.DockerUncompressedLayer)
	}
	if ti.Compression != "" && ti.Docker {
		layer += "."
	} else if ti.Compression != "" {
		layer += "+"
	}
	m := manifest.Document{SchemaVersion: 2, MediaType: manifestType, Layers: []manifest.Descriptor{}}
	diffIDs := []digest.Digest{}
	for _, data := range ti.Layers {
		diffIDs = append(diffIDs, digest.FromBytes(data))
		m.Layers = append(m.Layers, p.Blob(ti.Algorithm, types.MediaType(layer+ti.Compression), Compress(t, ti.Compression, data)))
	}
	if ti.DiffIDs != nil {
		diffIDs = ti.DiffIDs
	}
	c := p.Blob(ti.Algorithm, conf, Config(ti.Platform, diffIDs))
	m.Config = &c
	d := p.Blob(ti.Algorithm, manifestType, manifest.Encode(m))
	if !ti.Platform.IsZero() {
		d.Platform = &ti.Platform
	}
	return d
}

// Compress compresses data with gzip or zstd; if how is "" it returns data as it is.
func Compress(t testing.TB, how string, data []byte) []byte {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "":
		return data
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	}
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

// Named returns d with a tag.
func Named(d manifest.Descriptor, tag string) manifest.Descriptor {
	d.Annotations = map[string]string{manifest.RefName: tag}
	return d
}

// AMD64 is the platform of Simple.
var AMD64 = platform.Platform{OS: "linux", Architecture: "amd64"}

// Simple returns an image of three layers, of which the first and the last are the same.
func Simple(t testing.TB) Image {
	a, b := Layer(t, "a", "first"), Layer(t, "b", "second")
	return Image{Platform: AMD64, Layers: [][]byte{a, b, a}, Compression: "gzip"}
}

// DockerSave adds what docker 24 saves: a directory for each layer, with links
// between equal ones, and manifest.json at the end.
func (p *Pack) DockerSave(t testing.TB, ti Image, tags ...string) *Pack {
	t.Helper()
	di := manifest.DockerImage{RepoTags: tags}
	var diffIDs []digest.Digest
	first := map[digest.Digest]string{}
	for i, data := range ti.Layers {
		id := digest.FromString(fmt.Sprint(tags, i)).Encoded()
		d := digest.FromBytes(data)
		diffIDs = append(diffIDs, d)
		p.Add(id+"/VERSION", []byte("1.0"))
		p.Add(id+"/json", manifest.Encode(map[string]string{"id": id}))
		if other, ok := first[d]; ok {
			p.Link(id+"/layer.tar", "../"+other+"/layer.tar")
		} else {
			p.Add(id+"/layer.tar", Compress(t, ti.Compression, data))
			first[d] = id
		}
		di.Layers = append(di.Layers, id+"/layer.tar")
	}
	conf := Config(ti.Platform, diffIDs)
	di.Config = digest.FromBytes(conf).Encoded() + ".json"
	p.Add(di.Config, conf)
	var list []manifest.DockerImage
	if old, ok := p.Files[manifest.DockerList]; ok {
		must(t, json.Unmarshal(old, &list))
	}
	p.Add(manifest.DockerList, manifest.Encode(append(list, di)))
	p.Add("repositories", []byte("{}"))
	return p
}

// Pipe yields data in pieces, as from a pipe, and ends with err.
func Pipe(data []byte, err error) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		for len(data) > 0 {
			n := min(len(data), 1000)
			if _, werr := w.Write(data[:n]); werr != nil {
				return
			}
			data = data[n:]
		}
		w.CloseWithError(err)
	}()
	return r
}

// Content reads everything from the reader that open, such as the Open of a layer, returns.
func Content(open func(context.Context) (io.ReadCloser, error)) ([]byte, error) {
	r, err := open(context.Background())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
