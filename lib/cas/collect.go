package cas

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

// Collect removes what killed processes have left: parts of blobs that are complete by now,
// parts that were last written before the given time, unfinished artifacts, uses, and lock
// files. What another process has locked stays. An error is ErrStore or the cause of ctx.
func (s *Store) Collect(ctx context.Context, before time.Time) error {
	leftovers := map[string]func() error{}
	for _, dir := range []string{"tmp", "locks"} {
		ents, err := os.ReadDir(s.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storeError(err)
		}
		for _, e := range ents {
			name := e.Name()
			if d, ok := digestOf(name); ok {
				leftovers[partName(d)] = func() error { return s.collect(d, before) }
			} else if _, ok := artifactOf(name); ok || dir == "locks" && strings.HasPrefix(name, usePrefix) {
				leftovers[name] = func() error { return s.collectLocked(name) }
			}
		}
	}
	for _, collect := range leftovers {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := collect(); err != nil && !errors.Is(err, errBusy) {
			return err
		}
	}
	return nil
}

// collect removes the part of d and its journal, if they are of no more use, and the lock
// file in any case.
func (s *Store) collect(d digest.Digest, before time.Time) error {
	l, err := s.tryLock(partName(d))
	if err != nil {
		return err
	}
	defer l.release(true)
	p := &Part{s: s, digest: d}
	info, err := os.Lstat(s.path(p.partFile()))
	_, berr := os.Stat(s.path(layout.BlobName(d)))
	if err != nil || berr == nil || info.ModTime().Before(before) {
		p.remove()
	}
	return nil
}

// collectLocked removes the temporary file and the lock file called name.
func (s *Store) collectLocked(name string) error {
	l, err := s.tryLock(name)
	if err != nil {
		return err
	}
	defer l.release(true)
	os.Remove(s.path("tmp/" + name))
	return nil
}

// digestOf returns the digest of the blob that a file in tmp or locks belongs to.
func digestOf(name string) (digest.Digest, bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".part"), ".ranges")
	algorithm, hex, _ := strings.Cut(name, "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, layout.CheckDigest(d) == nil
}
