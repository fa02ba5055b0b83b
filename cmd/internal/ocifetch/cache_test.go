package ocifetch

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/reftest"
	"ocipipe/lib/reftest/registry"
)

const numImages = 6 // image i has layers i, i+1, i+2, and i+1 again

// cacheTest is one cache that many processes use, and its registry.
type cacheTest struct {
	bin, dir string
	server   *registry.Server
	layers   [][]byte
	images   []cachedImage
	sizes    map[digest.Digest]int64 // of their layers and configurations
	rnd      *rand.Rand
	fetched  int64 // bytes of blobs, in all rounds
}

// cachedImage is an image of the registry, and the hash of what the tool writes
// for it.
type cachedImage struct {
	ref  string
	want [32]byte
}

// TestCacheShared runs processes that pull the same and different images into one cache,
// and kills them at random moments, over and over. After each round the cache is valid. A
// round does not fetch again what it finds in the cache. A round in which no process is
// killed fetches each missing byte once.
func TestCacheShared(t *testing.T) {
	cycles, processes, size := 1, 6, 200_000
	if os.Getenv("SOAK") == "true" {
		cycles, processes, size = 40, 20, 6_000_000
	}
	for i := range cycles {
		c := newCacheTest(t, uint64(i), size)
		if i%2 == 1 { // all at once in an empty cache
			c.round(t, processes, false)
			must(t, os.RemoveAll(c.dir))
		}
		c.fetched = 0
		kills := 0
		for range 3 {
			kills += c.round(t, processes, true)
		}
		c.round(t, processes, false)
		wasted := c.fetched
		for _, size := range c.sizes {
			wasted -= size
		}
		c.offline(t)
		if t.Failed() {
			t.Fatalf("in cycle %d", i)
		}
		t.Logf("cycle %d: %d killed, %d KiB fetched, %d KiB of it again", i, kills, c.fetched>>10, wasted>>10)
		os.RemoveAll(c.dir)
		c.server.Close()
	}
}

func newCacheTest(t *testing.T, seed uint64, size int) *cacheTest {
	t.Helper()
	t.Setenv("CONTAINERS_REGISTRIES_CONF", os.DevNull)
	c := &cacheTest{bin: filepath.Join(t.TempDir(), "oci-fetch"), dir: filepath.Join(t.TempDir(), "cache"), sizes: map[digest.Digest]int64{}, rnd: rand.New(rand.NewPCG(seed, 1))}
	build := reftest.Command(t, "go", "build", "-o", c.bin, "ocipipe/cmd/oci-fetch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	for i := range 8 {
		c.layers = append(c.layers, registry.Layer(seed*100+uint64(i), 1+c.rnd.IntN(size)))
	}
	c.restart(t)
	for i := range numImages {
		ref := fmt.Sprintf("%s/r:%d", c.server.Host, i)
		out, err := reftest.Command(t, c.bin, "--no-cache", ref).Output()
		must(t, err)
		c.images = append(c.images, cachedImage{ref, sha256.Sum256(out)})
		out, err = reftest.Command(t, c.bin, "--no-cache", "--manifest", ref).Output()
		must(t, err)
		for _, b := range blobsOf(t, out) {
			c.sizes[b.Digest] = b.Size
		}
	}
	return c
}

// restart ends the registry and starts one like it in its place, which has served
// nothing: what a killed process has asked for must not count later.
func (c *cacheTest) restart(t *testing.T) {
	t.Helper()
	var conf registry.Config
	if c.server != nil {
		conf.Addr = c.server.Host
		must(t, c.server.Close())
	}
	server, err := registry.Start(conf)
	must(t, err)
	t.Cleanup(func() { server.Close() })
	for i := range numImages {
		server.AddImage("r", fmt.Sprint(i), c.layers[i], c.layers[i+1], c.layers[i+2], c.layers[i+1])
	}
	c.server = server
}

type blob struct {
	Digest digest.Digest
	Size   int64
}

// blobsOf returns what a manifest lists.
func blobsOf(t *testing.T, manifest []byte) []blob {
	t.Helper()
	var m struct {
		Config blob
		Layers []blob
	}
	must(t, json.Unmarshal(manifest, &m))
	return append(m.Layers, m.Config)
}

// round runs processes that pull, and may kill some of them.
func (c *cacheTest) round(t *testing.T, processes int, kill bool) (killed int) {
	before := c.missing(t)
	c.restart(t)
	c.server.Behave(c.behaviour(kill))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range processes {
		img := c.images[c.rnd.IntN(len(c.images))]
		if !kill {
			img = c.images[i%len(c.images)]
		}
		args := []string{"--cache", c.dir, "--jobs", fmt.Sprint(1 + c.rnd.IntN(4)), "--connections", fmt.Sprint(1 + c.rnd.IntN(6)), img.ref}
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, 0}[c.rnd.IntN(5)]
		after := time.Duration(c.rnd.Int64N(int64(time.Second)))
		if !kill {
			signal = 0
		}
		wg.Go(func() {
			if c.pull(t, img, args, signal, after) {
				mu.Lock()
				defer mu.Unlock()
				killed++
			}
		})
	}
	wg.Wait()
	c.check(t)
	c.account(t, before, kill)
	return killed
}

// behaviour returns how the registry behaves in a round: slow, fast or, if a process is
// killed anyway, breaking connections.
func (c *cacheTest) behaviour(kill bool) registry.Behaviour {
	b := registry.Behaviour{Seed: c.rnd.Uint64()}
	if c.rnd.IntN(3) > 0 {
		b.Rate = 1 << (18 + c.rnd.IntN(6))
	}
	if c.rnd.IntN(2) == 0 {
		b.Latency = registry.Duration(10 * time.Millisecond)
	}
	if kill && c.rnd.IntN(3) == 0 {
		b.Rules = []registry.Rule{{Match: "/blobs/", Times: 5, Break: "reset", Within: 1_000_000}}
	}
	return b
}

// pull runs the tool, which gets a signal unless that is 0, and reports whether it
// was ended by it. Otherwise what it wrote must be the image.
func (c *cacheTest) pull(t *testing.T, img cachedImage, args []string, signal syscall.Signal, after time.Duration) bool {
	cmd := reftest.Command(t, c.bin, args...)
	sum := sha256.New()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = sum, &stderr
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return false
	}
	if signal != 0 {
		defer time.AfterFunc(after, func() { cmd.Process.Signal(signal) }).Stop()
	}
	err := cmd.Wait()
	switch state := cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case err == nil && [32]byte(sum.Sum(nil)) != img.want:
		t.Errorf("oci-fetch %q: another archive than without the cache: %s", args, stderr.String())
	case err == nil && stderr.Len() > 0 && !strings.Contains(stderr.String(), "warning: waiting for another process"):
		t.Errorf("oci-fetch %q: %s", args, stderr.String())
	case err != nil && (signal == 0 || state.Signal() != signal && state.ExitStatus() != 128+int(signal)):
		t.Errorf("oci-fetch %q: %v: %s", args, err, stderr.String())
	}
	return err != nil
}

// missing returns what the cache lacks of each blob.
func (c *cacheTest) missing(t *testing.T) map[digest.Digest][]cas.Range {
	t.Helper()
	m := map[digest.Digest][]cas.Range{}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) { // and the first processes make it
		for d, size := range c.sizes {
			m[d] = []cas.Range{{Off: 0, End: size}}
		}
		return m
	}
	s, err := cas.Open(t.Context(), c.dir, cas.Options{})
	must(t, err)
	for d, size := range c.sizes {
		p, err := s.Begin(t.Context(), d, size)
		if errors.Is(err, cas.ErrExists) {
			m[d] = nil
			continue
		}
		must(t, err)
		m[d] = p.Missing()
		p.Close()
	}
	return m
}

// account compares what was fetched in a round with what was missing before it.
func (c *cacheTest) account(t *testing.T, before map[digest.Digest][]cas.Range, kill bool) {
	t.Helper()
	stats := c.server.Stats()
	for d, missing := range before {
		var got []cas.Range
		for _, x := range stats.Blobs[d.String()].Spans {
			got = append(got, cas.Range{Off: x.From, End: x.To})
		}
		c.fetched += stats.Blobs[d.String()].Bytes
		switch {
		case len(missing) == 0 && len(got) > 0:
			t.Errorf("%s was there, and %v of it fetched", d, got)
		case !kill && (!slices.Equal(got, missing) || stats.Blobs[d.String()].Again > 0):
			t.Errorf("%s: missing was %v, fetched %v", d, missing, stats.Blobs[d.String()].Spans)
		}
	}
}

// check checks that the cache is valid.
func (c *cacheTest) check(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "blobs/sha256/*"))
	must(t, err)
	for _, path := range files {
		f, err := os.Open(path)
		must(t, err)
		d, err := digest.FromReader(f)
		f.Close()
		if err != nil || d.Encoded() != filepath.Base(path) {
			t.Errorf("%s does not have its digest: %v", path, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(c.dir, "index.json"))
	must(t, err)
	var index struct{ Manifests []blob }
	must(t, json.Unmarshal(data, &index))
	path := func(d digest.Digest) string { return filepath.Join(c.dir, "blobs", "sha256", d.Encoded()) }
	for _, e := range index.Manifests {
		data, err := os.ReadFile(path(e.Digest))
		must(t, err)
		for _, b := range blobsOf(t, data) {
			if info, err := os.Stat(path(b.Digest)); err != nil || info.Size() != b.Size {
				t.Errorf("index.json lists %s, of which %s is missing: %v", e.Digest, b.Digest, err)
			}
		}
	}
}

// offline checks that each image can be had without the registry, by us and by skopeo, and
// nothing else is in the cache.
func (c *cacheTest) offline(t *testing.T) {
	t.Helper()
	c.restart(t)
	for _, img := range c.images {
		c.pull(t, img, []string{"--pull", "never", "--verify-cache", "--cache", c.dir, img.ref}, 0, 0)
		reftest.Run(t, "skopeo", "copy", "oci:"+c.dir+":"+img.ref, "dir:"+t.TempDir())
	}
	if n := len(c.server.Stats().Requests); n > 0 {
		t.Errorf("%d requests with --pull never", n)
	}
	for _, name := range []string{"tmp", "locks"} {
		ents, _ := os.ReadDir(filepath.Join(c.dir, name))
		for _, e := range ents {
			if e.Name() != "index.json" && e.Name() != "prune" {
				t.Errorf("left: %s/%s", name, e.Name())
			}
		}
	}
}
