package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

var ctx = context.Background()

// content returns n bytes that differ from those of every other call.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(ctx, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, data []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(data)
	if err := s.Put(ctx, d, data); err != nil {
		t.Fatal(err)
	}
	return d
}

func begin(t testing.TB, s *Store, data []byte) *Part {
	t.Helper()
	p, err := s.Begin(ctx, digest.FromBytes(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// has is what has arrived of p.
func has(p *Part) ranges {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.have)
}

func write(t testing.TB, p *Part, data []byte, x Range) {
	t.Helper()
	if n, err := p.WriteAt(data[x.Off:x.End], x.Off); err != nil || n != int(x.End-x.Off) {
		t.Fatalf("write %v: %d, %v", x, n, err)
	}
}

func wantBlob(t testing.TB, s *Store, data []byte) {
	t.Helper()
	b, err := s.Blob(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Error(err)
		return
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, data) || b.Size != int64(len(data)) {
		t.Errorf("blob of %d bytes: read %d, %v, size %d", len(data), len(got), err, b.Size)
	}
}

func wantMiss(t testing.TB, s *Store, d digest.Digest) {
	t.Helper()
	if b, err := s.Blob(t.Context(), d); err == nil {
		b.Close()
		t.Errorf("%s is in the cache", d)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// wantClean checks that the cache holds nothing but what is complete.
func wantClean(t testing.TB, dir string) {
	t.Helper()
	for _, sub := range []string{"tmp", "locks"} {
		ents, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range ents {
			if e.Name() != layout.Index && e.Name() != gateLock {
				t.Errorf("debris: %s/%s", sub, e.Name())
			}
		}
	}
}

func blobFile(dir string, data []byte) string {
	return filepath.Join(dir, layout.BlobName(digest.FromBytes(data)))
}
