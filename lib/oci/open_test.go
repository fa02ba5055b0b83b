package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
)

var ctx = context.Background()

// linux is what tests choose unless they say otherwise, on any host.
var linux = Options{Platform: "linux/amd64"}

func TestOpenEveryKind(t *testing.T) {
	for _, compress := range []string{"", "gzip", "zstd"} {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			for _, docker := range []bool{false, true} {
				ti := ocitest.Simple(t)
				ti.Compression, ti.Algorithm, ti.Docker = compress, alg, docker
				p := ocitest.NewPack()
				d := p.Image(t, ti)
				p.Index(d)
				t.Run(fmt.Sprintf("%s,%s,docker=%v", compress, alg, docker), func(t *testing.T) {
					forms(t, p, func(t *testing.T, img *Image, err error) {
						must(t, err)
						check(t, ti, img)
						if img.Digest != d.Digest || img.MediaType != string(d.MediaType) {
							t.Errorf("manifest %s %s, want %s %s", img.MediaType, img.Digest, d.MediaType, d.Digest)
						}
					})
				})
			}
		}
	}
}

// forms opens p as a directory, as a file, from pipes in two orders, and
// compressed.
func forms(t *testing.T, p *ocitest.Pack, check func(t *testing.T, img *Image, err error)) {
	do := func(name string, open func() (*Image, error)) {
		t.Run(name, func(t *testing.T) {
			img, err := open()
			if err == nil {
				defer img.Close()
			}
			check(t, img, err)
		})
	}
	file := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(file, p.Tar(t), 0o666))
	do("dir", func() (*Image, error) { return OpenPath(ctx, p.Dir(t), linux) })
	do("file", func() (*Image, error) { return OpenPath(ctx, file, linux) })
	do("pipe", func() (*Image, error) { return OpenArchive(ctx, ocitest.Pipe(p.Tar(t), nil), linux) })
	do("pipe, manifest first", func() (*Image, error) {
		return OpenArchive(ctx, ocitest.Pipe(p.Streamed().Tar(t), nil), linux)
	})
	for _, how := range []string{"gzip", "zstd"} {
		must(t, os.WriteFile(file+how, ocitest.Compress(t, how, p.Tar(t)), 0o666))
		do(how, func() (*Image, error) { return OpenPath(ctx, file+how, linux) })
	}
}

func TestSelect(t *testing.T) {
	p := ocitest.NewPack()
	one, two := ocitest.Simple(t), ocitest.Simple(t)
	two.Layers = two.Layers[:1]
	d1, d2 := p.Image(t, one), p.Image(t, two)
	full := d2
	full.Annotations = map[string]string{manifest.RefName: "latest", manifest.FullName: "docker.io/library/two:latest"}
	twice := func(d manifest.Descriptor, name string) manifest.Descriptor {
		d.Annotations = map[string]string{manifest.RefName: "twice", manifest.FullName: name + ":twice"}
		return d
	}
	p.Index(ocitest.Named(d1, "v1"), ocitest.Named(d2, "example.org/x/y:v2"), full, twice(d1, "a"), twice(d2, "b"))
	dir := p.Dir(t)
	for _, c := range []struct {
		ref  string
		want digest.Digest
		err  error
		says string
	}{
		{ref: ":v1", want: d1.Digest},
		{ref: ":example.org/x/y:v2", want: d2.Digest},
		{ref: ":latest", want: d2.Digest},
		{ref: ":two:latest", want: d2.Digest},
		{ref: ":two", err: ErrNotFound, says: "v1"},
		{ref: "@" + d1.Digest.String(), want: d1.Digest},
		{ref: "@sha256:" + strings.Repeat("0", 1<<20), err: ErrCorrupt, says: "digest"},
		{ref: "", err: ErrUnsupported, says: "available: a:twice, b:twice, docker.io/library/two:latest, example.org/x/y:v2, v1"},
		{ref: ":twice", err: ErrUnsupported, says: "available: a:twice, b:twice"},
		{ref: ":v3", err: ErrNotFound, says: `tag "v3"`},
		{ref: "@sha256:" + strings.Repeat("0", 64), err: ErrNotFound, says: "no"},
		{ref: "@sha256:..", err: os.ErrNotExist, says: "@sha256"}, // it can only be a path
		{ref: "@md5:" + strings.Repeat("0", 32), err: ErrCorrupt, says: "md5"},
		{ref: "@sha384:" + strings.Repeat("0", 96), err: ErrUnsupported, says: "sha384"},
	} {
		t.Run(c.ref, func(t *testing.T) {
			img, err := Open(ctx, "oci:"+dir+c.ref, linux)
			if c.err == nil {
				must(t, err)
				if img.Digest != c.want {
					t.Errorf("got %s, want %s", img.Digest, c.want)
				}
			} else if !errors.Is(err, c.err) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.err, c.says)
			}
		})
	}
	if _, err := Open(ctx, "oci:", linux); err == nil || !strings.Contains(err.Error(), "names no file") {
		t.Error(err)
	}
}

func TestSplitPath(t *testing.T) {
	dir := t.TempDir()
	colon := filepath.Join(dir, "a:b")
	must(t, os.Mkdir(colon, 0o777))
	for in, want := range map[string][2]string{
		colon:             {colon, ""},
		colon + ":tag":    {colon, "tag"},
		dir + ":x/y:z":    {dir, "x/y:z"},
		"/no/such":        {"/no/such", ""},
		"/no/such:tag":    {"/no/such", "tag"},
		"-":               {"-", ""},
		"-:tag":           {"-", "tag"},
		dir + "/a@b.c":    {dir + "/a@b.c", ""},
		dir + ":user@tag": {dir, "user@tag"},
	} {
		path, sel, err := splitPath(in)
		if err != nil || path != want[0] || sel.tag != want[1] {
			t.Errorf("%s: %s %s %v, want %s", in, path, sel.tag, err, want)
		}
	}
}

// TestSplitBehindDrive has paths of Windows, none of which exists: a drive is not a path before a
// tag, even where a file has its name.
func TestSplitBehindDrive(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.Mkdir("C", 0o777))
	for in, want := range map[string][2]string{
		`C:\no\such`:          {`C:\no\such`, ""},
		`C:\no\such:tag`:      {`C:\no\such`, "tag"},
		`C:/no/such:tag:more`: {`C:/no/such`, "tag:more"},
	} {
		path, sel, err := splitBehind(in, len("C:"))
		if err != nil || path != want[0] || sel.tag != want[1] {
			t.Errorf("%s: %s %s %v, want %s", in, path, sel.tag, err, want)
		}
	}
	d := "sha256:" + strings.Repeat("0", 64)
	if path, sel, err := splitBehind(`C:\no\such@`+d, len("C:")); err != nil || path != `C:\no\such` || sel.digest.String() != d {
		t.Errorf("%s %s %v", path, sel.digest, err)
	}
	if path, sel, err := splitBehind("C:tag", 0); err != nil || path != "C" || sel.tag != "tag" {
		t.Errorf("without a drive: %s %s %v", path, sel.tag, err)
	}
}

func TestIndexes(t *testing.T) {
	ti := ocitest.Simple(t)
	variant := func(arch, v string) ocitest.Image {
		c := ti
		c.Platform = platform.Platform{OS: "linux", Architecture: arch, Variant: v}
		return c
	}
	p := ocitest.NewPack()
	v5, v6, v7 := p.Image(t, variant("arm", "v5")), p.Image(t, variant("arm", "v6")), p.Image(t, variant("arm", "v7"))
	a64, a64v8 := p.Image(t, variant("arm64", "")), p.Image(t, variant("arm64", "v8"))
	x, x3, i386 := p.Image(t, variant("amd64", "")), p.Image(t, variant("amd64", "v3")), p.Image(t, variant("386", ""))
	riscv := p.Image(t, variant("riscv64", ""))
	bare := riscv
	bare.Platform = nil
	empty := bare
	empty.Platform = &platform.Platform{}
	attestation := p.JSON(types.OCIManifestSchema1, manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &manifest.Descriptor{MediaType: "x"}})
	attestation.Annotations = map[string]string{manifest.DockerReference: "attestation-manifest"}
	unknown := v5
	unknown.Platform = &platform.Platform{OS: "unknown", Architecture: "unknown"}
	for _, c := range []struct {
		name, platform string
		list           []manifest.Descriptor
		want           manifest.Descriptor
		says           string
	}{
		{"exact", "linux/arm/v7", []manifest.Descriptor{v6, v7, v5}, v7, ""},
		{"v7 takes v6", "linux/arm/v7", []manifest.Descriptor{v5, v6}, v6, ""},
		{"v7 takes v5", "linux/arm/v7", []manifest.Descriptor{v5}, v5, ""},
		{"v6 does not take v7", "linux/arm/v6", []manifest.Descriptor{v7, x}, manifest.Descriptor{}, "linux/amd64, linux/arm/v7"},
		{"arm is v7", "linux/arm", []manifest.Descriptor{v5, v6, v7}, v7, ""},
		{"arm64 is v8", "linux/arm64", []manifest.Descriptor{v7, a64v8}, a64v8, ""},
		{"v8 is arm64", "linux/arm64/v8", []manifest.Descriptor{v7, a64}, a64, ""},
		{"arm64 takes arm", "linux/arm64", []manifest.Descriptor{v6, v7, x}, v7, ""},
		{"v9 takes v8", "linux/arm64/v9", []manifest.Descriptor{v7, a64v8}, a64v8, ""},
		{"aarch64", "linux/aarch64", []manifest.Descriptor{x, a64}, a64, ""},
		{"amd64 without variant", "linux/amd64", []manifest.Descriptor{x3, x}, x, ""},
		{"amd64/v3", "linux/amd64/v3", []manifest.Descriptor{x, x3}, x3, ""},
		{"amd64/v2 takes v1", "linux/amd64/v2", []manifest.Descriptor{x3, x}, x, ""},
		{"amd64 takes 386", "linux/x86_64", []manifest.Descriptor{v7, i386}, i386, ""},
		{"first of equals", "linux/amd64", []manifest.Descriptor{x, x}, x, ""},
		{"attestation", "linux/amd64", []manifest.Descriptor{attestation, x}, x, ""},
		{"unknown", "linux/amd64", []manifest.Descriptor{unknown, x}, x, ""},
		{"only attestations", "linux/amd64", []manifest.Descriptor{attestation, unknown}, manifest.Descriptor{}, "no image"},
		{"config says", "linux/riscv64", []manifest.Descriptor{x, bare}, riscv, ""},
		{"config says, not an empty platform", "linux/riscv64", []manifest.Descriptor{x, empty}, riscv, ""},
		{"config says no", "linux/s390x", []manifest.Descriptor{x, bare}, manifest.Descriptor{}, "available: linux/amd64, linux/riscv64"},
		{"only one, unlabelled", "linux/amd64", []manifest.Descriptor{bare}, manifest.Descriptor{}, "the image is for linux/riscv64"},
		{"only one, unlabelled, nothing asked for", "", []manifest.Descriptor{bare}, riscv, ""},
		{"only one, labelled", "linux/amd64", []manifest.Descriptor{a64}, manifest.Descriptor{}, "platform linux/amd64: not found: available: linux/arm64"},
		{"empty", "linux/amd64", nil, manifest.Descriptor{}, "no image"},
	} {
		nest := func(t *testing.T, depth int) {
			list := c.list
			for range depth {
				list = []manifest.Descriptor{p.JSON(types.DockerManifestList, manifest.Document{SchemaVersion: 2, MediaType: types.DockerManifestList, Manifests: list})}
			}
			if c.list == nil {
				list = []manifest.Descriptor{p.JSON(types.OCIImageIndex, map[string]any{"schemaVersion": 2, "manifests": []int{}})}
			}
			img, err := openLayout(ctx, packed{p.Index(list...)}, selector{}, Options{Platform: c.platform})
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				return
			}
			must(t, err)
			if img.Digest != c.want.Digest {
				t.Errorf("got %s", img.Platform)
			}
		}
		t.Run(c.name, func(t *testing.T) { nest(t, 1) })
		t.Run(c.name+", nested", func(t *testing.T) { nest(t, 3) })
	}
	t.Run("platforms beside each other in index.json", func(t *testing.T) {
		img, err := openLayout(ctx, packed{p.Index(a64, x)}, selector{}, linux)
		must(t, err)
		if img.Digest != x.Digest {
			t.Errorf("got %s", img.Platform)
		}
	})
	t.Run("no type", func(t *testing.T) {
		var doc manifest.Document
		must(t, json.Unmarshal(p.Files[layout.BlobName(x.Digest)], &doc))
		doc.MediaType = ""
		img, err := openLayout(ctx, packed{p.Index(p.JSON("", doc))}, selector{}, linux)
		must(t, err)
		if img.MediaType != string(types.OCIManifestSchema1) {
			t.Errorf("type %q", img.MediaType)
		}
	})
	t.Run("too deep", func(t *testing.T) {
		list := []manifest.Descriptor{x}
		for range maxNesting + 2 {
			list = []manifest.Descriptor{p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: list})}
		}
		_, err := openLayout(ctx, packed{p.Index(list...)}, selector{}, linux)
		if !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("too many", func(t *testing.T) {
		_, err := openLayout(ctx, packed{p.Index(slices.Repeat([]manifest.Descriptor{bare}, maxDocuments+1)...)}, selector{}, linux)
		if err == nil || !strings.Contains(err.Error(), "more than 256") {
			t.Error(err)
		}
	})
}

// TestVerify checks that the reader of a layer of the right size finds wrong bytes, and
// names the digest that was expected.
func TestVerify(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	p.Index(d)
	img, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	l := img.Layers[1]
	name := layout.BlobName(l.Digest)
	p.Files[name] = append(bytes.Clone(p.Files[name][:l.Size-1]), p.Files[name][l.Size-1]^1)
	img, err = OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	got, err := ocitest.Content(img.Layers[1].Open)
	if len(got) != int(l.Size) || !errors.Is(err, ErrCorrupt) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	for _, s := range []string{"layer 1", l.Digest.String(), digest.FromBytes(got).String()} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not name %s", err, s)
		}
	}
	p.Files[name] = p.Files[name][1:]
	if _, err := img.Layers[1].Open(ctx); err != nil {
		t.Error(err) // the file is still the old one
	}
	shorter, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	if _, err := shorter.Layers[1].Open(ctx); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "layer 1") {
		t.Errorf("a file of another size opens: %v", err)
	}
	var written bytes.Buffer
	if err := WriteLayer(ctx, &written, img, "1"); !errors.Is(err, ErrCorrupt) || written.Len() > 0 {
		t.Errorf("%v, and the end of the layer is written: %d bytes", err, written.Len())
	}
	if err := WriteArchive(ctx, &bytes.Buffer{}, img); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

func TestForeignLayer(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	doc, _, err := manifest.Parse(p.Files[layout.BlobName(d.Digest)], d)
	must(t, err)
	doc.Layers[0].URLs = []string{"https://example.com/layer"}
	doc.Layers[0].MediaType = types.DockerForeignLayer
	p.Index(p.JSON(types.OCIManifestSchema1, doc))
	img, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	check(t, ocitest.Simple(t), img) // the blob is there

	doc.Layers[0].Digest = digest.Digest("sha256:" + strings.Repeat("1", 64))
	p.Index(p.JSON(types.OCIManifestSchema1, doc))
	img, err = OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	_, err = ocitest.Content(img.Layers[0].Open)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "foreign layer") || !strings.Contains(err.Error(), "example.com") {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	p := ocitest.NewPack()
	ti := ocitest.Simple(t)
	p.Index(p.Image(t, ti))
	for _, limit := range []int64{10, 400, 600} {
		opts := linux
		opts.MaxMetadata = limit
		_, err := OpenPath(ctx, p.Dir(t), opts)
		if e := (*LimitError)(nil); !errors.Is(err, ErrUnsupported) || !errors.As(err, &e) || e.Limit != MaxMetadata || e.Max != limit {
			t.Errorf("%d: %v", limit, err)
		}
	}
	for _, limit := range []int64{-1, math.MaxInt64} {
		opts := linux
		opts.MaxMetadata = limit
		if _, err := OpenPath(ctx, p.Dir(t), opts); err != nil {
			t.Errorf("%d: %v", limit, err)
		}
	}
	deep := `{"a":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "}"
	many := `{"manifests":[` + strings.Repeat("{},", 1<<16) + "{}]}"
	if _, err := openLayout(ctx, packed{newPackOf(layout.Index, many)}, selector{}, linux); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "65536 objects") {
		t.Error(err)
	}
	var list []manifest.Descriptor
	for i := range 1000 {
		list = append(list, ocitest.Named(manifest.Descriptor{Digest: digest.FromString(fmt.Sprint(i))}, strings.Repeat("x", 1000)+fmt.Sprint(i)))
	}
	if _, err := openLayout(ctx, packed{ocitest.NewPack().Index(list...)}, selector{}, linux); err == nil || len(err.Error()) > 3000 || !strings.HasSuffix(err.Error(), "... and 980 more") {
		t.Error(err)
	}
	for _, name := range []string{layout.Index, p.Names[len(p.Names)-3]} {
		q := ocitest.NewPack()
		q.Index(q.Image(t, ti))
		q.Files[name] = []byte(deep)
		if _, err := OpenPath(ctx, q.Dir(t), linux); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	}
}

func TestLayoutDirectory(t *testing.T) {
	ti := ocitest.Simple(t)
	p := ocitest.NewPack()
	p.Index(p.Image(t, ti))
	t.Run("symbolic links", func(t *testing.T) {
		from, to := p.Dir(t), t.TempDir()
		must(t, filepath.Walk(from, func(path string, info os.FileInfo, err error) error {
			rel, _ := filepath.Rel(from, path)
			if info.IsDir() {
				return os.MkdirAll(filepath.Join(to, rel), 0o777)
			}
			return os.Symlink(path, filepath.Join(to, rel))
		}))
		img, err := OpenPath(ctx, to, linux)
		must(t, err)
		check(t, ti, img)
	})
	t.Run("what is read", func(t *testing.T) {
		dir, want := p.Dir(t), []string{layout.Index}
		var have []string
		opts := Options{Platform: linux.Platform, Reads: func(path string) error {
			have = append(have, strings.TrimPrefix(path, dir+"/"))
			return nil
		}}
		img, err := OpenPath(ctx, dir, opts)
		must(t, err)
		_, err = ocitest.Content(img.Layers[0].Open)
		must(t, err)
		for _, d := range []digest.Digest{img.Digest, img.ConfigDigest, img.Layers[0].Digest} {
			want = append(want, layout.BlobName(d))
		}
		if slices.Sort(have); !slices.Equal(slices.Compact(have), slices.Sorted(slices.Values(want))) {
			t.Errorf("reads %q, want %q", have, want)
		}
		refused := errors.New("refused")
		opts.Reads = func(string) error { return refused }
		if _, err := OpenPath(ctx, dir, opts); !errors.Is(err, refused) {
			t.Error(err)
		}
	})
	t.Run("not a layout", func(t *testing.T) {
		if _, err := OpenPath(ctx, t.TempDir(), linux); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := OpenPath(ctx, "/no/such", linux); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("blob is a named pipe", func(t *testing.T) {
		dir := p.Dir(t)
		img, err := OpenPath(ctx, dir, linux)
		must(t, err)
		name := filepath.Join(dir, layout.BlobName(img.Layers[0].Digest))
		must(t, os.Remove(name))
		must(t, syscall.Mkfifo(name, 0o666))
		if _, err := ocitest.Content(img.Layers[0].Open); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "not a regular file") {
			t.Error(err)
		}
	})
}

func TestFindLayer(t *testing.T) {
	p := ocitest.NewPack()
	p.Index(p.Image(t, ocitest.Simple(t)))
	img, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	for sel, want := range map[string]int{
		"0": 0, "2": 2, img.Layers[1].Digest.String(): 1, img.Layers[1].DiffID.String(): 1, img.Layers[2].Digest.String(): 0,
		"3": -1, "-1": -1, "": -1, "sha256:": -1, "9999999999999999999999": -1,
	} {
		l, err := img.Layer(sel)
		if want < 0 {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", sel, err)
			}
		} else if err != nil || l.Index != want {
			t.Errorf("%q: %v, %v", sel, l, err)
		}
	}
}

func TestIsArchiveName(t *testing.T) {
	hex := strings.Repeat("0f", 32)
	for _, s := range []string{"oci-layout", "./oci-layout", "index.json", "manifest.json", "repositories", "blobs/", "blobs/sha256/" + hex,
		hex, hex + "/", hex + "/VERSION", hex + ".json", hex + ".tar", hex + ".tar.gz", "sha256:" + hex} {
		if !IsArchiveName(s) {
			t.Errorf("%s is not recognised", s)
		}
	}
	for _, s := range []string{"", ".", "./", "etc/", "blobs.d", "a/index.json", hex[1:], hex + "0", hex + ".txt", "bin/" + hex} {
		if IsArchiveName(s) {
			t.Errorf("%s is recognised", s)
		}
	}
}

func newPackOf(name, data string) *ocitest.Pack {
	p := ocitest.NewPack()
	p.Add(name, []byte(data))
	return p
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	defer r.Close()
	if _, err := OpenArchive(ctx, r, linux); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestReference: what a name that is no file may mean.
func TestReference(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.MkdirAll("DIR", 0o777))
	must(t, os.WriteFile("DIR/index.json", nil, 0o666))
	must(t, os.MkdirAll("empty", 0o777))
	must(t, os.WriteFile("a.tar", nil, 0o666))
	for s, want := range map[string]string{
		"DIR:TAG": "oci:DIR:TAG", "oci:DIR:TAG": "oci:DIR:TAG", "a.tar:TAG": "oci-archive:a.tar:TAG",
		"docker-archive:a.tar": "docker-archive:a.tar", "oci:none:TAG": "", "oci:empty:TAG": "",
		"alpine:latest": "alpine:latest", "docker://alpine": "docker://alpine", "NONE:TAG": "", "a b:c": "",
	} {
		if got := Reference(s); got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}
