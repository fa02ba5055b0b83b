package cas

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

// maxSmall is the size, in bytes, of the largest blob that Fill takes over from a killed
// process.
const maxSmall = 64 << 20

// Put stores a small blob. If Put succeeds the cache has the blob, though perhaps another
// process has put it there. A blob that has other content is damaged: Put replaces it, with a
// warning.
func (s *Store) Put(ctx context.Context, d digest.Digest, data []byte) error {
	if b, err := s.Blob(ctx, d); err == nil {
		have, err := io.ReadAll(io.LimitReader(b, int64(len(data))+1))
		b.Close()
		if err == nil && bytes.Equal(have, data) || d.Algorithm().FromBytes(data) != d {
			return nil
		}
		s.warn("%s: damaged: replaced", b.Name())
		s.PassOver(d)
	}
	err := s.Fill(ctx, d, func() ([]byte, error) { return data, nil })
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Fill stores the small blob that fetch returns. It calls fetch with the lock of the blob
// held, so that only one of many callers fetches it; for the others Fill returns ErrExists.
// Fill returns an error of fetch as it is. If the error is ErrStore, fetch may or may not
// have been called.
func (s *Store) Fill(ctx context.Context, d digest.Digest, fetch func() ([]byte, error)) error {
	if err := layout.CheckDigest(d); err != nil {
		return err
	}
	l, err := s.lockMissing(ctx, d)
	if err != nil {
		return err
	}
	data, complete := s.leftOver(d)
	if !complete {
		if data, err = fetch(); err != nil {
			l.release(true)
			return err
		}
	}
	p, err := s.startPart(ctx, d, int64(len(data)), l)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, x := range p.Missing() {
		if _, err := p.WriteAt(data[x.Off:x.End], x.Off); err != nil {
			p.Discard()
			return err
		}
	}
	if err := p.Commit(ctx); err != nil || !complete {
		return err
	}
	return ErrExists
}

// leftOver returns the content of d if a process was killed after it had written all of it.
func (s *Store) leftOver(d digest.Digest) ([]byte, bool) {
	if s.opts.Fresh {
		return nil, false
	}
	data, err := s.read((&Part{digest: d}).partFile(), maxSmall)
	return data, err == nil && d.Algorithm().FromBytes(data) == d
}
