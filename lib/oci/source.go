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

// Source has the blobs of an image: it is a layout, an archive or a registry. Its methods
// may be called from several goroutines, and wait no longer than their context allows.
// The error is ErrNotFound for a blob that it does not have.
type Source interface {
	// Manifest returns the bytes of d, an index or a manifest. The caller verifies
	// them, and closes the reader.
	Manifest(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error)
	// Config is Manifest for a configuration.
	Config(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error)
	// Layer returns the bytes of d, the layer number index; 0 is the bottom. The
	// reader fails, at the latest where it would report io.EOF, if they are not the
	// right ones; see Verify. Only a source with a cache may have verified them earlier
	// instead. The end of ctx ends its Read too.
	Layer(ctx context.Context, index int, d manifest.Descriptor) (io.ReadCloser, error)
}

// Fetcher is a Source that downloads layers. WriteArchive calls Fetch for all layers
// before it reads the first.
type Fetcher interface {
	Source
	// Fetch starts to download the layers of img, and does not wait for them. It may
	// write a layer that has an entry in places to that place.
	Fetch(img *Image, places map[digest.Digest]Place) error
	// Placed waits for layer l, and reports whether Fetch has written all of it,
	// verified, to its place.
	Placed(ctx context.Context, l *Layer) (bool, error)
}

// Place is a position in a file.
type Place struct {
	File *os.File // nil: nowhere
	Off  int64
}

// embedded takes a blob from its descriptor, if that holds it, else from Source.
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

// verifySized is Verify for an r that is known to have size bytes.
func verifySized(r io.ReadCloser, size int64, d manifest.Descriptor) (io.ReadCloser, error) {
	if size != d.Size {
		r.Close()
		return nil, fmt.Errorf("%w: %s: size is %d, the manifest says %d", ErrCorrupt, d.Digest, size, d.Size)
	}
	return Verify(r, d), nil
}

// Verify returns a reader of r that fails with ErrCorrupt, at the latest where it would
// report io.EOF, unless r has the size and the digest of d. The digest must be valid. The
// reader passes on no more than d.Size bytes. Closing it closes r.
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

// check returns io.EOF if the bytes that were read are the blob.
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

// layerReader reads a layer, and adds the number of the layer to errors.
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

// WriteTo implements [io.WriterTo]: a source whose layers lie in files implements it too,
// and copies them without a way through memory.
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

// nameLayer adds the number of the layer to err, unless err has it already.
func nameLayer(layer int, err error) error {
	if errors.As(err, new(*LayerError)) {
		return err
	}
	return &LayerError{layer, err}
}
