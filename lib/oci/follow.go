package oci

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cas"
)

// fileSource is a reader whose bytes lie in a file, and can be copied from there.
type fileSource interface {
	// copyTo writes what is left to w, and fails as Read would.
	copyTo(w io.Writer) error
}

// copyAll copies r to w, through no memory if that can be.
func copyAll(w io.Writer, r io.Reader) error {
	if s, ok := r.(fileSource); ok {
		return s.copyTo(w)
	}
	return copyBytes(w, r)
}

func copyBytes(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
	return err
}

// trusted is a blob that has been verified: when it was put into the cache.
type trusted struct{ *cas.Blob }

func (trusted) isVerified() {}

func (t trusted) Read(p []byte) (int, error) {
	n, err := t.Blob.Read(p)
	if err != io.EOF {
		return n, err
	}
	if at, serr := t.Seek(0, io.SeekCurrent); serr != nil || at < t.Size {
		err = fmt.Errorf("%s: %w: somebody has changed it", t.Name(), io.ErrUnexpectedEOF)
	}
	return n, err
}

func (t trusted) copyTo(w io.Writer) error {
	done := blockio.TakeFrom(w, t.File, 0, t.Size)
	if _, err := t.Seek(done, io.SeekStart); err != nil {
		return err
	}
	return copyBytes(w, t)
}

// following reads a layer that arrives in a part. Where the part cannot take any
// more it goes on with a stream, and hashes what it has read anew.
type following struct {
	ctx   context.Context
	d     *download
	part  *cas.PartReader
	again *cas.PartReader // the part from its beginning, for the hash
	off   int64

	stream io.ReadCloser // nil while the part is read
	hash   hash.Hash     // of all, if there is a stream
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
	return &following{ctx: ctx, d: d, part: r, again: again}, nil
}

func (f *following) Read(p []byte) (n int, err error) {
	if f.stream == nil {
		n, err = f.part.Read(p)
		f.off += int64(n)
		return n, f.goOn(err)
	}
	n, err = f.stream.Read(p)
	f.off += int64(n)
	f.hash.Write(p[:n])
	if f.off > f.d.desc.Size {
		return 0, fmt.Errorf("%w: %s: more than the %d bytes that the manifest says", ErrCorrupt, f.d.desc.Digest, f.d.desc.Size)
	}
	if err == io.EOF {
		err = f.check()
	}
	return n, err
}

func (f *following) copyTo(w io.Writer) error {
	for taken := true; taken && f.stream == nil; {
		file, off, n, err := f.part.Next()
		if err != nil {
			break // Read says the same
		}
		took := blockio.TakeFrom(w, file, off, n)
		f.part.Skip(took)
		f.off += took
		taken = took == n
	}
	return copyBytes(w, f)
}

// goOn is what an error of the part means: none, if a stream takes its place.
func (f *following) goOn(err error) error {
	switch {
	case err == nil || err == io.EOF:
	case errors.As(err, new(storeError)):
		err = f.leave()
	case errors.Is(err, cas.ErrMismatch):
		err = f.d.mismatch(err, f.d.part.Resumed())
	case f.d.r.ctx.Err() != nil:
		err = context.Cause(f.d.r.ctx)
	}
	return err
}

// leave goes on without the part.
func (f *following) leave() error {
	h := f.d.desc.Digest.Algorithm().Hash()
	if _, err := io.CopyN(h, f.again, f.off); err != nil {
		return err
	}
	s, err := f.d.stream(f.ctx, f.off)
	if err == nil {
		f.stream, f.hash = s, h
	}
	return err
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
	if f.stream != nil {
		f.stream.Close()
	}
	return f.part.Close()
}
