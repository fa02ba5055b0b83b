package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

// blobs is where the blobs of an image lie.
type blobs interface {
	// blob returns the bytes of d, which nobody has verified, and their number,
	// or -1 where that is not known.
	blob(ctx context.Context, d descriptor) (io.ReadCloser, int64, error)
	// manifest is blob for indexes and manifests, which a registry keeps apart.
	manifest(ctx context.Context, d descriptor) (io.ReadCloser, int64, error)
}

// checkDigest is [layout.CheckDigest] with the errors of this package.
func checkDigest(d digest.Digest) error {
	err := layout.CheckDigest(d)
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*layout.AlgorithmError)):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// openVerified opens the layer of d, whose size must be known.
func openVerified(ctx context.Context, b blobs, d descriptor) (io.ReadCloser, error) {
	if d.Size < 0 {
		return nil, fmt.Errorf("%w: %s: size %d", ErrCorrupt, d.Digest, d.Size)
	}
	r, size, err := b.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	if size >= 0 && size != d.Size {
		r.Close()
		return nil, fmt.Errorf("%w: %s: size is %d, the manifest says %d", ErrCorrupt, d.Digest, size, d.Size)
	}
	if _, ok := r.(interface{ isVerified() }); ok {
		return &labelled{r, d.layer}, nil
	}
	v := &verified{r: r, hash: d.Digest.Algorithm().Hash(), desc: d}
	if far, ok := b.(*remote); ok {
		v.blame = far.blame
	}
	return v, nil
}

// labelled is a reader that is verified already, whose errors say what it reads.
type labelled struct {
	io.ReadCloser
	layer int
}

func (n *labelled) Read(p []byte) (int, error) {
	k, err := n.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = nameLayer(n.layer, err)
	}
	return k, err
}

func (n *labelled) copyTo(w io.Writer) error {
	err := copyAll(w, n.ReadCloser)
	if err != nil {
		err = nameLayer(n.layer, err)
	}
	return err
}

// verified passes on the bytes of a blob and, at their end, fails unless they
// are the right ones.
type verified struct {
	r     io.ReadCloser
	hash  hash.Hash
	desc  descriptor
	blame func(error) error // says who may have sent it; may be nil
	n     int64
	err   error
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
	case err != nil:
		err = nameLayer(v.desc.layer, err)
	}
	v.err = err
	return n, err
}

// check is what io.EOF must pass.
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
	err := fmt.Errorf("%w: expected %s: %s", ErrCorrupt, v.desc.Digest, fmt.Sprintf(format, args...))
	if v.blame != nil {
		err = v.blame(err)
	}
	return nameLayer(v.desc.layer, err)
}

func (v *verified) Close() error { return v.r.Close() }

// readDocument reads and verifies an index, a manifest or a configuration. A
// size of -1 in d is not checked.
func readDocument(r io.Reader, d descriptor, max int64) ([]byte, error) {
	data, err := readLimited(r, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, err)
	}
	if d.Size >= 0 && d.Size != int64(len(data)) {
		return nil, fmt.Errorf("%w: %s: size is %d, its descriptor says %d", ErrCorrupt, d.Digest, len(data), d.Size)
	}
	if got := d.Digest.Algorithm().FromBytes(data); got != d.Digest {
		return nil, fmt.Errorf("%w: expected %s, the bytes are those of %s", ErrCorrupt, d.Digest, got)
	}
	return data, nil
}

// readLimited reads r to its end, which must come within max bytes.
func readLimited(r io.Reader, max int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if n > max {
		return nil, fmt.Errorf("%w: longer than %d bytes (limit --max-metadata)", ErrUnsupported, max)
	}
	return b.Bytes(), nil
}
