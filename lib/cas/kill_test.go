package cas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/layout"
	"ocipipe/lib/reftest"
)

// The tests of this file run real processes: this binary, which TestMain sends to
// puller. Each pulls images from a server of the test, that counts, into one
// cache, until it is done or killed.
//
// Image i is the layers i, i+1 and i+2, i+2 twice, and so shares layers with its
// neighbours. Layer i is content(i, its size).
const (
	numImages = 6
	chunk     = 16 << 10 // of one request
)

func layerOf(i int) []byte {
	sizes := []int{300_000, 0, 1, chunk, 100_000, 3 * chunk, 700_001, 50_000}
	return content(uint64(100+i), sizes[i%len(sizes)])
}

func layersOf(i int) []int { return []int{i, i + 1, i + 2, i + 2} }

func imageName(i int) string { return fmt.Sprintf("r.io/image:%d", i) }

// manifestOf is the manifest of image i: the digests of its layers.
func manifestOf(i int) []byte {
	var layers []digest.Digest
	for _, n := range layersOf(i) {
		layers = append(layers, digest.FromBytes(layerOf(n)))
	}
	data, _ := json.Marshal(layers)
	return data
}

func TestMain(m *testing.M) {
	if job := os.Getenv("CAS_PULL"); job != "" {
		if err := puller(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if job := os.Getenv("CAS_MAKE"); job != "" {
		if err := maker(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// puller does the job "DIR URL SEED NUMBER": it pulls that many images.
func puller(job string) error {
	var dir, url string
	var seed uint64
	var number int
	if _, err := fmt.Sscan(job, &dir, &url, &seed, &number); err != nil {
		return err
	}
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	if err := s.Collect(ctx, time.Time{}); err != nil {
		return err
	}
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(numImages)[:number] {
		if err := pullImage(s, url, i); err != nil {
			return fmt.Errorf("image %d: %w", i, err)
		}
	}
	return nil
}

func pullImage(s *Store, url string, i int) error {
	g, ctx := errgroup.WithContext(ctx)
	var blobs []digest.Digest
	for _, n := range layersOf(i) {
		data := layerOf(n)
		blobs = append(blobs, digest.FromBytes(data))
		g.Go(func() error {
			return pullBlob(ctx, s, fmt.Sprintf("%s/%d", url, n), digest.FromBytes(data), int64(len(data)))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m := manifestOf(i)
	d := digest.FromBytes(m)
	if err := s.Put(context.Background(), d, m); err != nil {
		return err
	}
	return s.SetRef(context.Background(), Ref{Name: imageName(i), MediaType: manifestType, Digest: d, Size: int64(len(m))}, blobs)
}

func pullBlob(ctx context.Context, s *Store, url string, d digest.Digest, size int64) error {
	if b, err := s.Blob(ctx, d); err == nil {
		return b.Close()
	}
	p, err := s.Begin(ctx, d, size)
	if errors.Is(err, ErrExists) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	var g errgroup.Group
	g.SetLimit(2)
	for _, x := range p.Missing() {
		for ; x.Off < x.End; x.Off += chunk {
			off, end := x.Off, min(x.Off+chunk, x.End)
			g.Go(func() error { return pullChunk(p, url, off, end) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return p.Commit(ctx)
}

func pullChunk(p *Part, url string, off, end int64) error {
	resp, err := http.Get(fmt.Sprintf("%s?off=%d&end=%d", url, off, end))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	_, err = p.WriteAt(data, off)
	return err
}

// source serves layers in chunks, and counts.
type source struct {
	*httptest.Server
	exe    string // that pulls
	dir    string // of caches
	mu     sync.Mutex
	chunks int // asked for
	repeat int // of those, the ones that had been asked for before
	seen   map[string]bool
	twice  map[string]bool
}

func newSource(t testing.TB) *source {
	src := &source{seen: map[string]bool{}, twice: map[string]bool{}}
	src.exe, src.dir = program(t)
	src.Server = httptest.NewServer(src)
	t.Cleanup(src.Close)
	return src
}

func (src *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	off, oerr := strconv.Atoi(r.FormValue("off"))
	end, eerr := strconv.Atoi(r.FormValue("end"))
	if err != nil || oerr != nil || eerr != nil {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	src.mu.Lock()
	src.chunks++
	if src.seen[r.URL.String()] {
		src.repeat++
		src.twice[r.URL.String()] = true
	}
	src.seen[r.URL.String()] = true
	src.mu.Unlock()
	w.Write(layerOf(n)[off:end])
}

// counted returns how many chunks were asked for, and how many of them again.
func (src *source) counted() (chunks, repeat int) {
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.chunks, src.repeat
}

// forget begins to count anew what is asked for again.
func (src *source) forget() {
	src.mu.Lock()
	defer src.mu.Unlock()
	src.repeat, src.seen = 0, map[string]bool{}
}

// program is a copy of this binary that any user can run, and the directory that
// the caches of a test are in.
func program(t testing.TB) (exe, dir string) {
	t.Helper()
	dir = shared(t, 0o777)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(dir, "puller")
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return exe, dir
}

// pull starts a process that pulls a number of images: not as root, who may do
// more than others.
func (src *source) pull(t testing.TB, dir string, seed uint64, number int, wrap ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	args := append(wrap, src.exe)
	cmd := reftest.Command(t, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("CAS_PULL=%s %s %d %d", dir, src.URL, seed, number))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// checkCache checks that the cache holds nothing wrong: each blob has its digest,
// and each image its blobs. It returns how many images there are.
func checkCache(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil || digest.FromBytes(data).Encoded() != filepath.Base(path) {
			t.Errorf("%s does not have its digest: %d bytes, %v", path, len(data), err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return 0 // not made yet
	}
	s := open(t, dir, Options{})
	_, list, err := s.readIndex(layout.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range list {
		b, err := os.ReadFile(s.path(layout.BlobName(decodeEntry(raw).Digest)))
		var layers []digest.Digest
		if err == nil {
			err = json.Unmarshal(b, &layers)
		}
		for _, d := range layers {
			if err == nil {
				_, err = os.Stat(s.path(layout.BlobName(d)))
			}
		}
		if err != nil || len(layers) == 0 {
			t.Errorf("index.json lists %s, which is not complete: %v", raw, err)
		}
	}
	return len(list)
}

// wantPulled runs a process to its end, after which every image is there and
// nothing else.
func wantPulled(t testing.TB, src *source, dir string) {
	t.Helper()
	cmd, out := src.pull(t, dir, 1, numImages)
	if err := cmd.Wait(); err != nil {
		t.Errorf("pull: %v: %s", err, out)
	}
	if n := checkCache(t, dir); n != numImages {
		t.Errorf("%d images of %d", n, numImages)
	}
	before, _ := src.counted()
	cmd, out = src.pull(t, dir, 2, numImages)
	err := cmd.Wait()
	if after, _ := src.counted(); err != nil || after != before {
		t.Errorf("pull of what is there: %v, %d requests: %s", err, after-before, out)
	}
	for _, name := range []string{"*.part", "*.ranges"} {
		if left, _ := filepath.Glob(filepath.Join(dir, "tmp", name)); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

// TestProcesses has processes pull the same and different images at once, without
// accidents: each byte is fetched once.
func TestProcesses(t *testing.T) {
	src := newSource(t)
	dir := src.dir + "/cache"
	var all []*exec.Cmd
	var outs []*bytes.Buffer
	for i := range 10 {
		cmd, out := src.pull(t, dir, uint64(i), 1+i%numImages)
		all, outs = append(all, cmd), append(outs, out)
	}
	for i, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("pull: %v: %s", err, outs[i])
		}
	}
	checkCache(t, dir)
	wantPulled(t, src, dir)
	if chunks, repeat := src.counted(); repeat != 0 {
		t.Errorf("%d of %d chunks were fetched more than once", repeat, chunks)
	}
	wantClean(t, dir)
}

// TestKilled kills processes at random moments, over and over. What is fetched
// twice is at most what a killed process had asked for and not written.
func TestKilled(t *testing.T) {
	rounds, processes := 3, 6
	if os.Getenv("SOAK") == "true" {
		rounds, processes = 100, 20
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	killed, images, repeats := 0, 0, 0
	start := time.Now()
	wantPulled(t, newSource(t), shared(t, 0o777)+"/cache")
	long := time.Since(start) // two pulls, one of them of nothing
	for range rounds {
		src := newSource(t)
		dir := src.dir + "/cache"
		var kills atomic.Int32
		for range 3 {
			var wg sync.WaitGroup
			for range processes {
				cmd, out := src.pull(t, dir, rnd.Uint64(), 1+rnd.IntN(numImages))
				timer := time.AfterFunc(time.Duration(rnd.Int64N(int64(long))), func() { cmd.Process.Kill() })
				wg.Go(func() {
					err := cmd.Wait()
					timer.Stop()
					switch {
					case err == nil:
					case strings.Contains(err.Error(), "signal: killed"):
						kills.Add(1)
					default:
						t.Errorf("pull: %v: %s", err, out)
					}
				})
				if rnd.IntN(3) > 0 {
					time.Sleep(time.Duration(rnd.IntN(int(20 * time.Millisecond))))
				}
			}
			wg.Wait()
			images += checkCache(t, dir)
		}
		killed += int(kills.Load())
		wantPulled(t, src, dir)
		// Each has four layers at a time, of which it fetches two chunks at a time.
		chunks, repeat := src.counted()
		if repeat > 8*int(kills.Load()) {
			t.Errorf("%d of %d chunks were fetched more than once, with %d processes killed", repeat, chunks, kills.Load())
		}
		repeats += repeat
		src.Close()
		os.RemoveAll(src.dir)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d killed, %d images complete in between, %d chunks of %d bytes fetched twice", killed, images, repeats, chunk)
}

// TestKilledAtEachStep kills a process at its first call of the kernel that
// changes files, then another one, in a new cache, at its second, and so on.
func TestKilledAtEachStep(t *testing.T) {
	reftest.Need(t, "strace")
	calls, step := []string{"renameat", "fsync"}, 2
	if os.Getenv("SOAK") == "true" {
		calls, step = []string{"openat", "pwrite64", "write", "fsync", "renameat", "unlinkat", "flock", "fchmod", "mkdirat"}, 1
	}
	for _, call := range calls {
		t.Run(call, func(t *testing.T) {
			src, cut := newSource(t), 0
			for n := 1; ; n += step {
				dir := filepath.Join(src.dir, fmt.Sprint(n))
				src.forget()
				inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n)
				cmd, out := src.pull(t, dir, 7, 1, "strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", inject)
				err := cmd.Wait()
				if err == nil {
					break
				}
				cut++
				checkCache(t, dir)
				wantPulled(t, src, dir)
				if chunks, repeat := src.counted(); repeat > 8 {
					t.Errorf("%d of %d chunks were fetched more than once", repeat, chunks)
				}
				if t.Failed() {
					t.Fatalf("at %s number %d: %v %s", call, n, err, out)
				}
			}
			t.Logf("%d times", cut)
			if cut == 0 {
				t.Errorf("no %s", call)
			}
		})
	}
}

// TestKilledBeforeRename kills a process when it puts a complete layer in its
// place: nothing of that layer is fetched again.
func TestKilledBeforeRename(t *testing.T) {
	reftest.Need(t, "strace")
	const layer = 6
	src := newSource(t)
	dir := src.dir + "/cache"
	part := (&Part{digest: digest.FromBytes(layerOf(layer))}).partFile()
	cmd, out := src.pull(t, dir, 7, numImages, "strace", "-qq", "-f", "-o", "/dev/null", "-P", filepath.Join(dir, part), "-e", "trace=renameat", "-e", "inject=renameat:signal=KILL")
	if err := cmd.Wait(); err == nil {
		t.Fatalf("was not killed: %s", out)
	}
	if info, err := os.Stat(filepath.Join(dir, part)); err != nil || info.Size() != int64(len(layerOf(layer))) {
		t.Fatalf("the part is not complete: %v", err)
	}
	wantPulled(t, src, dir)
	src.Close() // so that the counts do not change any more
	for url := range src.twice {
		if strings.HasPrefix(url, fmt.Sprintf("/%d?", layer)) {
			t.Errorf("fetched again: %s", url)
		}
	}
}

// TestDurable checks with strace that a file is synced before it gets its final name, and
// the directory of the name afterwards.
func TestDurable(t *testing.T) {
	reftest.Need(t, "strace")
	src := newSource(t)
	dir := src.dir + "/cache"
	trace := src.dir + "/trace"
	cmd, out := src.pull(t, dir, 7, 1, "strace", "-qq", "-f", "-y", "-s", "400", "-o", trace, "-e", "trace=fsync,renameat")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("pull: %v: %s", err, out)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	synced, waiting, renames := map[string]bool{}, map[string]int{}, 0
	call := regexp.MustCompile(`^\d+ +(?:fsync\(\d+<([^>]*)>|renameat\([^"]*"([^"]*)", [^"]*"([^"]*)")`)
	for line := range strings.Lines(string(data)) {
		switch m := call.FindStringSubmatch(line); {
		case m == nil:
		case m[1] != "":
			synced[m[1]] = true
			delete(waiting, m[1])
		default:
			renames++
			if !synced[m[2]] {
				t.Errorf("%s became %s without fsync", m[2], m[3])
			}
			waiting[filepath.Dir(m[3])]++
		}
	}
	if len(waiting) > 0 {
		t.Errorf("directories not synced after names in them changed: %v", waiting)
	}
	if want := 2 + 3 + 1 + 1; renames != want { // the layout, layers, a manifest, the index
		t.Errorf("%d renames, not %d: %s", renames, want, data)
	}
}
