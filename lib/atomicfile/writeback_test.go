package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

const writebackTest = 4 << 20 // bytes

// waitClean reports whether f gets to the disk within some seconds at most. The kernel by
// itself takes thirty.
func waitClean(t *testing.T, f *os.File, within time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if reftest.DirtyPages(t, f) == 0 {
			return true
		}
	}
	return false
}

// What is written gets to the disk before Commit, also what is written after a pause and over
// the same place.
func TestWriteBack(t *testing.T) {
	f, err := Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	for _, off := range []int64{0, 100 << 20, 0} {
		if _, err := f.WriteAt(make([]byte, writebackTest), off); err != nil {
			t.Fatal(err)
		}
		if !waitClean(t, f.File, 3*time.Second) {
			t.Errorf("%d pages of what was written at %d are still dirty", reftest.DirtyPages(t, f.File), off)
		}
	}
}

// Commit leaves nothing dirty; after NoSync it does not wait, and nothing starts to write.
func TestNoSync(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "out")
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if noSync {
			f.NoSync()
		}
		if _, err := f.Write(make([]byte, writebackTest)); err != nil {
			t.Fatal(err)
		}
		if noSync {
			time.Sleep(3 * firstLook)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		g, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if n := reftest.DirtyPages(t, g); (n > 0) != noSync {
			t.Errorf("NoSync %v: %d pages are dirty after Commit", noSync, n)
		}
		if fi, err := g.Stat(); err != nil || fi.Size() != writebackTest {
			t.Errorf("NoSync %v: %v, %v", noSync, fi, err)
		}
	}
}

// ends reports whether the goroutine of f ends by itself.
func ends(t *testing.T, f *os.File) bool {
	t.Helper()
	done := make(chan struct{})
	go func() {
		writeBack(f, nil)
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

// The goroutine of a closed file ends, and does not touch the file that has its number next.
func TestWriteBackClosed(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	number := f.Fd()
	f.Close()
	g, err := os.Create(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if g.Fd() != number {
		t.Fatalf("the next file has the number %d, not %d", g.Fd(), number)
	}
	if _, err := g.Write(make([]byte, writebackTest)); err != nil {
		t.Fatal(err)
	}
	if !ends(t, f) {
		t.Error("it goes on after Close")
	}
	if waitClean(t, g, 300*time.Millisecond) {
		t.Error("it has written the next file to disk")
	}
}

// The goroutine of a pipe or a character device ends while that is open, and changes nothing:
// a write can still be given a deadline.
func TestWriteBackPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{w, null} {
		if !ends(t, f) {
			t.Errorf("%s: it goes on", f.Name())
		}
	}
	if err := w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, writebackTest)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a full pipe: %v", err)
	}
}
