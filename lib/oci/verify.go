package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

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

// readDocument reads and verifies an index, a manifest or a configuration of no more
// than limit bytes. A size of -1 in d is not checked.
func readDocument(r io.Reader, d manifest.Descriptor, limit int64) ([]byte, error) {
	data, err := ReadMetadata(r, limit)
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

// ReadMetadata reads r, an index, a manifest or a configuration, to its end. The error is a
// [*LimitError] if r is longer than limit bytes.
func ReadMetadata(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &LimitError{MaxMetadata, limit}
	}
	return b.Bytes(), nil
}
