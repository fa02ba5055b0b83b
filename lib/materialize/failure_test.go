package materialize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/reftest"
	fake "ocipipe/lib/reftest/registry"
)

// TestLowestFailure has an image that is wrong in several layers, of which the highest is the
// largest and so begins first: the lowest is reported, whatever the number of jobs.
func TestLowestFailure(t *testing.T) {
	b := newBench(t)
	layers := stack(t, 9)
	var ids []digest.Digest
	for i, l := range layers {
		ids = append(ids, digest.FromBytes(l))
		if i > 2 && i%2 == 1 {
			ids[i] = digest.FromString(fmt.Sprint(i))
		}
	}
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: layers, DiffIDs: ids, Compression: "gzip"}), "x"))
	dir := p.Dir(t)
	before := reftest.RunningNow(t)
	for n := range 16 {
		b.dir = filepath.Join(t.TempDir(), fmt.Sprint(n))
		_, err := b.run(t.Context(), "oci:"+dir+":x", func(o *Options, _ *cas.Options) {
			o.Jobs = 1 + n%8
			if n%3 == 0 {
				o.Pull.As = "x"
			}
		})
		if err == nil || !strings.HasPrefix(err.Error(), dir+": layer 3: ") || strings.Count(err.Error(), "layer ") != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d jobs: %v", 1+n%8, err)
		}
		b.checkLeft()
	}
	before.Left(t)
}

// TestOrderOfPipe converts a docker archive from a pipe with a single job, whatever the order
// of its layers and the sizes that say which comes first.
func TestOrderOfPipe(t *testing.T) {
	b := newBench(t)
	layers := stack(t, 7)
	layers = append(layers, layers[2], layers[5], layers[0])
	before := reftest.RunningNow(t)
	var want map[string]string
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 12 {
		p := ocitest.NewPack().DockerSave(t, ocitest.Image{Platform: ocitest.AMD64, Layers: layers}, "x:1")
		rnd.Shuffle(len(p.Names), func(i, j int) { p.Names[i], p.Names[j] = p.Names[j], p.Names[i] })
		data := p.Tar(t)
		b.dir = filepath.Join(t.TempDir(), fmt.Sprint(n))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("it hangs"))
		r, err := b.run(ctx, "docker-archive:-", func(o *Options, _ *cas.Options) {
			o.Ref, o.Jobs, o.Pull.Jobs = "docker-archive:-", 1+n%2, 1+n%3
			if n%2 == 0 {
				o.Pull.As = "x"
			}
			o.Pull.Image.OpenFile = func(string) (io.ReadCloser, error) { return ocitest.Pipe(data, nil), nil }
		})
		cancel()
		must(t, err)
		got := contents(t, r)
		if want == nil {
			want = got
		}
		if !mapsEqual(got, want) {
			t.Error("other bytes")
		}
		b.checkLeft()
	}
	before.Left(t)
}

// TestStalledPipe ends a call whose pipe sends nothing more.
func TestStalledPipe(t *testing.T) {
	b := newBench(t)
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: stack(t, 5)}), "x"))
	data := p.Streamed().Tar(t)
	before := reftest.RunningNow(t)
	for _, name := range []string{"", "x"} {
		for _, part := range []int{0, 100, len(data) / 2, len(data) - 2000} {
			r, w := io.Pipe()
			go w.Write(data[:part])
			enough := errors.New("enough")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, enough)
			start := time.Now()
			_, err := b.run(ctx, "oci-archive:-", func(o *Options, _ *cas.Options) {
				o.Ref, o.Pull.As = "oci-archive:-", name
				o.Pull.Image.OpenFile = func(string) (io.ReadCloser, error) { return r, nil }
			})
			cancel()
			if !errors.Is(err, enough) || time.Since(start) > 30*time.Second {
				t.Errorf("after %d bytes: %v, in %v", part, err, time.Since(start))
			}
			w.Close()
		}
	}
	before.Left(t)
}

// TestLyingRegistry has a registry that sends something else.
func TestLyingRegistry(t *testing.T) {
	b := newBench(t)
	img := b.AddImage("r", "v1", stack(t, 6)...)
	before := reftest.RunningNow(t)
	for name, lie := range map[string]fake.Rule{
		"other bytes": {Flip: 1}, "missing": {Status: 404}, "refuses": {Status: 403}, "ends early": {Break: "close", At: 1}, "drops": {Break: "drop"},
	} {
		lie.Match = img.Layers[3]
		b.Behave(fake.Behaviour{Rules: []fake.Rule{lie}})
		b.dir = filepath.Join(t.TempDir(), "cache")
		_, err := b.run(t.Context(), "r:v1", nil)
		if err == nil || !strings.Contains(err.Error(), "layer 3: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		b.Behave(fake.Behaviour{})
		b.mustRun("r:v1", nil)
		b.checkLeft()
	}
	before.Left(t)
}

// TestManyLayers makes an image of more layers than most have, with one job and with many.
func TestManyLayers(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 110)...)
	before := reftest.RunningNow(t)
	first := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Jobs, o.Pull.Jobs = 1, 1 })
	want := contents(t, first)
	b.dir = filepath.Join(t.TempDir(), "two")
	second := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Jobs, o.Pull.Jobs = 100, 100 })
	if !mapsEqual(want, contents(t, second)) || !b.mustRun("r:v1", nil).Hit {
		t.Error("other bytes, or no hit")
	}
	before.Left(t)
}

// TestClock has times of use that go backwards and far ahead, and files from the future.
func TestClock(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 4)...)
	want := contents(t, b.mustRun("r:v1", nil))
	for _, at := range []time.Time{time.Unix(1, 0), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), {}, time.Now()} {
		for name := range want {
			must(t, os.Chtimes(filepath.Join(b.dir, name), at, at))
		}
		r := b.mustRun("r:v1", func(o *Options, c *cas.Options) { o.Pull.Used, o.Verify, c.Verify = at, true, true })
		if !r.Hit || !mapsEqual(want, contents(t, r)) {
			t.Errorf("%v: %s", at, r.JSON())
		}
		if r := b.mustRun("r:v1", func(o *Options, c *cas.Options) { o.Pull.Used, c.Fresh = at, true }); r.Hit || !mapsEqual(want, contents(t, r)) {
			t.Errorf("%v: %s", at, r.JSON())
		}
	}
}

// TestPermissions shows that artifacts have the permissions of the cache without writing.
func TestPermissions(t *testing.T) {
	for dirMode, want := range map[os.FileMode]os.FileMode{0o700: 0o400, 0o755: 0o444, 0o2775: 0o444} {
		b := newBench(t)
		b.AddImage("r", "v1", stack(t, 2)...)
		must(t, os.Mkdir(b.dir, 0o700))
		must(t, os.Chmod(b.dir, dirMode&os.ModePerm))
		b.mustRun("r:v1", nil)
		for _, path := range b.artifacts() {
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode() != want {
				t.Errorf("%v: %s has %v", dirMode, path, info.Mode())
			}
		}
	}
}

// TestHostileStrings has an image whose configuration and tag would control a terminal. They
// arrive as they are, and name no file.
func TestHostileStrings(t *testing.T) {
	b := newBench(t)
	const hostile = "../\x1b[2J\u009b31m\u202e\n\"x"
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	layer := stack(t, 1)[0]
	conf, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []digest.Digest{digest.FromBytes(layer)}},
		"config": map[string]any{"Env": []string{"A=" + hostile}, "User": hostile, "Labels": map[string]string{hostile: hostile}, "Cmd": []string{hostile}},
	})
	must(t, err)
	p := ocitest.NewPack()
	c := p.Blob(digest.SHA256, "application/vnd.oci.image.config.v1+json", conf)
	m := p.Blob(digest.SHA256, manifestType, manifest.Encode(manifest.Document{
		SchemaVersion: 2, MediaType: manifestType, Config: &c, Layers: []manifest.Descriptor{p.Blob(digest.SHA256, "application/vnd.oci.image.layer.v1.tar", layer)},
	}))
	p.Index(ocitest.Named(m, hostile))
	r := b.mustRun("oci:"+p.Dir(t), func(o *Options, _ *cas.Options) { o.Pull.As = "x" })
	if strings.ContainsFunc(string(r.JSON()), func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) {
		t.Errorf("%q", r.JSON())
	}
	var back Result
	must(t, json.Unmarshal(r.JSON(), &back))
	if back.Process.User != hostile || back.Process.Argv[0] != hostile || back.Process.Labels[hostile] != hostile {
		t.Errorf("%+v", back.Process)
	}
	store, err := cas.Open(t.Context(), b.dir, cas.Options{})
	must(t, err)
	if _, foreign, err := store.Files(t.Context()); err != nil || len(foreign) > 0 {
		t.Errorf("the cache has %q, %v", foreign, err)
	}
}

// TestOddDirectory has a cache with a name that is difficult in the text of a descriptor.
func TestOddDirectory(t *testing.T) {
	for _, name := range []string{"a b", `a"b`, "a\nRW 1 FLAT \"x\" 0", "a%s", "-a", "\xff\xfe", "a#b"} {
		b := newBench(t)
		b.AddImage("r", "v1", stack(t, 3)...)
		b.dir = filepath.Join(t.TempDir(), name)
		r := b.mustRun("r:v1", nil)
		if !b.mustRun("r:v1", nil).Hit {
			t.Errorf("%q: no hit", name)
		}
		text, err := os.ReadFile(r.VMDK.Path)
		must(t, err)
		if bytes.Contains(text, []byte(name)) {
			t.Errorf("%q is in the descriptor", name)
		}
	}
}

// TestUsed shows that the cache learns when an image was used, one in a file too.
func TestUsed(t *testing.T) {
	b := newBench(t)
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: stack(t, 2)}), "x"))
	for _, as := range []string{"", "x"} {
		for _, at := range []time.Time{time.Unix(1, 0), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
			r := b.mustRun("oci:"+p.Dir(t)+":x", func(o *Options, _ *cas.Options) { o.Pull.As, o.Pull.Used = as, at })
			info, err := os.Stat(filepath.Join(b.dir, layout.BlobName(r.Manifest.Digest)))
			must(t, err)
			if !info.ModTime().Equal(at) {
				t.Errorf("as %q: used at %v, want %v", as, info.ModTime(), at)
			}
		}
	}
}
