package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/layout"
)

func sweep(t testing.TB, s *Store) *Sweep {
	t.Helper()
	w, err := s.Sweep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSweep(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, b, c := layerArtifact("a"), layerArtifact("b"), content(1, 100)
	makeArtifact(t, s, a, c)
	makeArtifact(t, s, b, c)
	blob := layout.BlobName(put(t, s, c))
	use(t, s, "x", a.Name())
	u := use(t, open(t, s.Dir(), Options{}), "x")
	if err := u.Add(ctx, []string{blob}); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(s.path("locks/use-dead-0"), []byte(b.Name()+"\n"), 0o666)

	w := sweep(t, s)
	u.Release() // what was in use at the beginning stays
	for name, used := range map[string]bool{a.Name(): true, blob: true, b.Name(): false, layerArtifact("c").Name(): false} {
		if err := w.Remove(name); w.InUse(name) != used || errors.Is(err, ErrInUse) != used || !used && err != nil {
			t.Errorf("%s: in use %v, removed: %v", name, w.InUse(name), err)
		}
	}
	for _, name := range []string{"index.json", "oci-layout", "../x", "locks/prune", "", ".", "blobs/sha256"} {
		if err := w.Remove(name); err == nil {
			t.Errorf("removed %q", name)
		}
	}
	w.End()
	wantArtifact(t, s, a, c)
	wantBlob(t, s, c)
	wantNoArtifact(t, s, b)
	if got := locks(t, s); !slices.Equal(got, []string{"use-x-0"}) {
		t.Errorf("locks: %q", got)
	}
	w = sweep(t, s)
	defer w.End()
	if w.InUse(blob) || !w.InUse(a.Name()) {
		t.Error("another use is in force")
	}
}

// TestSweepCannotKnow: nothing is removed where a use cannot be read, or nothing written.
func TestSweepCannotKnow(t *testing.T) {
	s := open(t, shared(t, 0o777), Options{})
	use(t, s, "x", layerArtifact("a").Name())
	os.Chmod(s.path("locks/use-x-0"), 0)
	as(t, 12345, func() {
		s, err := Open(ctx, s.Dir(), Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if w, err := s.Sweep(ctx); !errors.Is(err, ErrStore) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "use-x-0") {
			t.Errorf("sweep %v, %v", w, err)
		}
	})
	os.Truncate(s.path("locks/use-x-0"), maxUse+1)
	if _, err := s.Sweep(ctx); !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long use: %v", err)
	}

	full := open(t, tmpfs(t, 1<<20), Options{})
	if err := unix.Mount("", full.Dir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := full.Sweep(ctx); !errors.Is(err, ErrStore) || !errors.Is(err, unix.EROFS) {
		t.Errorf("read-only: %v", err)
	}
}

// TestSweepOutside: symbolic links lead nowhere.
func TestSweepOutside(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	outside := filepath.Join(t.TempDir(), "x")
	a := layerArtifact("a")
	makeArtifact(t, s, a, []byte("x"))
	if err := os.Rename(s.path("layers"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, s.path("layers")); err != nil {
		t.Fatal(err)
	}
	w := sweep(t, s)
	defer w.End()
	if err := w.Remove(a.Name()); !errors.Is(err, ErrStore) {
		t.Errorf("removed: %v", err)
	}
	if _, err := os.Stat(s.Path(a)); err != nil {
		t.Error(err)
	}
	files, foreign, err := s.Files(ctx)
	if err != nil || len(files) != 0 || !slices.Equal(foreign, []string{"layers"}) {
		t.Errorf("%v, %q, %v", files, foreign, err)
	}
}

func TestFiles(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data := content(1, 10_000)
	a := Artifact{"rootfs", "1", layerArtifact("a").Key, "v", "ext4"}
	err := s.Make(ctx, a, func(f *os.File) error {
		f.Write(data)
		return f.Truncate(1 << 30)
	})
	if err != nil {
		t.Fatal(err)
	}
	blob := layout.BlobName(put(t, s, data))
	p := begin(t, s, content(2, 100))
	write(t, p, content(2, 100), Range{0, 10})
	use(t, s, "x")
	setRef(t, s, image(t, s, "a:b", 1, nil, ""))
	w := sweep(t, s)
	w.End()
	os.WriteFile(s.path("tmp/"+flat(a.Name())), nil, 0o666)
	os.WriteFile(s.path("tmp/refs.json"), nil, 0o666)
	os.Mkdir(s.path("lost+found"), 0o700)

	hex := strings.Repeat("a", 64)
	var want []string
	for name, make := range map[string]func(string) error{
		"photo.jpg":                            touch,
		"sub":                                  mkdir,
		"blobs/sha256/x":                       touch,
		"blobs/md5":                            mkdir,
		"blobs/sha256/" + hex:                  func(p string) error { return unix.Mkfifo(p, 0o666) },
		"blobs/sha512/" + hex:                  touch,
		"blobs/sha256/" + strings.ToUpper(hex): touch,
		"layers/1/sha256":                      touch,
		"layers/A":                             mkdir,
		"fsmeta/1/sha256/" + hex + ".erofs":    mkdir,
		"vmdk/1/sha256/" + hex + ".vmdk":       func(p string) error { return os.Symlink("/etc/passwd", p) },
		"rootfs/1/sha256/a\x1b[31m\nb":         touch,
		"tmp/x":                                touch,
		"tmp/sub":                              mkdir,
		"locks/x":                              touch,
	} {
		os.MkdirAll(filepath.Dir(s.path(name)), 0o777)
		if err := make(s.path(name)); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	touch(s.path("sub/photo.jpg")) // what is in a foreign directory is not ours to count

	files, foreign, err := s.Files(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(foreign)
	if !slices.Equal(foreign, want) {
		t.Errorf("foreign are\n%q, want\n%q", foreign, want)
	}
	sizes := map[string]int64{}
	for _, f := range files {
		sizes[f.Name] = f.Size
	}
	if len(sizes) != 3 || sizes[blob] != int64(len(data)) || sizes[a.Name()] < int64(len(data)) || sizes[a.Name()] > 1<<20 {
		t.Errorf("%v", sizes)
	}
}

func touch(path string) error { return os.WriteFile(path, nil, 0o666) }
func mkdir(path string) error { return os.Mkdir(path, 0o777) }

func BenchmarkFiles(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	os.MkdirAll(s.path("blobs/sha256"), 0o777)
	for i := range 20_000 {
		touch(s.path(layout.BlobName(layerArtifact(fmt.Sprint(i)).Key)))
	}
	for b.Loop() {
		if files, _, err := s.Files(ctx); err != nil || len(files) != 20_000 {
			b.Fatal(len(files), err)
		}
	}
}
