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

// WriteTo implements [io.WriterTo], if it can without a way through memory.
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

// following reads a layer that arrives in a part. Where the part cannot take any more it
// goes on with a stream, and hashes anew what it has read.
type following struct {
	ctx   context.Context
	d     *download
	part  *cas.PartReader
	again *cas.PartReader // the part from its beginning, for the hash
	off   int64

	stream io.ReadCloser // nil while the part is read
	hash   hash.Hash     // of all, if there is a stream
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
		return n, f.goOn(err)
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

// WriteTo implements [io.WriterTo], as far as it can without a way through memory.
func (f *following) WriteTo(w io.Writer) (int64, error) {
	done := int64(0)
	for taken := true; taken && f.stream == nil; {
		file, off, n, err := f.part.Next()
		if err != nil {
			break // Read says the same
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

// goOn returns what an error of the part means: nil where a stream takes its place.
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

// leave opens a stream in place of the part.
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

// check returns io.EOF if what the part and the stream have given is the layer.
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
