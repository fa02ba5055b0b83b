package cas

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/layout"
	"ocipipe/lib/reftest"
)

// as calls f with the rights of another user. f must not fail t at once.
func as(t *testing.T, id int, f func()) {
	t.Helper()
	reftest.NeedRoot(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with the goroutine
		if err := errors.Join(unix.Setfsgid(id), unix.Setfsuid(id)); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// shared is a cache directory that each user can get at, of mode.
func shared(t testing.TB, mode fs.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ocipipe-cas-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSomebodyElses has a user read a cache that only root may write.
func TestSomebodyElses(t *testing.T) {
	s := open(t, shared(t, 0o755), Options{})
	data, rest := content(1, 1000), content(2, 1000)
	put(t, s, data)
	ref := Ref{Name: "a:b", MediaType: manifestType, Digest: digest.FromBytes(data), Size: 1000}
	setRef(t, s, ref)
	p := begin(t, s, rest)
	write(t, p, rest, Range{0, 10})
	p.Close()
	as(t, 12345, func() {
		s, err := Open(ctx, s.Dir(), Options{})
		if err != nil {
			t.Error(err)
			return
		}
		wantBlob(t, s, data)
		wantUnwritable(t, s, rest, ref, fs.ErrPermission)
		if err := s.Collect(ctx, time.Now()); !errors.Is(err, ErrStore) {
			t.Errorf("Collect: %v", err)
		}
		if _, err := Open(ctx, s.Dir()+"/new", Options{}); !errors.Is(err, ErrStore) {
			t.Errorf("making one: %v", err)
		}
	})
}

// TestUsersTogether has two users write one cache.
func TestUsersTogether(t *testing.T) {
	dir := shared(t, 0o777)
	s := open(t, dir, Options{})
	first, second, third := content(1, 1000), content(2, 1000), content(3, 1000)
	put(t, s, third)
	for _, data := range [][]byte{first, second} {
		p := begin(t, s, data)
		write(t, p, data, Range{0, 500})
		p.Close()
	}
	// As somebody's chmod may have it.
	os.Chmod(filepath.Join(dir, "tmp", partName(digest.FromBytes(second))+".part"), 0o600)
	os.Chmod(blobFile(dir, third), 0)
	os.WriteFile(filepath.Join(dir, "tmp", layout.Index), []byte("cut off"), 0o600)
	os.Chmod(filepath.Join(dir, "locks", layout.Index), 0o644)
	os.WriteFile(filepath.Join(dir, "locks", partName(digest.FromBytes(first))), nil, 0o644)

	as(t, 12345, func() {
		var warned []string
		s, err := Open(ctx, dir, Options{Warn: func(m string) { warned = append(warned, m) }})
		if err != nil {
			t.Error(err)
			return
		}
		for i, data := range [][]byte{first, second, third} {
			p, err := s.Begin(ctx, digest.FromBytes(data), 1000)
			if err != nil {
				t.Error(err)
				return
			}
			if want := [][]Range{{{0, 500}}, nil, nil}[i]; !slices.Equal(has(p), want) {
				t.Errorf("blob %d has %v, want %v", i, has(p), want)
			}
			for _, x := range p.Missing() {
				write(t, p, data, x)
			}
			if err := p.Commit(ctx); err != nil {
				t.Error(err)
			}
			wantBlob(t, s, data)
		}
		if len(warned) != 1 || !strings.Contains(warned[0], blobFile(dir, third)+": permission denied: not used") {
			t.Errorf("warnings %q", warned)
		}
		if err := s.SetRef(ctx, Ref{Name: "a:b", MediaType: manifestType, Digest: digest.FromBytes(first), Size: 1000}, nil); err != nil {
			t.Error(err)
		}
	})
	for _, data := range [][]byte{first, second, third} {
		wantBlob(t, s, data)
	}
	setRef(t, s, image(t, s, "c:d", 1, nil, ""))
	wantClean(t, dir)
}
