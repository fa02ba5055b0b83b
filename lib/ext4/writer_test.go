package ext4

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// complaints is what e2fsck prints about what it does not call an error.
var complaints = regexp.MustCompile(`\?|IGNORED|differences|WARNING|[Pp]adding|wrong|corrupt`)

// fsck lets e2fsck look at the image, and fails t if it has anything to say.
func fsck(t testing.TB, path string) {
	t.Helper()
	out, err := reftest.Try(t, "e2fsck", "-fn", path)
	if err != nil || complaints.MatchString(out) {
		t.Fatalf("e2fsck -fn: %v\n%s", err, out)
	}
}

// build writes a file system of entries and returns its path.
func build(t testing.TB, opts Options, entries ...*tree.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInteropEmptyUpper(t *testing.T) {
	for _, size := range []int64{64 << 20, 4 << 30, 64 << 30, 1 << 40} {
		path := build(t, Options{Upper: true, Size: size})
		fsck(t, path)
	}
}

func TestInteropEmptyRoot(t *testing.T) {
	path := build(t, Options{})
	fsck(t, path)
}
