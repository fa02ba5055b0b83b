package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ocipipe/lib/compression"
	"ocipipe/lib/decompress"
	"ocipipe/lib/unzstd"
)

// Decompress is [decompress.New] with the errors of this package: damage is ErrCorrupt, zstd with
// a larger window or a dictionary ErrUnsupported, a stream that is cut short an [*EndError], and
// an error of r is returned as it is. The result may be a blockio.ChunkReader, which is faster.
func Decompress(ctx context.Context, r io.Reader, window *unzstd.Window) (io.ReadCloser, error) {
	unpacked, _, err := decompressAhead(ctx, r, 0, window)
	return unpacked, err
}

// decodersAhead returns how many goroutines may decode a gzip stream ahead, if so many
// streams are read at the same time. They take a third more processor time. The reader and
// the next stage of a pipeline can use that as well, so two processors of each stream are
// left to them.
func decodersAhead(processors, streams int) int {
	return max(0, min(processors/max(streams, 1)-2, maxAhead))
}

// maxAhead is the number of decoders that a reader can keep up with.
const maxAhead = 4

// decompressAhead is Decompress with a number of goroutines that decode gzip ahead.
func decompressAhead(ctx context.Context, r io.Reader, ahead int, window *unzstd.Window) (io.ReadCloser, compression.Kind, error) {
	below := &errorKeeper{r: r}
	s, err := decompress.New(ctx, below, window)
	if err != nil {
		return nil, "", err
	}
	d := decompressor{name: string(s.Kind), Stream: s, below: below, ctx: ctx}
	switch s.Kind {
	case compression.Gzip:
		s.Gzip.Ahead(ahead)
		return &gunzipper{d}, s.Kind, nil
	case compression.Zstd:
		return &d, s.Kind, nil
	}
	return s, s.Kind, nil
}

// decompressor distinguishes errors in the compressed data from those of the reader below.
type decompressor struct {
	*decompress.Stream
	name  string
	below *errorKeeper
	ctx   context.Context // ends the waits of the stream
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.Stream.Read(p)
	return n, d.explain(err)
}

func (d *decompressor) explain(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case d.below.err != nil:
		return d.below.err
	case d.ctx.Err() != nil && errors.Is(err, context.Cause(d.ctx)):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &EndError{what: d.name + " stream is cut short"}
	}
	kind := ErrCorrupt
	if errors.Is(err, unzstd.ErrUnsupported) {
		kind = ErrUnsupported
	}
	return fmt.Errorf("%w: %s: %w", kind, d.name, err)
}

// gunzipper is a decompressor that is a blockio.ChunkReader as well.
type gunzipper struct{ decompressor }

func (g *gunzipper) ChunkSize() int { return g.Gzip.ChunkSize() }

func (g *gunzipper) ReadChunk(mem []byte) ([]byte, error) {
	data, err := g.Gzip.ReadChunk(mem)
	return data, g.explain(err)
}

// errorKeeper remembers the error of a reader, other than io.EOF.
type errorKeeper struct {
	r   io.Reader
	err error
}

func (k *errorKeeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}
