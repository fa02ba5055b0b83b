package oci

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
	"ocipipe/lib/platform"
)

// A pack is a set of files in order, to be written as a directory or as a tar:
// layouts, OCI archives and docker archives are made of it.
type pack struct {
	names []string
	files map[string][]byte
	links map[string]string // symbolic links
}

func newPack() *pack { return &pack{files: map[string][]byte{}, links: map[string]string{}} }

func (p *pack) add(name string, data []byte) {
	if _, ok := p.files[name]; !ok {
		p.names = append(p.names, name)
	}
	p.files[name] = data
}

func (p *pack) link(name, target string) {
	p.names = append(p.names, name)
	p.links[name] = target
}

// blob adds data under its digest.
func (p *pack) blob(alg digest.Algorithm, mediaType types.MediaType, data []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: alg.FromBytes(data), Size: int64(len(data))}
	p.add(layout.BlobName(d.Digest), data)
	return d
}

func (p *pack) json(mediaType types.MediaType, v any) descriptor {
	return p.blob(digest.SHA256, mediaType, mustJSON(v))
}

// index adds oci-layout and an index.json that lists list.
func (p *pack) index(list ...descriptor) *pack {
	p.add(layout.File, []byte(layout.FileContent))
	p.add(layout.Index, mustJSON(document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list}))
	return p
}

// streamed orders the files as WriteArchive does.
func (p *pack) streamed() *pack {
	q := newPack()
	for _, n := range []string{layout.File, layout.Index} {
		q.add(n, p.files[n])
	}
	var layers []string
	for i := len(p.names) - 1; i >= 0; i-- {
		n := p.names[i]
		if data := p.files[n]; len(data) > 0 && data[0] == '{' {
			q.add(n, data)
		} else {
			layers = append([]string{n}, layers...)
		}
	}
	for _, n := range layers {
		q.add(n, p.files[n])
	}
	return q
}

func (p *pack) tar(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, n := range p.names {
		h := &tar.Header{Name: n, Mode: 0o644, Size: int64(len(p.files[n])), Typeflag: tar.TypeReg}
		if target, ok := p.links[n]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(p.files[n])
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func (p *pack) dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range p.names {
		path := filepath.Join(dir, n)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		if target, ok := p.links[n]; ok {
			must(t, os.Symlink(target, path))
			continue
		}
		must(t, os.WriteFile(path, p.files[n], 0o666))
	}
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layerTar is a layer that holds one file.
func layerTar(t testing.TB, name, content string) []byte {
	p := newPack()
	p.add(name, []byte(content))
	return p.tar(t)
}

// testImage says what goes into an image.
type testImage struct {
	plat     platform.Platform
	layers   [][]byte // uncompressed
	compress string   // "", gzip or zstd
	alg      digest.Algorithm
	docker   bool // media types of schema 2
	diffIDs  []digest.Digest
}

func config(p platform.Platform, diffIDs []digest.Digest) []byte {
	return mustJSON(map[string]any{
		"architecture": p.Architecture, "os": p.OS, "variant": p.Variant,
		"config": map[string]any{"Cmd": []string{"/init"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
}

// image adds an image and returns the descriptor of its manifest.
func (p *pack) image(t testing.TB, ti testImage) descriptor {
	t.Helper()
	if ti.alg == "" {
		ti.alg = digest.SHA256
	}
	manifest, conf, layer := types.OCIManifestSchema1, types.OCIConfigJSON, string(types.OCIUncompressedLayer)
	if ti.docker {
		manifest, conf, layer = types.DockerManifestSchema2, types.DockerConfigJSON, string(types.DockerUncompressedLayer)
	}
	if ti.compress != "" && ti.docker {
		layer += "."
	} else if ti.compress != "" {
		layer += "+"
	}
	m := document{SchemaVersion: 2, MediaType: manifest, Layers: []descriptor{}}
	diffIDs := []digest.Digest{}
	for _, data := range ti.layers {
		diffIDs = append(diffIDs, digest.FromBytes(data))
		m.Layers = append(m.Layers, p.blob(ti.alg, types.MediaType(layer+ti.compress), compressed(t, ti.compress, data)))
	}
	if ti.diffIDs != nil {
		diffIDs = ti.diffIDs
	}
	c := p.blob(ti.alg, conf, config(ti.plat, diffIDs))
	m.Config = &c
	d := p.blob(ti.alg, manifest, mustJSON(m))
	if !ti.plat.IsZero() {
		d.Platform = &ti.plat
	}
	return d
}

func compressed(t testing.TB, how string, data []byte) []byte {
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

func named(d descriptor, tag string) descriptor {
	d.Annotations = map[string]string{annotationRefName: tag}
	return d
}

var amd64 = platform.Platform{OS: "linux", Architecture: "amd64"}

// simple is an image of three layers, of which the first and the last are the same.
func simple(t testing.TB) testImage {
	a, b := layerTar(t, "a", "first"), layerTar(t, "b", "second")
	return testImage{plat: amd64, layers: [][]byte{a, b, a}, compress: "gzip"}
}

// docker makes what docker 24 saves: a directory for each layer, with links
// between equal ones, and manifest.json at the end.
func (p *pack) dockerSave(t testing.TB, ti testImage, tags ...string) *pack {
	t.Helper()
	di := dockerImage{RepoTags: tags}
	var diffIDs []digest.Digest
	first := map[digest.Digest]string{}
	for i, data := range ti.layers {
		id := digest.FromString(fmt.Sprint(tags, i)).Encoded()
		d := digest.FromBytes(data)
		diffIDs = append(diffIDs, d)
		p.add(id+"/VERSION", []byte("1.0"))
		p.add(id+"/json", mustJSON(map[string]string{"id": id}))
		if other, ok := first[d]; ok {
			p.link(id+"/layer.tar", "../"+other+"/layer.tar")
		} else {
			p.add(id+"/layer.tar", compressed(t, ti.compress, data))
			first[d] = id
		}
		di.Layers = append(di.Layers, id+"/layer.tar")
	}
	conf := config(ti.plat, diffIDs)
	di.Config = digest.FromBytes(conf).Encoded() + ".json"
	p.add(di.Config, conf)
	var list []dockerImage
	if old, ok := p.files[dockerName]; ok {
		must(t, json.Unmarshal(old, &list))
	}
	p.add(dockerName, mustJSON(append(list, di)))
	p.add(legacyName, []byte("{}"))
	return p
}

// pipe yields data from a pipe, in pieces, and ends with err.
func pipe(data []byte, err error) io.ReadCloser {
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

// contents reads every layer of img.
func contents(img *Image) ([][]byte, error) {
	var all [][]byte
	for i := range img.Layers {
		data, err := content(&img.Layers[i])
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func content(l *Layer) ([]byte, error) {
	r, err := l.Open(context.Background())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// check compares img with what it was made from.
func (ti testImage) check(t testing.TB, img *Image) {
	t.Helper()
	got, err := contents(img)
	must(t, err)
	must(t, img.Finish(context.Background()))
	if len(got) != len(ti.layers) {
		t.Fatalf("%d layers, want %d", len(got), len(ti.layers))
	}
	for i, data := range ti.layers {
		if !bytes.Equal(got[i], compressed(t, ti.compress, data)) {
			t.Errorf("layer %d differs", i)
		}
		l := img.Layers[i]
		if l.DiffID != digest.FromBytes(data) || l.Index != i || l.Size != int64(len(got[i])) || l.Digest.Algorithm().FromBytes(got[i]) != l.Digest {
			t.Errorf("layer %d: wrong attributes: %+v", i, l)
		}
	}
	if img.Digest.Algorithm().FromBytes(img.Manifest) != img.Digest || img.ConfigDigest.Algorithm().FromBytes(img.Config) != img.ConfigDigest {
		t.Error("digest of manifest or configuration is wrong")
	}
	if img.Platform != ti.plat.String() {
		t.Errorf("platform is %s, want %s", img.Platform, ti.plat)
	}
}
