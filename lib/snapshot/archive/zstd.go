package archive

import (
	"context"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// DefaultLevel is the level of compression that WriterOptions.Level 0 stands for.
const DefaultLevel = 3

// window is how far back the compression looks. msb reads one frame with a window of at
// most 8 MiB.
const window = 4 << 20

// newCompressor returns a compressor to w: one frame, with a checksum.
func newCompressor(_ context.Context, w io.Writer, o WriterOptions) (io.WriteCloser, error) {
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	return zstd.NewWriter(w, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(o.Jobs),
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(o.Level)))
}
