//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRemoved: where the file system has no files without names, a spool file is called the
// same, so that the advice about it is given there too.
func TestRemoved(t *testing.T) {
	dir := t.TempDir()
	f, err := createRemoved(dir, filepath.Join(dir, unnamed))
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	if _, err := f.WriteAt([]byte("x"), 1<<20); err != nil {
		t.Error(err)
	}
	if !IsUnnamed(&fs.PathError{Op: "write", Path: f.Name(), Err: unix.ENOSPC}) {
		t.Errorf("it is called %s", f.Name())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := createRemoved(filepath.Join(dir, "no"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
