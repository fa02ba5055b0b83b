package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/reftest"
)

// tars are layers as docker saves them.
func tars(t *testing.T) (list [][]byte) {
	for i, size := range []int{30_000, 1 << 20, 0, 600_000} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(content)
		list = append(list, ocitest.Layer(t, fmt.Sprint("f", i), string(content)))
	}
	return list
}

// pipeOf yields data, and notes whether all of it was taken.
type pipeOf struct {
	io.ReadCloser
	end bool
}

func (p *pipeOf) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	p.end = p.end || err == io.EOF
	return n, err
}

// keep opens the image of a file as name, reads it, and lists it.
func (p *puller) keep(ref, name string, in io.ReadCloser) ([]byte, error) {
	p.t.Helper()
	opts := p.opts
	var err error
	opts.As = name
	opts.Cache, err = cas.Open(ctx, p.dir, cas.Options{Warn: opts.Image.Warn})
	must(p.t, err)
	if in != nil {
		opts.Image.OpenFile = func(string) (io.ReadCloser, error) { return in, nil }
	}
	img, err := Open(ctx, ref, opts)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	img.Tag = "" // that of the file, which the name in the cache does not have
	var b bytes.Buffer
	if err := oci.WriteArchive(ctx, &b, img.Image); err != nil {
		return nil, err
	}
	if err := img.Drain(ctx); err != nil {
		return nil, err
	}
	if !img.Record(ctx) {
		p.t.Error("not listed")
	}
	return b.Bytes(), nil
}

// kept is the archive of the image that the cache has under name.
func (p *puller) kept(name string) []byte {
	p.t.Helper()
	opts := p.opts
	opts.Policy = Never
	var err error
	opts.Cache, err = cas.Open(ctx, p.dir, cas.Options{Verify: true, Warn: opts.Image.Warn})
	must(p.t, err)
	img, err := Open(ctx, name, opts)
	must(p.t, err)
	defer img.Close()
	img.Tag = ""
	var b bytes.Buffer
	must(p.t, oci.WriteArchive(ctx, &b, img.Image))
	return b.Bytes()
}

// TestAs keeps images of all kinds of files under a name, some from a pipe, whose layers
// come in any order.
func TestAs(t *testing.T) {
	p := newPuller(t)
	before := reftest.RunningNow(t)
	ti := ocitest.Image{Platform: ocitest.AMD64, Layers: tars(t), Compression: "gzip"}
	pack := func() *ocitest.Pack {
		p := ocitest.NewPack()
		return p.Index(ocitest.Named(p.Image(t, ti), "x"))
	}
	plain := ti
	plain.Compression = ""
	twice := ti
	twice.Layers = append(twice.Layers, twice.Layers[1], twice.Layers[0])
	file := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "a.tar")
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	saved := ocitest.NewPack().DockerSave(t, plain, "x:1").Tar(t)
	for i, c := range []struct {
		ref  string
		pipe []byte
	}{
		{"oci:" + pack().Dir(t), nil},
		{"oci-archive:" + file(pack().Tar(t)), nil},
		{"oci-archive:-", pack().Tar(t)},
		{"oci-archive:-", pack().Streamed().Tar(t)},
		{"docker-archive:" + file(saved), nil},
		{"docker-archive:-", saved},
		{"docker-archive:-", ocitest.NewPack().DockerSave(t, twice, "x:1").Tar(t)},
		{"docker-archive:-", ocitest.Compress(t, "gzip", saved)},
	} {
		for _, policy := range []Policy{IfMissing, Always, Never} {
			p.opts.Policy, p.opts.Jobs = policy, 1+i%3
			name := fmt.Sprintf("r.io/image:%d", i)
			var in *pipeOf
			var rc io.ReadCloser
			if c.pipe != nil {
				in = &pipeOf{ReadCloser: ocitest.Pipe(c.pipe, nil)}
				rc = in
			}
			want, err := p.keep(c.ref, name, rc)
			if err != nil {
				t.Errorf("%s: %v", c.ref, err)
				continue
			}
			if in != nil && !in.end {
				t.Errorf("%s: the pipe was not read to its end", c.ref)
			}
			if got := p.kept(name); !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, and %d before", c.ref, len(got), len(want))
			}
		}
	}
	if len(p.warned) > 0 {
		t.Errorf("warned: %q", p.warned)
	}
	before.Left(t)
}

// TestAsBroken has files that are wrong: the layer is named once, and nothing is listed.
func TestAsBroken(t *testing.T) {
	p := newPuller(t)
	ti := ocitest.Image{Platform: ocitest.AMD64, Layers: tars(t)}
	pack := ocitest.NewPack()
	pack.Index(ocitest.Named(pack.Image(t, ti), "x"))
	dir := pack.Dir(t)
	blob := filepath.Join(dir, layout.BlobName(digest.FromBytes(ti.Layers[1])))
	data := slices.Clone(ti.Layers[1])
	data[1000] ^= 1
	must(t, os.Remove(blob))
	must(t, os.WriteFile(blob, data, 0o600))
	archive := pack.Streamed().Tar(t)
	for _, c := range []struct {
		ref  string
		pipe io.ReadCloser
		says string
	}{
		{"oci:" + dir, nil, "layer 1: "},
		{"oci-archive:-", ocitest.Pipe(archive[:len(archive)*2/3], nil), "cut short"},
		{"oci-archive:-", ocitest.Pipe(archive[:len(archive)*2/3], errors.New("gone")), "gone"},
		{"oci:absent", nil, "absent"},
	} {
		_, err := p.keep(c.ref, "r.io/image", c.pipe)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), "layer ") > 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.ref, err)
		}
	}
	s, err := cas.Open(ctx, p.dir, cas.Options{})
	must(t, err)
	if refs, err := s.AllRefs(); err != nil || len(refs) > 0 {
		t.Errorf("listed: %v, %v", refs, err)
	}
	must(t, os.Remove(blob))
	must(t, os.WriteFile(blob, ti.Layers[1], 0o600)) // nothing of what was wrong is left
	if _, err := p.keep("oci:"+dir, "r.io/image", nil); err != nil {
		t.Error(err)
	}
}

// TestAsNames has names that are none, or say more than a name may: no file is opened.
func TestAsNames(t *testing.T) {
	p := newPuller(t)
	pack := ocitest.NewPack()
	pack.Index(ocitest.Named(pack.Image(t, ocitest.Simple(t)), "x"))
	ref := "oci:" + pack.Dir(t)
	for _, name := range []string{
		"UPPER", "../../x", "/etc/x", "x y", "x\ny", "x\x00", "x:", ":x", "x:../y", "x@", "docker://x", "http://r.io/x", "x\x1b[2J", strings.Repeat("x", 300),
		"r.io/x@" + digest.FromString("").String(), "r.io/x:1@" + digest.FromString("").String(),
	} {
		if _, err := p.keep(ref, name, nil); err == nil || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, full := range map[string]string{"x": "docker.io/library/x:latest", "localhost:5000/a/b:1": "localhost:5000/a/b:1"} {
		_, err := p.keep(ref, name, nil)
		must(t, err)
		s, err := cas.Open(ctx, p.dir, cas.Options{})
		must(t, err)
		if refs, err := s.Refs(full); err != nil || len(refs) != 1 {
			t.Errorf("%q: %v, %v", name, refs, err)
		}
	}
}

// TestAsStalled closes an image whose pipe sends nothing more.
func TestAsStalled(t *testing.T) {
	p := newPuller(t)
	before := reftest.RunningNow(t)
	pack := ocitest.NewPack()
	pack.Index(ocitest.Named(pack.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: tars(t)}), "x"))
	data := pack.Streamed().Tar(t)
	r, w := io.Pipe()
	go w.Write(data[:len(data)/2])
	opts := p.opts
	var err error
	opts.As = "r.io/image"
	opts.Cache, err = cas.Open(ctx, p.dir, cas.Options{})
	must(t, err)
	opts.Image.OpenFile = func(string) (io.ReadCloser, error) { return r, nil }
	img, err := Open(ctx, "oci-archive:-", opts)
	must(t, err)
	must(t, img.Prefetch())
	enough := errors.New("enough")
	limited, cancel := context.WithTimeoutCause(ctx, 100*time.Millisecond, enough)
	defer cancel()
	if _, err := ocitest.Content(func(context.Context) (io.ReadCloser, error) { return img.Layers[3].Open(limited) }); !errors.Is(err, enough) {
		t.Errorf("read: %v", err)
	}
	if err := img.Drain(limited); !errors.Is(err, enough) {
		t.Errorf("drain: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- img.Close() }()
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for the pipe")
	}
	w.Close()
	before.Left(t)
}

// TestPrefetchLayers fetches some layers, in the order that is asked for, and no others.
func TestPrefetchLayers(t *testing.T) {
	p := newPuller(t)
	p.opts.Jobs = 1
	p.AddImage("r", "v1", layers()...)
	img, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	must(t, img.PrefetchLayers([]int{3, 0, 3}))
	img.remote.waitForDownloads(ctx)
	var begun []int
	for _, e := range p.events {
		if e.Kind == EventStarted && e.Layer >= 0 {
			begun = append(begun, e.Layer)
		}
	}
	if !slices.Equal(begun, []int{3, 0}) {
		t.Errorf("began %v", begun)
	}
	if img.Record(ctx) || !img.RecordDropped(ctx) {
		t.Error("two layers are missing")
	}
	must(t, img.Close())

	p.opts.Policy = Never // the name leads to it, and what is there can be asked for
	img, err = p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	must(t, img.PrefetchLayers([]int{0, 3}))
	must(t, img.PrefetchLayers(nil))
	err = img.PrefetchLayers([]int{0, 1, 2})
	if !errors.As(err, new(*AbsentError)) || strings.Contains(err.Error(), "layer 0") || !strings.Contains(err.Error(), "layer 1 sha256:") || !strings.Contains(err.Error(), "layer 2 sha256:") {
		t.Errorf("never: %v", err)
	}
	if img.RecordDropped(ctx) {
		t.Error("listed, with the policy Never")
	}
	must(t, img.Close())
}

// TestDistrust: only a blob that is damaged is fetched again.
func TestDistrust(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", layers()...)
	p.want("r:v1")
	img, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	defer func() { must(t, img.Close()) }()
	l := &img.Layers[1]
	good, err := ocitest.Content(l.Open)
	must(t, err)
	if img.Distrust(ctx, l) {
		t.Error("a good blob is distrusted")
	}
	path := filepath.Join(p.dir, layout.BlobName(l.Digest))
	for what, bad := range map[string][]byte{"a byte": append([]byte{good[0] ^ 1}, good[1:]...), "empty": nil, "long": append(slices.Clone(good), 1)} {
		must(t, os.WriteFile(path, bad, 0o600))
		p.warned = nil
		if what == "a byte" { // else the size tells
			if got, err := ocitest.Content(l.Open); err != nil || bytes.Equal(got, good) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if !img.Distrust(ctx, l) || len(p.warned) != 1 || !strings.Contains(p.warned[0], l.Digest.String()) {
			t.Errorf("%s: warned %q", what, p.warned)
		}
		got, err := ocitest.Content(l.Open)
		if err != nil || !bytes.Equal(got, good) {
			t.Errorf("%s: read again: %d bytes, %v", what, len(got), err)
		}
		img.remote.waitForDownloads(ctx)
		if now, _ := os.ReadFile(path); !bytes.Equal(now, good) {
			t.Errorf("%s: the cache was not mended", what)
		}
		if img.Distrust(ctx, l) {
			t.Errorf("%s: what was fetched again is distrusted", what)
		}
	}

	p.dir = ""
	alone, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	if alone.Distrust(ctx, &alone.Layers[0]) || alone.RecordDropped(ctx) {
		t.Error("without a cache")
	}
	must(t, alone.Close())
}
