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
// parts that were last written before the given time, and lock files. A part stays while
// another process holds its lock. An error is ErrStore or the cause of ctx.
func (s *Store) Collect(ctx context.Context, before time.Time) error {
	leftovers := map[digest.Digest]bool{}
	for _, dir := range []string{"tmp", "locks"} {
		ents, err := os.ReadDir(s.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storeError(err)
		}
		for _, e := range ents {
			if d, ok := digestOf(e.Name()); ok {
				leftovers[d] = true
			}
		}
	}
	for d := range leftovers {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := s.collect(d, before); err != nil && !errors.Is(err, errBusy) {
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

// digestOf returns the digest of the blob that a file in tmp or locks belongs to.
func digestOf(name string) (digest.Digest, bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".part"), ".ranges")
	algorithm, hex, _ := strings.Cut(name, "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, layout.CheckDigest(d) == nil
}
