package layer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compress returns a writer that compresses to w; Close completes the stream and
// does not close w. The bytes do not depend on the number of processors.
func Compress(w io.Writer, kind Compression) (io.WriteCloser, error) {
	switch kind {
	case Plain:
		return nopCloser{w}, nil
	case Gzip:
		return pgzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(2))
	}
	return nil, fmt.Errorf("%w: compression %q", ErrUnsupported, kind)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
