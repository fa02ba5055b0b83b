package oci

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
)

// trusted is a blob that has been verified: when it was put into the cache.
type trusted struct{ *os.File }

func (trusted) isVerified() {}

// following reads a layer that arrives in a part. Where the part cannot take any
// more it goes on with a stream, and hashes what it has read anew.
type following struct {
	ctx   context.Context
	d     *download
	r     io.ReadCloser
	again io.ReadCloser // the part from its beginning, for the hash
	off   int64
	hash  hash.Hash // nil while the part verifies
}

func (*following) isVerified() {}

func (d *download) follow(ctx context.Context) (io.ReadCloser, error) {
	r, err := d.part.NewReader(ctx)
	if err != nil {
		return nil, err
	}
	again, err := d.part.NewReader(ctx)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &following{ctx: ctx, d: d, r: r, again: again}, nil
}

func (f *following) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.off += int64(n)
	if f.hash != nil {
		f.hash.Write(p[:n])
	}
	var store storeError
	switch {
	case err == nil || err == io.EOF && f.hash == nil:
		return n, err
	case err == io.EOF:
		return n, f.check()
	case f.hash == nil && errors.As(err, &store):
		if err := f.leave(); err != nil {
			return n, err
		}
		return n, nil
	case errors.Is(err, cas.ErrMismatch):
		err = f.d.mismatch(err, f.d.part.Resumed())
	case f.d.r.ctx.Err() != nil:
		err = context.Cause(f.d.r.ctx)
	}
	return n, err
}

// leave goes on without the part.
func (f *following) leave() error {
	h := f.d.desc.Digest.Algorithm().Hash()
	if _, err := io.CopyN(h, f.again, f.off); err != nil {
		return err
	}
	s, err := f.d.stream(f.ctx, f.off)
	if err != nil {
		return err
	}
	f.r.Close()
	f.r, f.hash = s, h
	return nil
}

// check is what the end of a stream must pass.
func (f *following) check() error {
	want := f.d.desc.Digest
	if got := digest.NewDigest(want.Algorithm(), f.hash); got != want || f.off != f.d.desc.Size {
		return fmt.Errorf("%w: expected %s: the bytes are those of %s", ErrCorrupt, want, got)
	}
	return io.EOF
}

func (f *following) Close() error {
	f.again.Close()
	return f.r.Close()
}
