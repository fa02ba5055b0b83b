package layer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"

	"ocipipe/lib/compression"
)

// Compress returns a writer that compresses to w; Close completes the stream and
// does not close w. The bytes do not depend on the number of processors.
func Compress(w io.Writer, kind compression.Kind) (io.WriteCloser, error) {
	switch kind {
	case compression.Plain:
		return nopCloser{w}, nil
	case compression.Gzip:
		return pgzip.NewWriter(w), nil
	case compression.Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(2))
	}
	return nil, fmt.Errorf("%w: compression %q", ErrUnsupported, kind)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
