package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"ocipipe/lib/compression"
	"ocipipe/lib/gunzip"
	"ocipipe/lib/unzstd"
)

// Decompress returns what r holds, decompressed: gzip with any number of members,
// zstd with any number of frames, skippable ones too, or r itself. For the window, as
// in [Options], a Read waits until ctx is done. The reader
// below is read to its end. Where the result is a blockio.ChunkReader too, that is
// the faster way. Close frees memory, ends goroutines, and does not close r. A compression that is not
// read is a [*compression.Error].
func Decompress(ctx context.Context, r io.Reader, window *unzstd.Window) (io.ReadCloser, error) {
	unpacked, _, err := decompress(ctx, r, 0, window)
	return unpacked, err
}

// decodersAhead is how many goroutines may decode one of so many gzip streams ahead.
// They take a third more processor time, which the reader and the next stage of a
// pipeline can use as well: those have two processors of each stream.
func decodersAhead(processors, streams int) int {
	return max(0, min(processors/max(streams, 1)-2, maxAhead))
}

// maxAhead is how many decoders keep pace with a reader.
const maxAhead = 4

// decompress is Decompress with so many goroutines that decode gzip ahead.
func decompress(ctx context.Context, r io.Reader, ahead int, window *unzstd.Window) (io.ReadCloser, compression.Kind, error) {
	below := &errorKeeper{r: r}
	head := make([]byte, compression.HeadSize)
	n, err := io.ReadFull(below, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, "", err
	}
	in := io.MultiReader(bytes.NewReader(head[:n]), below)
	kind, err := compression.Detect(head[:n])
	if err != nil {
		return nil, "", err
	}
	switch kind {
	case compression.Gzip:
		z := gunzip.NewReader(in)
		z.Ahead(ahead)
		return &gunzipper{decompressor{name: "gzip", r: z, below: below, ctx: ctx, close: func() { z.Close() }}, z}, kind, nil
	case compression.Zstd:
		z := unzstd.NewReader(ctx, in, window)
		return &decompressor{name: "zstd", r: z, below: below, ctx: ctx, close: func() { z.Close() }}, kind, nil
	}
	return io.NopCloser(in), kind, nil
}

// decompressor tells errors in the compressed data from those of the reader below.
type decompressor struct {
	name  string
	r     io.Reader
	below *errorKeeper
	ctx   context.Context // of what r waits for
	close func()
}

func (d *decompressor) Close() error {
	d.close()
	return nil
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
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
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, d.name, err)
}

// gunzipper is a decompressor that is a blockio.ChunkReader as well.
type gunzipper struct {
	decompressor
	z *gunzip.Reader
}

func (g *gunzipper) ChunkSize() int { return g.z.ChunkSize() }

func (g *gunzipper) ReadChunk(mem []byte) ([]byte, error) {
	data, err := g.z.ReadChunk(mem)
	return data, g.explain(err)
}

// errorKeeper remembers the error of a reader, its end apart.
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
