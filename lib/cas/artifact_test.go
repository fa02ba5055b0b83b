package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

func layerArtifact(seed string) Artifact {
	return Artifact{Kind: "layers", ABI: "1", Key: digest.FromString(seed), Ext: "erofs"}
}

// writing returns a function for Make that writes data.
func writing(data []byte) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}
}

func makeArtifact(t testing.TB, s *Store, a Artifact, data []byte) {
	t.Helper()
	if err := s.Make(ctx, a, writing(data)); err != nil {
		t.Fatal(err)
	}
}

func wantArtifact(t testing.TB, s *Store, a Artifact, data []byte) {
	t.Helper()
	f, err := s.Artifact(ctx, a)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s: %d bytes, %v; want %d", a.Name(), len(got), err, len(data))
	}
}

func wantNoArtifact(t testing.TB, s *Store, a Artifact) {
	t.Helper()
	if f, err := s.Artifact(ctx, a); err == nil {
		f.Close()
		t.Errorf("%s is in the cache", a.Name())
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestArtifactNames(t *testing.T) {
	key, long := digest.FromString("x"), digest.SHA512.FromString("x")
	for _, c := range []struct {
		a    Artifact
		name string
	}{
		{Artifact{"layers", "1", key, "", "erofs"}, "layers/1/sha256/" + key.Encoded() + ".erofs"},
		{Artifact{"rootfs", "2.1-a", key, "zstd-4k.v2", "ext4"}, "rootfs/2.1-a/sha256/" + key.Encoded() + "-zstd-4k.v2.ext4"},
		{Artifact{"vmdk", "0", long, "-", "vmdk"}, "vmdk/0/sha512/" + long.Encoded() + "--.vmdk"},
		{Artifact{"fsmeta", strings.Repeat("9", 32), long, strings.Repeat("v", 64), "json"}, "fsmeta/" + strings.Repeat("9", 32) + "/sha512/" + long.Encoded() + "-" + strings.Repeat("v", 64) + ".json"},
	} {
		if err := c.a.Check(); err != nil || c.a.Name() != c.name {
			t.Errorf("%+v: %v, %s, want %s", c.a, err, c.a.Name(), c.name)
		}
		if got, ok := ParseArtifact(c.name); !ok || got != c.a {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.a)
		}
		if name, ok := artifactOf(flat(c.name)); !ok || name != c.name || len(flat(c.name)) > 255 {
			t.Errorf("temporary file %s is of %s, %v", flat(c.name), name, ok)
		}
	}
	hex := key.Encoded()
	for _, name := range []string{
		"", "layers", "layers/1/sha256/" + hex, "layers/1/sha256/" + hex + ".", "layers/1/sha256/" + hex + "-.erofs",
		"layers/../sha256/" + hex + ".erofs", "layers/./sha256/" + hex + ".erofs", "layers//sha256/" + hex + ".erofs",
		"blobs/1/sha256/" + hex + ".erofs", "layers/1/md5/" + hex[:32] + ".erofs", "layers/1/sha256/" + hex[1:] + ".erofs",
		"layers/1/sha256/" + hex + ".erofs\n", "layers/1/sha256/" + strings.ToUpper(hex) + ".erofs", "/layers/1/sha256/" + hex + ".erofs",
		"layers/a_b/sha256/" + hex + ".erofs", "layers/1/sha256/" + hex + "-a/b.erofs", "layers/1/sha256/" + hex + ".erofs/x",
	} {
		if a, ok := ParseArtifact(name); ok {
			t.Errorf("%q is %+v", name, a)
		}
	}
	s := open(t, t.TempDir(), Options{})
	for _, a := range []Artifact{{"x", "1", key, "", "erofs"}, {"layers", "../x", key, "", "erofs"}, {"layers", "", key, "", "erofs"}, {"layers", "1", "sha256:../x", "", "erofs"}, {"layers", "1", key, "a/b", "erofs"}, {"layers", "1", key, "", "../e"}} {
		if err := s.Make(ctx, a, writing(nil)); err == nil || errors.Is(err, ErrStore) {
			t.Errorf("Make of %+v: %v", a, err)
		}
		if _, err := s.Artifact(ctx, a); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Artifact of %+v: %v", a, err)
		}
	}
	wantClean(t, s.Dir())
}

func TestMake(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, data := layerArtifact("a"), content(1, 10_000)
	wantNoArtifact(t, s, a)
	cause := errors.New("cause")
	err := s.Make(ctx, a, func(f *os.File) error {
		f.Write(data)
		return cause
	})
	if err != cause {
		t.Errorf("error of build: %v", err)
	}
	wantNoArtifact(t, s, a)
	wantClean(t, s.Dir())

	stop, cancel := context.WithCancelCause(ctx)
	err = s.Make(stop, a, func(f *os.File) error {
		cancel(cause)
		return nil
	})
	if err != cause {
		t.Errorf("cancelled while building: %v", err)
	}
	wantNoArtifact(t, s, a)

	os.WriteFile(s.path("tmp/"+flat(a.Name())), content(2, 20_000), 0o400) // as a killed process leaves it
	makeArtifact(t, s, a, data)
	wantArtifact(t, s, a, data)
	if err := s.Make(ctx, a, writing(nil)); err != ErrExists {
		t.Errorf("Make again: %v", err)
	}
	wantArtifact(t, open(t, s.Dir(), Options{}), a, data)
	info, err := os.Stat(s.Path(a))
	if err != nil || info.Mode().Perm()&0o222 != 0 {
		t.Errorf("%v, %v: can be written", info.Mode(), err)
	}
	wantClean(t, s.Dir())
}

// While an artifact is built, what is already in its file gets to the disk.
func TestMakeWritesBack(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	err := s.Make(ctx, layerArtifact("a"), func(f *os.File) error {
		if _, err := f.Write(make([]byte, 4<<20)); err != nil {
			return err
		}
		for range 600 { // three seconds; the kernel by itself takes thirty
			if reftest.DirtyPages(t, f) == 0 {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		return errors.New("the file is still dirty")
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPassOverArtifact(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, data := layerArtifact("a"), content(1, 1000)
	makeArtifact(t, s, a, content(2, 1000))
	reader, err := s.Artifact(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	s.PassOverArtifact(a)
	s.PassOverArtifact(layerArtifact("other"))
	wantNoArtifact(t, s, a)
	if err := s.Make(ctx, a, func(*os.File) error { return io.ErrUnexpectedEOF }); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	wantArtifact(t, open(t, s.Dir(), Options{}), a, content(2, 1000)) // a failure leaves what was there
	makeArtifact(t, s, a, data)
	wantArtifact(t, s, a, data)
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, content(2, 1000)) {
		t.Errorf("an open artifact changed: %v", err)
	}
}

// TestFreshArtifacts: with Fresh each is made again, once.
func TestFreshArtifacts(t *testing.T) {
	dir := t.TempDir()
	a := layerArtifact("a")
	makeArtifact(t, open(t, dir, Options{}), a, content(1, 100))
	s := open(t, dir, Options{Fresh: true})
	wantNoArtifact(t, s, a)
	makeArtifact(t, s, a, content(2, 100))
	wantArtifact(t, s, a, content(2, 100))
	if err := s.Make(ctx, a, writing(nil)); err != ErrExists {
		t.Errorf("Make again: %v", err)
	}
}

// TestStrangeArtifacts has other things in the place of an artifact.
func TestStrangeArtifacts(t *testing.T) {
	var warned []string
	s := open(t, t.TempDir(), Options{Warn: func(s string) { warned = append(warned, s) }})
	data := content(1, 100)
	outside := filepath.Join(t.TempDir(), "outside")
	os.WriteFile(outside, []byte("secret"), 0o600)
	a := layerArtifact("a")
	makeArtifact(t, s, a, data)
	for _, place := range []string{a.Name(), "tmp/" + flat(a.Name())} {
		for kind, make := range map[string]func(path string) error{
			"FIFO":            func(p string) error { return unix.Mkfifo(p, 0o666) },
			"symlink":         func(p string) error { return os.Symlink(outside, p) },
			"dangling":        func(p string) error { return os.Symlink(outside+"2", p) },
			"empty directory": func(p string) error { return os.Mkdir(p, 0o777) },
		} {
			os.Remove(s.Path(a))
			os.Remove(s.path(place))
			if err := make(s.path(place)); err != nil {
				t.Fatal(err)
			}
			warned, s.warned = nil, map[string]bool{}
			wantNoArtifact(t, s, a)
			if place == a.Name() && (len(warned) == 0 || !strings.Contains(warned[0], s.Path(a))) {
				t.Errorf("%s: warned %q", kind, warned)
			}
			if err := s.Make(ctx, a, writing(data)); err != nil {
				t.Errorf("%s as %s: %v", kind, place, err)
				continue
			}
			wantArtifact(t, s, a, data)
		}
	}
	os.Remove(s.Path(a))
	os.MkdirAll(filepath.Join(s.Path(a), "x"), 0o777) // not ours to remove
	if err := s.Make(ctx, a, writing(data)); !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), s.Path(a)) {
		t.Errorf("full directory: %v", err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "secret" {
		t.Error("what a symbolic link leads to was written")
	}
	wantClean(t, s.Dir())
}

// TestMakeOnce has many make the same, in one Store and in several: one of them works.
func TestMakeOnce(t *testing.T) {
	dir := t.TempDir()
	a, data := layerArtifact("a"), content(1, 1000)
	stores := []*Store{open(t, dir, Options{}), open(t, dir, Options{})}
	var built atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s := stores[i%2]
			err := s.Make(ctx, a, func(f *os.File) error {
				built.Add(1)
				time.Sleep(5 * time.Millisecond)
				return writing(data)(f)
			})
			if err != nil && err != ErrExists {
				t.Error(err)
			}
			wantArtifact(t, s, a, data)
		})
	}
	wg.Wait()
	if built.Load() != 1 {
		t.Errorf("built %d times", built.Load())
	}
	wantClean(t, dir)
}

func TestMakeCancelled(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := layerArtifact("a")
	l, err := s.lock(ctx, flat(a.Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.release(true)
	stop, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := s.Make(stop, a, writing(nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestArtifactsReadOnly(t *testing.T) {
	s := open(t, tmpfs(t, 1<<20), Options{})
	a, data := layerArtifact("a"), content(1, 1000)
	makeArtifact(t, s, a, data)
	if err := unix.Mount("", s.Dir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantArtifact(t, s, a, data)
	if err := s.Make(ctx, layerArtifact("b"), writing(data)); !errors.Is(err, ErrStore) || !errors.Is(err, unix.EROFS) {
		t.Errorf("Make: %v", err)
	}
	u, err := s.Use(ctx, "x", []string{a.Name()})
	if !errors.Is(err, ErrStore) || u != nil {
		t.Errorf("Use: %v", err)
	}
	u.Release()
	s.Touch(a.Key, time.Unix(1, 0))
}
