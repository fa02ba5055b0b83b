package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
)

// readAll reads every blob of b, and returns how many there are.
func readAll(t *testing.T, b *oci.Bundle, d *oci.Document) (n int) {
	t.Helper()
	for _, blob := range d.Blobs {
		data, err := ocitest.Content(func(ctx context.Context) (io.ReadCloser, error) { return b.Open(ctx, blob) })
		if err != nil || digest.FromBytes(data) != blob.Digest {
			t.Errorf("%s: %v", blob.Digest, err)
		}
		n++
	}
	for _, child := range d.Manifests {
		n += readAll(t, b, child)
	}
	return n
}

// TestBundle: from each kind of file, all that a reference names.
func TestBundle(t *testing.T) {
	ctx := context.Background()
	p := ocitest.NewPack()
	one := p.Image(t, ocitest.Simple(t))
	two := ocitest.Simple(t)
	two.Platform.Architecture = "arm64"
	other := p.Image(t, two)
	p1, p2 := ocitest.AMD64, two.Platform
	one.Platform, other.Platform = &p1, &p2
	inner := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{other}})
	index := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{one, inner}})
	p.Index(ocitest.Named(index, "all"), ocitest.Named(one, "one"))
	dir, file := p.Dir(t), filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, p.Tar(t), 0o666); err != nil {
		t.Fatal(err)
	}
	pipe := oci.Options{OpenFile: func(string) (io.ReadCloser, error) { return ocitest.Pipe(p.Tar(t), io.EOF), nil }}
	save := oci.Options{OpenFile: func(string) (io.ReadCloser, error) {
		return ocitest.Pipe(ocitest.NewPack().DockerSave(t, ocitest.Simple(t), "x:v1").Tar(t), io.EOF), nil
	}}
	for _, c := range []struct {
		ref   string
		opts  oci.Options
		want  digest.Digest // "" is any
		blobs int
	}{
		{"oci:" + dir + ":all", oci.Options{}, index.Digest, 8},
		{"oci:" + dir + ":one", oci.Options{}, one.Digest, 4},
		{"oci:" + dir + "@" + inner.Digest.String(), oci.Options{}, inner.Digest, 4},
		{"oci:" + dir + ":all", oci.Options{Platform: "linux/arm64"}, other.Digest, 4},
		{"oci-archive:" + file + ":all", oci.Options{}, index.Digest, 8},
		{"oci-archive:" + file + ":one", oci.Options{Platform: "linux/amd64"}, one.Digest, 4},
		{"oci-archive:-:all", pipe, index.Digest, 8},
		{"docker-archive:-", save, "", 4},
	} {
		b, err := oci.OpenBundle(ctx, c.ref, c.opts)
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if n := readAll(t, b, b.Root); n != c.blobs || c.want != "" && b.Root.Digest != c.want || digest.FromBytes(b.Root.Data) != b.Root.Digest {
			t.Errorf("%s: %s with %d blobs", c.ref, b.Root.Digest, n)
		}
		if err := b.Drain(ctx); err != nil {
			t.Errorf("%s: %v", c.ref, err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s: %v", c.ref, err)
		}
	}
}

// TestBundleErrors: what is wrong with what a reference names.
func TestBundleErrors(t *testing.T) {
	ctx := context.Background()
	pack := func(change func(p *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor) string {
		p := ocitest.NewPack()
		d := p.Image(t, ocitest.Simple(t))
		p.Index(ocitest.Named(change(p, d), "v1"))
		return "oci:" + p.Dir(t)
	}
	edit := func(old, new string) func(p *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor {
		return func(p *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor {
			data := p.Files["blobs/sha256/"+d.Digest.Encoded()]
			if !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%s has no %s", data, old)
			}
			return p.Blob(digest.SHA256, d.MediaType, bytes.Replace(data, []byte(old), []byte(new), 1))
		}
	}
	p := ocitest.NewPack()
	a := p.Image(t, ocitest.Simple(t))
	img := ocitest.Simple(t)
	img.Platform.Architecture = "arm64"
	p.Index(ocitest.Named(a, "v1"), ocitest.Named(p.Image(t, img), "v1"))
	var several *oci.SeveralError
	if _, err := oci.OpenBundle(ctx, "oci:"+p.Dir(t), oci.Options{}); !errors.As(err, &several) || several.Count != 2 {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		ref  string
		want string
	}{
		"a path as a digest": {pack(edit(`"digest":"sha256:`, `"digest":"../../sha256:`)), "corrupt image"},
		"a negative size":    {pack(edit(`"size":`, `"size":-`)), "size -"},
		"no such tag":        {pack(func(_ *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor { return d }) + ":v2", "not found"},
		"missing": {pack(func(_ *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor {
			d.Digest = digest.FromString("x")
			return d
		}), "not found"},
		"nested": {pack(func(p *ocitest.Pack, d manifest.Descriptor) manifest.Descriptor {
			for range 10 {
				d = p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{d}})
			}
			return d
		}), "indexes within each other"},
		"not a file": {"registry/x", "not the name of a file"},
	} {
		if _, err := oci.OpenBundle(ctx, c.ref, oci.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestBundleRepeats: indexes that list each other's images many times cost no more than what
// they list.
func TestBundleRepeats(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	arm, amd := d, ocitest.AMD64
	arm.Platform = &platform.Platform{OS: "linux", Architecture: "arm64"}
	d.Platform = &amd
	top := append(slices.Repeat([]manifest.Descriptor{d}, 500), arm)
	for range 5 {
		d = p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: top})
		top = slices.Repeat([]manifest.Descriptor{d}, 500)
	}
	p.Index(d)
	b, err := oci.OpenBundle(context.Background(), "oci:"+p.Dir(t), oci.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	at := b.Root
	for len(at.Manifests[0].Manifests) > 0 {
		at = at.Manifests[0]
	}
	if n := len(at.Manifests); n != 501 || at.Manifests[499].Platform != "linux/amd64" || at.Manifests[500].Platform != "linux/arm64" {
		t.Errorf("%d manifests", n)
	}
	if names := b.Root.BaseNames(); len(names) != 0 {
		t.Error(names)
	}
	d.Size++
	d.Platform = nil
	p.Index(p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: append(top, d)}))
	if _, err := oci.OpenBundle(context.Background(), "oci:"+p.Dir(t), oci.Options{}); !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("a wrong size in the last descriptor: %v", err)
	}
}

func TestBaseNames(t *testing.T) {
	data, err := json.Marshal(map[string]any{"annotations": map[string]string{manifest.BaseName: " docker.io/library/a:1 "}})
	if err != nil {
		t.Fatal(err)
	}
	d := oci.Document{Data: []byte("{}"), Digest: "a", Manifests: []*oci.Document{{Data: data, Digest: "b"}, {Data: []byte("not JSON"), Digest: "c"}}}
	if got := d.BaseNames(); len(got) != 1 || got[0] != "docker.io/library/a:1" {
		t.Errorf("%q", got)
	}
}

func TestIsStdin(t *testing.T) {
	for ref, want := range map[string]bool{
		"oci-archive:-": true, "oci-archive:-:v1": true, "docker-archive:-:a/b:v1": true, "oci:-@sha256:" + strings.Repeat("a", 64): true,
		"-": false, "oci-archive:-x": false, "oci:a:-": false, "oci:": false, "docker.io/a/b": false,
	} {
		if got := oci.IsStdin(ref); got != want {
			t.Errorf("%s: %v", ref, got)
		}
	}
}
