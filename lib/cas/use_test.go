package cas

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/layout"
)

func use(t testing.TB, s *Store, id string, names ...string) *Use {
	t.Helper()
	u, err := s.Use(ctx, id, names)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Release)
	return u
}

// locks returns the names of the lock files, without those that stay.
func locks(t testing.TB, s *Store) (names []string) {
	t.Helper()
	ents, err := os.ReadDir(s.path("locks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		if e.Name() != layout.Index && e.Name() != gateLock {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestUseFiles(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, blob := layerArtifact("a").Name(), layout.BlobName(layerArtifact("a").Key)
	u := use(t, s, "sha256:x", a)
	v := use(t, s, "sha256:x", blob)
	w := use(t, s, "sha256:x")
	if err := w.Add(ctx, []string{blob, a}); err != nil {
		t.Error(err)
	}
	if got := locks(t, s); !slices.Equal(got, []string{"use-sha256:x-0", "use-sha256:x-1", "use-sha256:x-2"}) {
		t.Errorf("locks: %q", got)
	}
	v.Release()
	v.Release()
	if err := v.Add(ctx, []string{a}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Add after Release: %v", err)
	}
	os.WriteFile(s.path("locks/use-sha256:x-1"), []byte("what a dead process left"), 0o600)
	v = use(t, s, "sha256:x", blob)
	for name, want := range map[string]string{"0": a + "\n", "1": blob + "\n", "2": blob + "\n" + a + "\n"} {
		if got, _ := os.ReadFile(s.path("locks/use-sha256:x-" + name)); string(got) != want {
			t.Errorf("use %s has %q, want %q", name, got, want)
		}
	}
	if err := s.Collect(ctx, time.Now()); err != nil {
		t.Error(err)
	}
	if got := locks(t, s); len(got) != 3 {
		t.Errorf("after Collect: %q", got)
	}
	u.Release()
	w.Release()
	v.Release()
	if got := locks(t, s); len(got) != 0 {
		t.Errorf("after Release: %q", got)
	}
	(*Use)(nil).Release()
}

func TestUseOfNothing(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	name := layerArtifact("a").Name()
	for _, c := range []struct{ id, name string }{
		{"", name}, {"../x", name}, {"a/b", name}, {"a\nb", name}, {strings.Repeat("a", 201), name},
		{"x", ""}, {"x", "index.json"}, {"x", name + "\n"}, {"x", "../" + name}, {"x", "blobs/sha256/x"}, {"x", "locks/index.json"},
	} {
		if u, err := s.Use(ctx, c.id, []string{c.name}); err == nil || errors.Is(err, ErrStore) {
			u.Release()
			t.Errorf("use %q of %q: %v", c.id, c.name, err)
		}
	}
	u := use(t, s, "x")
	if err := u.Add(ctx, []string{"x"}); err == nil {
		t.Error("added x")
	}
}

// TestUseOfOthers: the file that another user has left is not in the way.
func TestUseOfOthers(t *testing.T) {
	s := open(t, shared(t, 0o777), Options{})
	use(t, s, "x", layerArtifact("a").Name()).Release()
	os.WriteFile(s.path("locks/use-x-0"), []byte("left"), 0o644)
	as(t, 12345, func() {
		s, err := Open(ctx, s.Dir(), Options{})
		if err != nil {
			t.Error(err)
			return
		}
		u, err := s.Use(ctx, "x", []string{layerArtifact("b").Name()})
		if err != nil {
			t.Error(err)
			return
		}
		if got := locks(t, s); !slices.Equal(got, []string{"use-x-0", "use-x-1"}) {
			t.Errorf("locks: %q", got)
		}
		u.Release()
	})
}

func TestUseFullDisk(t *testing.T) {
	s := open(t, tmpfs(t, 1<<20), Options{})
	fill(t, s.Dir())
	u, err := s.Use(ctx, "x", []string{layerArtifact("a").Name()})
	if !errors.Is(err, ErrStore) || !errors.Is(err, unix.ENOSPC) || u != nil {
		t.Errorf("Use: %v", err)
	}
	if err := s.Make(ctx, layerArtifact("a"), writing([]byte("x"))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Make: %v", err)
	}
	os.Remove(s.path("filler"))
	wantClean(t, s.Dir())
	use(t, s, "x", layerArtifact("a").Name())
	makeArtifact(t, s, layerArtifact("a"), []byte("x"))
}

func TestTouch(t *testing.T) {
	dir := t.TempDir()
	data := content(1, 100)
	d := put(t, open(t, dir, Options{}), data)
	at := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for _, o := range []Options{{}, {Verify: true}, {Fresh: true}, {Verify: true, Fresh: true}} {
		s := open(t, dir, o)
		if o.Fresh {
			wantMiss(t, s, d)
		}
		put(t, s, data)
		wantBlob(t, s, data)
		s.Touch(d, at)
		wantBlob(t, s, data) // touching it, in any process, makes it no other blob
		if info, err := os.Stat(blobFile(dir, data)); err != nil || !info.ModTime().Equal(at) {
			t.Errorf("%v, %v", info.ModTime(), err)
		}
		if err := s.PassOver(d); err != nil {
			t.Error(err)
		}
		s.Touch(d, at.Add(1))
		wantMiss(t, s, d)
	}
	s := open(t, dir, Options{})
	s.Touch("sha256:../../index.json", at)
	s.Touch(layerArtifact("missing").Key, at)
	if info, err := os.Stat(filepath.Join(dir, layout.Index)); err != nil || info.ModTime().Equal(at) {
		t.Errorf("%v", err)
	}
}

// TestUseWaits: a use begins after a Sweep, or not at all.
func TestUseWaits(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	gate, err := s.lock(ctx, gateLock)
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if _, err := s.Use(stop, "x", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("use during a Sweep: %v", err)
	}
	got := make(chan *Use)
	go func() {
		u, err := s.Use(ctx, "x", nil)
		if err != nil {
			t.Error(err)
		}
		got <- u
	}()
	time.Sleep(10 * time.Millisecond)
	if names := locks(t, s); len(names) > 0 {
		t.Errorf("%q while a Sweep runs", names)
	}
	gate.release(false)
	(<-got).Release()
}
