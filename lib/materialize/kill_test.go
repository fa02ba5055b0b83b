package materialize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/reftest"
)

// The tests of this file run real processes: this binary, which TestMain sends to job. Each
// makes all artifacts of one image in one cache, as oci-materialize does.

const jobVariable = "MATERIALIZE_JOB"

func TestMain(m *testing.M) {
	if s := os.Getenv(jobVariable); s != "" {
		if err := job(s); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// job does "CACHE REF", and prints the result.
func job(s string) error {
	dir, ref, _ := strings.Cut(s, " ")
	r, err := collectAndRun(context.Background(), dir, ref)
	if err == nil {
		_, err = os.Stdout.Write(r.JSON())
	}
	return err
}

// collectAndRun makes all of ref after it has removed what killed processes have left, as
// the tools do.
func collectAndRun(ctx context.Context, dir, ref string) (*Result, error) {
	warn := func(msg string) { fmt.Fprintln(os.Stderr, "warning:", msg) }
	store, err := cas.Open(ctx, dir, cas.Options{Warn: warn})
	if err != nil {
		return nil, err
	}
	if err := store.Collect(ctx, time.Now().Add(-time.Hour)); err != nil {
		return nil, err
	}
	return Materialize(ctx, Options{
		Ref: ref, Target: All, Warn: warn,
		Pull: pull.Options{Cache: store, Used: time.Now(), Registry: registry.Options{Timeout: 20 * time.Second, Retries: -1}},
	})
}

// process is one that makes an image.
type process struct {
	*exec.Cmd
	out, messages bytes.Buffer
}

// begin starts a process that makes ref in the cache of b, by way of the command wrap.
func (b *bench) begin(ref string, wrap ...string) *process {
	b.t.Helper()
	self, err := os.Executable()
	must(b.t, err)
	args := append(wrap, self)
	p := &process{Cmd: reftest.Command(b.t, args[0], args[1:]...)}
	p.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s/%s", jobVariable, b.dir, b.Host, ref))
	p.Stdout, p.Stderr = &p.out, &p.messages
	must(b.t, p.Start())
	return p
}

// end waits for the end of p, which must succeed in silence, and returns its result.
func (b *bench) end(p *process) *Result {
	b.t.Helper()
	err := p.Wait()
	var r Result
	if err == nil {
		err = json.Unmarshal(p.out.Bytes(), &r)
	}
	if err != nil || p.messages.Len() > 0 {
		b.t.Fatalf("%v: %s", err, &p.messages)
	}
	return &r
}

// checkLeft fails if the cache has a temporary file, or a lock that somebody holds.
func (b *bench) checkLeft() {
	b.t.Helper()
	b.checkClean()
	locks, err := filepath.Glob(filepath.Join(b.dir, "locks", "*"))
	must(b.t, err)
	for _, path := range locks {
		f, err := os.Open(path)
		must(b.t, err)
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			b.t.Errorf("%s: %v", path, err)
		}
		f.Close()
		if strings.HasPrefix(filepath.Base(path), "use-") {
			b.t.Errorf("%s is left", path)
		}
	}
}

// checkResult fails unless r has the bytes of want, all of which hold what they say, and a
// new call finds them.
func (b *bench) checkResult(r *Result, ref string, want map[string]string) {
	b.t.Helper()
	if !mapsEqual(want, contents(b.t, r)) {
		b.t.Error("other bytes")
	}
	again := b.mustRun(ref, func(o *Options, c *cas.Options) { o.Verify, c.Verify, o.Pull.Policy = true, true, pull.Never })
	if !again.Hit {
		b.t.Errorf("no hit: %s", again.JSON())
	}
}

// TestKilled kills some of four processes that build an image of 20 layers in one cache, at
// a random moment. The others succeed, and so does a process after them, which leaves
// nothing of those that were killed.
func TestKilled(t *testing.T) {
	moments := 20
	if os.Getenv("SOAK") == "true" {
		moments = 200
	}
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 20)...)
	start := time.Now()
	first := b.begin("r:v1")
	want := contents(t, b.end(first))
	long := 2 * time.Since(start) // four share the processors
	rnd := rand.New(rand.NewPCG(7, 8))
	killed := 0
	for n := range moments {
		b.dir = filepath.Join(t.TempDir(), fmt.Sprint("cache", n))
		var all []*process
		for range 4 {
			all = append(all, b.begin("r:v1"))
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(long))))
		doomed, before := 1+rnd.IntN(4), killed
		for _, p := range all[:doomed] {
			p.Process.Kill()
		}
		for i, p := range all {
			var exit *exec.ExitError
			switch err := p.Wait(); {
			case err == nil && p.messages.Len() == 0:
			case i < doomed && errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
				killed++
			default:
				t.Errorf("process %d: %v: %s", i, err, &p.messages)
			}
		}
		if killed == before { // all were done: the machine is faster than it was
			long = long * 2 / 3
		}
		r, err := collectAndRun(t.Context(), b.dir, b.Host+"/r:v1")
		if err != nil {
			t.Fatalf("moment %d: %v", n, err)
		}
		b.checkLeft()
		b.checkResult(r, "r:v1", want)
		must(t, os.RemoveAll(b.dir))
		if t.Failed() {
			t.Fatalf("moment %d", n)
		}
	}
	t.Logf("%d processes killed", killed)
	if killed < moments/2 {
		t.Error("too few were killed")
	}
}

// TestStopped stops a process that builds, for a while. Another one that wants the same
// waits for it, and both succeed, with each artifact built once.
func TestStopped(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 20)...)
	b.mustRun("r:v1", nil)
	for try := 0; ; try++ {
		b.dir = filepath.Join(t.TempDir(), fmt.Sprint("cache", try))
		one := b.begin("r:v1")
		for !b.hasArtifact() {
			time.Sleep(time.Millisecond)
		}
		must(t, one.Process.Signal(syscall.SIGSTOP))
		inTheMiddle := len(b.artifacts()) < 23
		two := b.begin("r:v1")
		time.Sleep(300 * time.Millisecond)
		must(t, one.Process.Signal(syscall.SIGCONT))
		results := []*Result{b.end(one), b.end(two)}
		if !mapsEqual(contents(t, results[0]), contents(t, results[1])) {
			t.Error("other bytes")
		}
		for i, l := range results[0].Layers {
			if l.Built == results[1].Layers[i].Built {
				t.Errorf("layer %d: built by both, or none", i)
			}
		}
		b.checkLeft()
		if inTheMiddle {
			return
		}
		if try == 20 {
			t.Fatal("it was always stopped at the end")
		}
	}
}

// TestKilledBuilder kills a process while another one waits for what it builds.
func TestKilledBuilder(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 20)...)
	want := contents(t, b.mustRun("r:v1", nil))
	b.dir = filepath.Join(t.TempDir(), "cache")
	one := b.begin("r:v1")
	for !b.hasArtifact() {
		time.Sleep(time.Millisecond)
	}
	must(t, one.Process.Signal(syscall.SIGSTOP))
	two := b.begin("r:v1")
	time.Sleep(200 * time.Millisecond)
	one.Process.Kill()
	one.Wait()
	r := b.end(two)
	b.checkResult(r, "r:v1", want)
	_, err := collectAndRun(t.Context(), b.dir, b.Host+"/r:v1")
	must(t, err)
	b.checkLeft()
}

// TestBlobComesFirst shows that the image of a layer does not appear before its blob: the run
// after one that was killed in between would not go on to fetch it.
func TestBlobComesFirst(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	diffID := b.mustRun("r:v1", nil).Layers[2].DiffID
	b.dir = filepath.Join(t.TempDir(), "cache")
	isTooEarly := false
	b.mustRun("r:v1", func(o *Options, _ *cas.Options) {
		o.Progress = func(e Event) {
			if e.Stage == StageDownload && e.Kind == pull.EventDone && e.Layer == 2 { // it has not ended yet
				time.Sleep(300 * time.Millisecond)
				isTooEarly = slices.ContainsFunc(b.artifacts(), func(path string) bool { return strings.Contains(path, diffID.Encoded()) })
			}
		}
	})
	if isTooEarly {
		t.Error("the image of the layer is there")
	}
}

// artifacts returns the artifacts that the cache has.
func (b *bench) artifacts() (list []string) {
	for _, kind := range cas.ArtifactKinds {
		filepath.WalkDir(filepath.Join(b.dir, kind), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				list = append(list, path)
			}
			return nil
		})
	}
	return list
}

func (b *bench) hasArtifact() bool { return len(b.artifacts()) > 0 }

// TestKilledAtEachStep kills a process at its first call of the kernel that changes names,
// then another one, in a new cache, at its second, and so on.
func TestKilledAtEachStep(t *testing.T) {
	reftest.Need(t, "strace")
	calls, step := []string{"renameat"}, 2
	if os.Getenv("SOAK") == "true" {
		calls, step = []string{"renameat", "fsync", "unlinkat", "fchmod", "mkdirat", "flock"}, 1
	}
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	want := contents(t, b.mustRun("r:v1", nil))
	for _, call := range calls {
		for n := 1; ; n += step {
			b.dir = filepath.Join(t.TempDir(), fmt.Sprint(call, n))
			inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n)
			p := b.begin("r:v1", "strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", inject)
			if err := p.Wait(); err == nil {
				if n == 1 {
					t.Errorf("no %s", call)
				}
				break
			}
			r, err := collectAndRun(t.Context(), b.dir, b.Host+"/r:v1")
			must(t, err)
			b.checkLeft()
			b.checkResult(r, "r:v1", want)
			if t.Failed() {
				t.Fatalf("at %s number %d", call, n)
			}
		}
	}
}
