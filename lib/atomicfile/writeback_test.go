package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

const writebackTest = 4 << 20 // bytes

// waitClean reports whether f gets to the disk within three seconds, where the kernel by
// itself takes thirty.
func waitClean(t *testing.T, f *os.File) bool {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
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
		if !waitClean(t, f.File) {
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

// The goroutine of a closed file ends, and does not touch the file that has its number next.
func TestWriteBackClosed(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	done := make(chan struct{})
	go func() {
		writeBack(f, nil)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it goes on after Close")
	}
}
