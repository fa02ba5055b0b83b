package layer

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"

	"ocipipe/lib/compression"
)

// Compressor compresses what is written to it, in goroutines of its own. After an error
// every call returns that error.
type Compressor struct {
	out     *gate
	encoder encoder
	err     error // errCompressed after Close
}

// encoder is what the encoders of gzip and zstd have in common. Reset waits for their
// goroutines, also after an error.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// Compress returns a Compressor that writes to w, which it does not close. The bytes do
// not depend on the number of processors. The caller calls Close or Abort.
func Compress(w io.Writer, kind compression.Kind) (c *Compressor, err error) {
	c = &Compressor{out: &gate{w: w}}
	switch kind {
	case compression.Plain:
		c.encoder = plainEncoder{c.out}
	case compression.Gzip:
		c.encoder = pgzip.NewWriter(c.out)
	case compression.Zstd:
		c.encoder, err = zstd.NewWriter(c.out, zstd.WithEncoderConcurrency(2))
	default:
		err = fmt.Errorf("%w: compression %q", ErrUnsupported, kind)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Write compresses p. Data may be kept in memory until Close.
func (c *Compressor) Write(p []byte) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if n, c.err = c.encoder.Write(p); c.err != nil {
		c.free()
	}
	return n, c.err
}

// Close completes the stream. Closing twice is harmless.
func (c *Compressor) Close() error {
	if c.err == nil {
		if c.err = c.encoder.Close(); c.err != nil {
			c.free()
			return c.err
		}
		c.err = errCompressed
	}
	if c.err == errCompressed {
		return nil
	}
	return c.err
}

var errCompressed = errors.New("compressed stream is already complete")

// Abort leaves the stream cut short, and waits for the goroutines. It does nothing after
// Close.
func (c *Compressor) Abort(cause error) {
	if c.err == nil {
		c.err = cause
		c.free()
	}
}

// free ends the goroutines of the encoder, and keeps them from writing any more.
func (c *Compressor) free() {
	c.out.shut.Store(true)
	c.encoder.Reset(io.Discard)
}

// gate is a writer that can be shut.
type gate struct {
	w    io.Writer
	shut atomic.Bool
}

var errShut = errors.New("compression was given up")

func (g *gate) Write(p []byte) (int, error) {
	if g.shut.Load() {
		return 0, errShut
	}
	return g.w.Write(p)
}

// plainEncoder leaves everything as it is.
type plainEncoder struct{ io.Writer }

func (plainEncoder) Close() error    { return nil }
func (plainEncoder) Reset(io.Writer) {}
