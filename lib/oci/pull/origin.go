package pull

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
)

// origin has the blobs of an image that is kept in the cache: a repository of a registry, or
// an image in a file.
type origin interface {
	// Resolve returns the digest of what tag names.
	Resolve(ctx context.Context, tag string, notify func(registry.Retry)) (digest.Digest, error)
	// Manifest returns the index or manifest that ref, a tag or a digest, names.
	Manifest(ctx context.Context, ref string, limit int64, notify func(registry.Retry)) (registry.Manifest, error)
	// Stream returns the bytes of b from off on, not verified.
	Stream(ctx context.Context, b registry.Blob, off int64, notify func(registry.Retry)) (io.ReadCloser, error)
	// Fetch writes the missing bytes of b.
	Fetch(ctx context.Context, b registry.Blob, missing []registry.Span, write func(p []byte, off int64) error, notify func(registry.Retry)) error
	// Mirrors returns the hosts that may have sent wrong bytes.
	Mirrors() []string
	Close() error
}

// repository is the origin in a registry.
type repository struct {
	*registry.Repository
	client *registry.Client
}

func (r repository) Stream(ctx context.Context, b registry.Blob, off int64, notify func(registry.Retry)) (io.ReadCloser, error) {
	s, err := r.Repository.Stream(ctx, b, off, notify)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (r repository) Close() error {
	r.client.Close()
	return nil
}

// local is the origin in a file. It knows the blobs of one image.
type local struct{ img *oci.Image }

func (l local) Resolve(context.Context, string, func(registry.Retry)) (digest.Digest, error) {
	return l.img.Digest, nil
}

func (l local) Manifest(context.Context, string, int64, func(registry.Retry)) (registry.Manifest, error) {
	return registry.Manifest{Data: l.img.Manifest, MediaType: l.img.MediaType}, nil
}

// Stream returns a reader from the file, which verifies all bytes from the beginning on.
func (l local) Stream(ctx context.Context, b registry.Blob, off int64, _ func(registry.Retry)) (io.ReadCloser, error) {
	if b.Digest == l.img.ConfigDigest {
		return io.NopCloser(bytes.NewReader(l.img.Config[min(off, int64(len(l.img.Config))):])), nil
	}
	layer, err := l.img.Layer(b.Digest.String())
	if err != nil {
		return nil, err
	}
	r, err := layer.Open(ctx)
	if err != nil {
		return nil, unnumbered(err)
	}
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		r.Close()
		return nil, unnumbered(err)
	}
	return unnumberedReader{r}, nil
}

// unnumberedReader takes the number of the layer off errors: what reads the kept image adds
// it again.
type unnumberedReader struct{ io.ReadCloser }

func (u unnumberedReader) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	return n, unnumbered(err)
}

func unnumbered(err error) error {
	if e := (*oci.LayerError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Fetch reads the blob once, and leaves out the bytes that are not missing.
func (l local) Fetch(ctx context.Context, b registry.Blob, missing []registry.Span, write func(p []byte, off int64) error, notify func(registry.Retry)) error {
	r, err := l.Stream(ctx, b, 0, notify)
	if err != nil {
		return err
	}
	defer r.Close()
	buf, at := make([]byte, copySize), int64(0)
	for {
		n, err := io.ReadFull(r, buf)
		for _, m := range missing {
			from, end := max(m.Off, at), min(m.End, at+int64(n))
			if from >= end {
				continue
			}
			if werr := write(buf[from-at:end-at], from); werr != nil {
				return werr
			}
		}
		at += int64(n)
		switch {
		case err == nil:
		case err == io.EOF || err == io.ErrUnexpectedEOF && at == b.Size:
			return nil
		default:
			return err
		}
	}
}

func (local) Mirrors() []string { return nil }

func (l local) Close() error { return l.img.Close() }
