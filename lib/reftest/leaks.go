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

// Running is what goes on and is open in the process at some moment.
type Running struct {
	goroutines int
	files      []string
}

// RunningNow looks around. What runs later is seen by Left.
func RunningNow(t testing.TB) Running {
	t.Helper()
	if r, w, err := os.Pipe(); err == nil { // from the first pipe on the runtime has descriptors of its own
		r.Close()
		w.Close()
	}
	gc := debug.SetGCPercent(-1) // a finalizer would close what was forgotten
	t.Cleanup(func() { debug.SetGCPercent(gc) })
	return Running{runtime.NumGoroutine(), openFiles(t)}
}

// Left fails the test if there are descriptors or goroutines that there were not
// before. A goroutine that others do not wait for any more may still have to return, and
// to close what it has in hand.
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

// opened is what is open and was not before.
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

// openFiles are the files and so on that descriptors of the process refer to.
func openFiles(t testing.TB) (names []string) {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && !strings.HasSuffix(name, "/fd") { // that of ReadDir
			names = append(names, name)
		}
	}
	return names
}
