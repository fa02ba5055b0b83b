package pull

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
)

const copySize = 256 << 10

// copyBytes copies r to w, through memory.
func copyBytes(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
}

// trusted is a blob that was verified when it was put into the cache.
type trusted struct{ *cas.Blob }

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

// WriteTo implements [io.WriterTo], if possible without a way through memory.
func (t trusted) WriteTo(w io.Writer) (int64, error) {
	at, err := t.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	done := blockio.TakeFrom(w, t.File, at, t.Size-at)
	if _, err := t.Seek(at+done, io.SeekStart); err != nil {
		return done, err
	}
	n, err := copyBytes(w, t)
	return done + n, err
}

// following reads a layer that arrives in a part. If the part fails, following continues
// with a stream of its own, and hashes again what it has read.
type following struct {
	ctx   context.Context
	d     *download
	part  *cas.PartReader
	again *cas.PartReader // the part from its beginning, for the hash
	off   int64

	stream io.ReadCloser // nil while the part is read
	hash   hash.Hash     // of all bytes; nil without a stream
}

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
		return n, f.resume(err)
	}
	n, err = f.stream.Read(p)
	f.off += int64(n)
	f.hash.Write(p[:n])
	if f.off > f.d.desc.Size {
		return 0, fmt.Errorf("%w: %s: more than the %d bytes that the manifest says", oci.ErrCorrupt, f.d.desc.Digest, f.d.desc.Size)
	}
	if err == io.EOF {
		err = f.check()
	}
	return n, err
}

// WriteTo implements [io.WriterTo], as far as possible without a way through memory.
func (f *following) WriteTo(w io.Writer) (int64, error) {
	done := int64(0)
	for taken := true; taken && f.stream == nil; {
		file, off, n, err := f.part.Next()
		if err != nil {
			break // copyBytes gets the same error
		}
		took := blockio.TakeFrom(w, file, off, n)
		f.part.Skip(took)
		f.off += took
		done += took
		taken = took == n
	}
	n, err := copyBytes(w, f)
	return done + n, err
}

// resume returns the error to report for an error of the part: nil if a stream can take
// the place of the part.
func (f *following) resume(err error) error {
	switch {
	case err == nil || err == io.EOF:
	case errors.As(err, new(storeError)):
		err = f.openStream()
	case errors.Is(err, cas.ErrMismatch):
		err = f.d.mismatch(err, f.d.part.Resumed())
	case f.d.r.ctx.Err() != nil:
		err = context.Cause(f.d.r.ctx)
	}
	return err
}

// openStream opens a stream in place of the part.
func (f *following) openStream() error {
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

// check returns io.EOF if the bytes of the part and the stream make the layer.
func (f *following) check() error {
	want := f.d.desc.Digest
	if got := digest.NewDigest(want.Algorithm(), f.hash); got != want || f.off != f.d.desc.Size {
		return fmt.Errorf("%w: expected %s: the bytes are those of %s", oci.ErrCorrupt, want, got)
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
