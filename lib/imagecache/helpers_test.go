package imagecache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
)

var ctx = context.Background()

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *cas.Store {
	t.Helper()
	s, err := cas.Open(ctx, dir, cas.Options{})
	must(t, err)
	return s
}

// put stores a blob, and returns its digest and name.
func put(t testing.TB, s *cas.Store, data string) (digest.Digest, string) {
	t.Helper()
	d := digest.FromString(data)
	must(t, s.Put(ctx, d, []byte(data)))
	return d, layout.BlobName(d)
}

func makeFile(t testing.TB, s *cas.Store, a cas.Artifact, data string) string {
	t.Helper()
	err := s.Make(ctx, a, func(f *os.File) error {
		_, err := f.WriteString(data)
		return err
	})
	if err != nil && err != cas.ErrExists {
		t.Fatal(err)
	}
	return a.Name()
}

func artifact(kind string, key digest.Digest, ext string) cas.Artifact {
	return cas.Artifact{Kind: kind, ABI: ABI, Key: key, Ext: ext}
}

// spec is an image to be put into a cache. Layer i has the content layerText(i), which is
// its blob and its tar.
type spec struct {
	name    string
	layers  []int
	top     bool // it is from an index
	dropped bool
	used    time.Time
	fsmeta  bool // with a disk
	flat    bool
	without []int // layers whose blobs are not there
}

func layerText(i int) string { return fmt.Sprintf("layer %d %s", i, strings.Repeat("x", i*100)) }

func diffID(i int) digest.Digest { return digest.FromString("tar of " + layerText(i)) }

// made is an image in a cache, with the names of all that it holds.
type made struct {
	cas.Ref
	files []string
}

// add puts an image into s. Artifacts of layers that are there already belong to it.
func add(t testing.TB, s *cas.Store, sp spec) made {
	t.Helper()
	var m made
	hold := func(d digest.Digest, name string) digest.Digest {
		m.files = append(m.files, name)
		return d
	}
	var conf, man map[string]any
	var diffIDs []digest.Digest
	var layers []map[string]any
	for _, i := range sp.layers {
		diffIDs = append(diffIDs, diffID(i))
		text := layerText(i)
		layers = append(layers, map[string]any{"mediaType": layerType, "digest": digest.FromString(text), "size": len(text)})
		if !sp.dropped && !slices.Contains(sp.without, i) {
			hold(put(t, s, text))
		} else if sp.dropped {
			continue // what is there all the same is of others
		} else if _, err := os.Stat(filepath.Join(s.Dir(), layout.BlobName(digest.FromString(text)))); err == nil {
			m.files = append(m.files, layout.BlobName(digest.FromString(text)))
		}
	}
	conf = map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": []string{"NAME=" + sp.name}}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}
	text, _ := json.Marshal(conf)
	config := hold(put(t, s, string(text)))
	man = map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": map[string]any{"mediaType": configType, "digest": config, "size": len(text)}, "layers": layers}
	text, _ = json.Marshal(man)
	m.Ref = cas.Ref{Name: sp.name, MediaType: manifestType, Digest: hold(put(t, s, string(text))), Size: int64(len(text)), Dropped: sp.dropped}
	if sp.top {
		text, _ = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []any{map[string]any{"mediaType": manifestType, "digest": m.Digest, "size": m.Size}}})
		m.Top = hold(put(t, s, string(text)))
	}
	must(t, s.SetRef(ctx, m.Ref, []digest.Digest{config}))
	for _, d := range diffIDs {
		for _, a := range []cas.Artifact{artifact("layers", d, "erofs"), {Kind: "layers", ABI: "0", Key: d, Variant: "old", Ext: "erofs"}} {
			if _, err := os.Stat(s.Path(a)); err == nil {
				m.files = append(m.files, a.Name())
			}
		}
	}
	if sp.fsmeta {
		m.files = append(m.files, makeFile(t, s, artifact("fsmeta", m.Digest, "erofs"), "fsmeta of "+sp.name), makeFile(t, s, artifact("vmdk", m.Digest, "vmdk"), "disk of "+sp.name))
	}
	if sp.flat {
		m.files = append(m.files, addFlat(t, s, diffIDs, "flat image of "+sp.name)...)
	}
	if !sp.used.IsZero() {
		s.Touch(m.Digest, sp.used)
	}
	slices.Sort(m.files)
	m.files = slices.Compact(m.files)
	return m
}

// addFlat puts a flat image with its record into s.
func addFlat(t testing.TB, s *cas.Store, diffIDs []digest.Digest, data string) []string {
	t.Helper()
	a := artifact("rootfs", digest.FromString("key of "+join(diffIDs)), "ext4")
	img := makeFile(t, s, a, data)
	a.Ext = "json"
	rec, _ := json.Marshal(record{digest.FromString(data), int64(len(data)), "ext4", diffIDs})
	return []string{img, makeFile(t, s, a, string(rec))}
}

// addLayer puts the image of a layer into s.
func addLayer(t testing.TB, s *cas.Store, i int) string {
	t.Helper()
	return makeFile(t, s, artifact("layers", diffID(i), "erofs"), "image of "+layerText(i))
}

// content is all that lies in a directory but locks, by name.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if !strings.HasPrefix(name, "locks/") {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files[name] = string(data)
		}
		return nil
	}))
	return files
}

// kept returns the names of the blobs and artifacts in a directory, in order.
func kept(t testing.TB, dir string) (names []string) {
	t.Helper()
	for name := range content(t, dir) {
		if strings.Count(name, "/") > 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func list(t testing.TB, s *cas.Store) Listing {
	t.Helper()
	l, err := List(ctx, s)
	must(t, err)
	return l
}

func union(sets ...[]string) []string {
	all := slices.Concat(sets...)
	slices.Sort(all)
	return slices.Compact(all)
}

func wantKept(t testing.TB, s *cas.Store, want ...[]string) {
	t.Helper()
	got, all := kept(t, s.Dir()), union(want...)
	for _, name := range got {
		if !slices.Contains(all, name) {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range all {
		if !slices.Contains(got, name) {
			t.Errorf("%s is gone", name)
		}
	}
}
