package cas

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Collect removes what killed processes have left: the parts of blobs that are
// there meanwhile, and those that nobody has written to since before. What
// somebody holds the lock of stays. An error is ErrStore or that of ctx.
func (s *Store) Collect(ctx context.Context, before time.Time) error {
	ents, err := os.ReadDir(s.path("tmp"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return storeError(err)
	}
	for _, e := range ents {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		d, ok := digestOf(e.Name())
		if !ok {
			continue
		}
		if err := s.collect(d, before); err != nil && !errors.Is(err, errBusy) {
			return err
		}
	}
	return nil
}

// collect removes the part of d and its journal, if they are of no use.
func (s *Store) collect(d digest.Digest, before time.Time) error {
	l, err := s.tryLock(partName(d))
	if err != nil {
		return err
	}
	defer l.release(true)
	p := &Part{s: s, digest: d}
	info, err := os.Lstat(s.path(p.partFile()))
	_, berr := os.Stat(s.path(blobName(d)))
	if err != nil || berr == nil || info.ModTime().Before(before) {
		p.remove()
	}
	return nil
}

// digestOf is the digest of the blob that the file name in tmp is about.
func digestOf(name string) (digest.Digest, bool) {
	name, isPart := strings.CutSuffix(name, ".part")
	name, isJournal := strings.CutSuffix(name, ".ranges")
	algorithm, hex, _ := strings.Cut(name, "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, isPart != isJournal && checkDigest(d) == nil
}
