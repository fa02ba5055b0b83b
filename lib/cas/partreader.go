package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/osfile"
)

// NewReader returns a reader of the content from its beginning, which waits for content
// that has not arrived. At the end the reader waits for the hash, and returns io.EOF if the
// digest is right or else an error that is ErrMismatch. If the part is closed before all
// content has arrived, the reader returns the error that the part was closed with.
//
// The reader has its own file: it stays valid after Commit, and the caller must close it.
// Once Commit has put the blob, NewReader opens that.
func (p *Part) NewReader(ctx context.Context) (*PartReader, error) {
	switch over := p.overErr(); {
	case over == errCommitted:
		return p.reopen(ctx)
	case over != nil:
		return nil, over
	}
	f, err := osfile.Duplicate(p.f)
	if errors.Is(err, os.ErrClosed) { // the part has just ended, and over says why
		return p.NewReader(ctx)
	}
	if err != nil {
		return nil, storeError(err)
	}
	return &PartReader{ctx: ctx, p: p, f: f}, nil
}

// reopen waits for the end of Commit and opens the blob.
func (p *Part) reopen(ctx context.Context) (*PartReader, error) {
	select {
	case <-p.put:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if p.putErr != nil {
		return nil, p.putErr
	}
	b, err := p.s.Blob(ctx, p.digest)
	if err != nil {
		return nil, err
	}
	return &PartReader{ctx: ctx, p: p, f: b.File}, nil
}

// PartReader reads a part; see NewReader.
type PartReader struct {
	ctx context.Context
	p   *Part
	f   *os.File
	off int64
}

// Read reads content that has arrived. If there is none it waits.
func (r *PartReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	end, err := r.wait()
	if err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(b[:min(int64(len(b)), end-r.off)], r.p.base+r.off)
	r.off += int64(n)
	switch {
	case n > 0:
		err = nil
	case err == io.EOF:
		err = fmt.Errorf("%s: %w: somebody has changed it", r.f.Name(), io.ErrUnexpectedEOF)
	}
	return n, err
}

// Next waits as Read does, and returns where the next content lies: n bytes of f at off.
// Skip then moves past as many of them as the caller has used.
func (r *PartReader) Next() (f *os.File, off, n int64, err error) {
	end, err := r.wait()
	if err != nil {
		return nil, 0, 0, err
	}
	return r.f, r.p.base + r.off, end - r.off, nil
}

// Skip moves past n of the bytes that Next has returned.
func (r *PartReader) Skip(n int64) { r.off += n }

// wait waits for the byte at off, and returns where the content that has arrived ends. At
// the end of the content it returns the verdict, or io.EOF.
func (r *PartReader) wait() (end int64, err error) {
	if r.off < r.p.size {
		return r.p.arrived(r.ctx, r.off)
	}
	if err := r.p.verdict(r.ctx); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// Close closes the file.
func (r *PartReader) Close() error { return r.f.Close() }
