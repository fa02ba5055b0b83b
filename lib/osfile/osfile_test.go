package osfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// create makes a file, which the test closes at its end.
func create(t *testing.T, path, content string) *os.File {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	f := must[*os.File](t)(Open(path, os.O_RDWR|NoFollow|NonBlock, 0))
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	create(t, path, "")
	open := func() *os.File { return must[*os.File](t)(Open(path, os.O_RDWR, 0)) }
	for _, c := range []struct {
		first, second LockKind
		want          error
	}{
		{Exclusive, Exclusive, ErrLocked},
		{Exclusive, Shared, ErrLocked},
		{Shared, Exclusive, ErrLocked},
		{Shared, Shared, nil},
	} {
		a, b := open(), open()
		if err := Lock(a, c.first); err != nil {
			t.Fatal(err)
		}
		if _, err := b.WriteString("x"); err != nil {
			t.Errorf("write to a locked file: %v", err)
		}
		if err := Lock(b, c.second); err != c.want || HasNoLocks(err) {
			t.Errorf("lock %v after %v: %v, want %v", c.second, c.first, err, c.want)
		}
		a.Close()
		b.Close()
		c := open()
		if err := Lock(c, Exclusive); err != nil {
			t.Errorf("lock after its holders closed the file: %v", err)
		}
		c.Close()
	}
}

func TestRenameAndRemoveWhileOpen(t *testing.T) {
	dir := t.TempDir()
	old, path := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	f := create(t, old, "content")
	if err := os.Rename(old, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); string(b) != "content" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Open(path, os.O_RDONLY, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what was removed: %v", err)
	}
}

// TestHoles copies a file with a hole in each way that there is; what a system cannot do
// leaves no trace.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	src, dst := create(t, filepath.Join(dir, "src"), ""), create(t, filepath.Join(dir, "dst"), "")
	const at, size = 1 << 20, 1<<20 + 5000
	data := bytes.Repeat([]byte("x"), size-at)
	if _, err := src.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
	switch from, err := SeekData(src, 0); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil || from < 0 || from > at:
		t.Errorf("data from %d on, %v", from, err)
	default:
		if end, err := SeekHole(src, at); end != size || err != nil {
			t.Errorf("data to %d, %v", end, err)
		}
		if _, err := SeekData(src, size); err != io.EOF {
			t.Errorf("data at the end: %v", err)
		}
	}
	n := CopyRange(dst, at, src, at, size) // more than there is
	if n != 0 && n != size-at {
		t.Errorf("copied %d bytes", n)
	}
	if got := must[[]byte](t)(io.ReadAll(io.NewSectionReader(dst, at, size))); !bytes.Equal(got, data[:n]) {
		t.Errorf("other bytes: %d", len(got))
	}
	must[int64](t)(dst.Seek(100, io.SeekStart))
	if m := CopyRange(dst, -1, src, at, 10); m > 0 {
		if off := must[int64](t)(dst.Seek(0, io.SeekCurrent)); m != 10 || off != 110 {
			t.Errorf("copied %d bytes to where the file was, which is at %d now", m, off)
		}
	}
	if err := Clone(dst, 0, src, 0); err == nil {
		if got := must[[]byte](t)(os.ReadFile(dst.Name())); len(got) != size || !bytes.Equal(got[at:], data) {
			t.Errorf("clone of %d bytes", len(got))
		}
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	f, other := create(t, filepath.Join(dir, "f"), "a"), create(t, filepath.Join(dir, "other"), "a")
	before := must[State](t)(StateOf(f))
	if again := must[State](t)(StateOf(f)); again != before {
		t.Errorf("%v, then %v", before, again)
	}
	time.Sleep(20 * time.Millisecond) // more than the steps of the clock
	if _, err := f.WriteAt([]byte("b"), 0); err != nil {
		t.Fatal(err)
	}
	if after := must[State](t)(StateOf(f)); after == before {
		t.Error("a write changes nothing")
	}
	id := must[ID](t)(Identify(f))
	if id == must[ID](t)(Identify(other)) {
		t.Error("two files have one identity")
	}
	again := must[*os.File](t)(Duplicate(f))
	defer again.Close()
	if id != must[ID](t)(Identify(again)) || again.Fd() == f.Fd() || again.Name() != f.Name() {
		t.Errorf("%v of %q is not a duplicate of %v", again.Fd(), again.Name(), f.Fd())
	}
}

func TestAttr(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "f"), "")
	content := make([]byte, 1<<16) // which no file system compresses
	rand.NewChaCha8([32]byte{}).Read(content)
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil { // before, not all file systems have given it blocks
		t.Fatal(err)
	}
	info := must[fs.FileInfo](t)(f.Stat())
	if a := AttrOf(info); a.Links != 1 || a.Mode&0o700 == 0 {
		t.Errorf("%+v", a)
	}
	if n := Allocated(info); n < 1<<12 {
		t.Errorf("64 KiB take %d bytes", n)
	}
	if free, ok := FreeSpace(f); ok && free <= 0 {
		t.Errorf("%d bytes are free", free)
	}
	if err := Sync(f); err != nil {
		t.Error(err)
	}
	dir := must[*os.File](t)(os.Open(filepath.Dir(f.Name())))
	defer dir.Close()
	if err := Sync(dir); err != nil {
		t.Errorf("directory: %v", err)
	}
	if IsFull(fs.ErrNotExist) || IsReadOnly(fs.ErrNotExist) || IsFull(nil) {
		t.Error("any error will do")
	}
}
