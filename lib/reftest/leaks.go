package reftest

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// Running is the number of goroutines and the open files of the process at some moment.
type Running struct {
	goroutines int
	files      []string
}

// RunningNow returns the goroutines and open files of this moment, for Left to compare.
func RunningNow(t testing.TB) Running {
	t.Helper()
	if r, w, err := os.Pipe(); err == nil { // with the first pipe the runtime opens descriptors of its own
		r.Close()
		w.Close()
	}
	gc := debug.SetGCPercent(-1) // a finalizer would close what was forgotten
	t.Cleanup(func() { debug.SetGCPercent(gc) })
	return Running{runtime.NumGoroutine(), openFiles(t)}
}

// Left fails the test if the process has more descriptors or goroutines than in r. It waits
// up to a second for them to go: a goroutine may be about to return and close its files.
func (r Running) Left(t testing.TB) {
	t.Helper()
	var more []string
	for range 1000 {
		more = r.opened(t)
		if more == nil && runtime.NumGoroutine() <= r.goroutines {
			return
		}
		time.Sleep(time.Millisecond)
	}
	if more != nil {
		t.Errorf("left open: %q", more)
	}
	if n := runtime.NumGoroutine(); n > r.goroutines {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, and before there were %d:\n%s", n, r.goroutines, stacks[:runtime.Stack(stacks, true)])
	}
}

// opened returns the files that are open now and are not in r.
func (r Running) opened(t testing.TB) (more []string) {
	t.Helper()
	had := slices.Clone(r.files)
	for _, f := range openFiles(t) {
		if i := slices.Index(had, f); i >= 0 {
			had = slices.Delete(had, i, i+1)
		} else {
			more = append(more, f)
		}
	}
	return more
}

// openFiles returns what the descriptors of the process refer to.
func openFiles(t testing.TB) (names []string) {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && !strings.HasSuffix(name, "/fd") { // the descriptor of ReadDir
			names = append(names, name)
		}
	}
	return names
}
