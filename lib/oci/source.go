package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/manifest"
)

// Source is where the blobs of an image lie: a layout, an archive, a registry. Its
// methods may be called from several goroutines, and wait no longer than their context
// allows. A blob that is not there is ErrNotFound.
type Source interface {
	// Manifest returns the bytes of d, an index or a manifest. They need not be
	// verified; the caller does that.
	Manifest(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error)
	// Config is Manifest for a configuration.
	Config(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error)
	// Layer returns the bytes of d, the layer of that index; 0 is the bottom. The
	// reader fails, at the latest where it would report io.EOF, unless they are the
	// right ones; see Verify. The context holds for its Read too.
	Layer(ctx context.Context, index int, d manifest.Descriptor) (io.ReadCloser, error)
}

// Fetcher is a Source that gets layers from afar. WriteArchive asks it for all layers
// before it reads the first.
type Fetcher interface {
	Source
	// Fetch starts to get the layers of img, and does not wait for them. A layer that
	// is in places may be written there.
	Fetch(img *Image, places map[digest.Digest]Place) error
	// Placed waits for layer l, and reports whether all of it, verified, is in the
	// place that Fetch was given for it.
	Placed(ctx context.Context, l *Layer) (bool, error)
}

// Place is where in a file something goes.
type Place struct {
	File *os.File // nil: nowhere
	Off  int64
}

// embedded finds blobs in their descriptors first.
type embedded struct{ Source }

func (e embedded) Manifest(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	if d.Data != nil {
		return io.NopCloser(bytes.NewReader(d.Data)), nil
	}
	return e.Source.Manifest(ctx, d)
}

func (e embedded) Config(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	if d.Data != nil {
		return io.NopCloser(bytes.NewReader(d.Data)), nil
	}
	return e.Source.Config(ctx, d)
}

func (e embedded) Layer(ctx context.Context, index int, d manifest.Descriptor) (io.ReadCloser, error) {
	if d.Data != nil {
		return verifySized(io.NopCloser(bytes.NewReader(d.Data)), int64(len(d.Data)), d)
	}
	return e.Source.Layer(ctx, index, d)
}

// verifySized is Verify where r is known to have size bytes.
func verifySized(r io.ReadCloser, size int64, d manifest.Descriptor) (io.ReadCloser, error) {
	if size != d.Size {
		r.Close()
		return nil, fmt.Errorf("%w: %s: size is %d, the manifest says %d", ErrCorrupt, d.Digest, size, d.Size)
	}
	return Verify(r, d), nil
}

// Verify returns a reader of r that fails with ErrCorrupt, at the latest where it would
// report io.EOF, unless r has the size and the digest of d, which must be valid. No more
// than d.Size bytes are passed on.
func Verify(r io.ReadCloser, d manifest.Descriptor) io.ReadCloser {
	return &verified{r: r, hash: d.Digest.Algorithm().Hash(), desc: d}
}

type verified struct {
	r    io.ReadCloser
	hash hash.Hash
	desc manifest.Descriptor
	n    int64
	err  error
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.n += int64(n)
	v.hash.Write(p[:n])
	switch {
	case v.n > v.desc.Size:
		n, err = 0, v.corrupt("more than the %d bytes that the manifest says", v.desc.Size)
	case err == io.EOF:
		err = v.check()
	}
	v.err = err
	return n, err
}

// check returns io.EOF if what was read is the blob.
func (v *verified) check() error {
	if v.n != v.desc.Size {
		return v.corrupt("%d bytes, the manifest says %d", v.n, v.desc.Size)
	}
	if got := digest.NewDigest(v.desc.Digest.Algorithm(), v.hash); got != v.desc.Digest {
		return v.corrupt("the bytes are those of %s", got)
	}
	return io.EOF
}

func (v *verified) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: expected %s: %s", ErrCorrupt, v.desc.Digest, fmt.Sprintf(format, args...))
}

func (v *verified) Close() error { return v.r.Close() }

// layerReader reads a layer. Its errors say which one.
type layerReader struct {
	io.ReadCloser
	layer int
}

func (r *layerReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = nameLayer(r.layer, err)
	}
	return n, err
}

// WriteTo implements [io.WriterTo]: a source whose layers lie in files does so too, and
// has them copied without a way through memory.
func (r *layerReader) WriteTo(w io.Writer) (int64, error) {
	from, ok := r.ReadCloser.(io.WriterTo)
	if !ok {
		return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
	}
	n, err := from.WriteTo(w)
	if err != nil {
		err = nameLayer(r.layer, err)
	}
	return n, err
}

// nameLayer says which layer err is about, unless it says so itself.
func nameLayer(layer int, err error) error {
	if errors.As(err, new(*LayerError)) {
		return err
	}
	return &LayerError{layer, err}
}
