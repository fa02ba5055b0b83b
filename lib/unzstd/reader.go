package unzstd

import (
	"bufio"
	"context"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// inputSize is how much input is read at a time, in bytes.
const inputSize = 256 << 10

// Reader decompresses a stream of zstd: any number of frames, skippable ones too.
type Reader struct {
	ctx     context.Context
	window  *Window
	frames  frames
	narrow  *zstd.Decoder // for the frames with an ordinary window
	wide    *zstd.Decoder // the decoder of window, while the reader has it
	current *zstd.Decoder // one of the two
	err     error
}

// NewReader decompresses r, and reads it to the end. Frames that need a large window take
// it from window; nil stands for a window of the reader's own. When ctx is done a wait
// for the window ends, and Read returns the cause of ctx. The caller closes the Reader,
// which does not close r.
//
// Errors about the stream are an [*Error]. io.EOF comes only after the checksums
// of all frames that have one were verified; a stream that ends inside a frame is
// io.ErrUnexpectedEOF.
func NewReader(ctx context.Context, r io.Reader, window *Window) *Reader {
	if window == nil {
		window = NewWindow()
	}
	z := &Reader{ctx: ctx, window: window, frames: frames{r: bufio.NewReaderSize(r, inputSize)}}
	z.narrow = newDecoder(&z.frames)
	z.current = z.narrow
	return z
}

// newDecoder returns a decoder that works in the goroutine that calls Read.
func newDecoder(r io.Reader) *zstd.Decoder {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxWindow))
	if err != nil {
		panic(err) // the options are wrong, not the input
	}
	return d
}

// Read returns decompressed bytes. It may wait for the window.
func (z *Reader) Read(p []byte) (int, error) {
	for z.err == nil {
		n, err := z.current.Read(p)
		switch {
		case err == io.EOF && z.frames.turned && n > 0:
			return n, nil
		case err == io.EOF && z.frames.turned:
			err = z.turn()
		default:
			err = z.explain(err)
		}
		if err != nil {
			z.end(err)
		}
		if n > 0 || len(p) == 0 {
			return n, err
		}
	}
	return 0, z.err
}

// turn continues with the other decoder.
func (z *Reader) turn() (err error) {
	if z.wide != nil {
		z.release()
		z.current = z.narrow
	} else {
		if z.wide, err = z.window.take(z.ctx); err != nil {
			return err
		}
		z.current = z.wide
	}
	z.frames.turn()
	return z.current.Reset(&z.frames)
}

// release gives the window back.
func (z *Reader) release() {
	if z.wide != nil {
		z.window.give(z.wide)
		z.wide = nil
	}
}

// end makes every later Read return err, and frees what only Read needs.
func (z *Reader) end(err error) {
	z.err = err
	z.release()
	z.narrow.Close()
	z.narrow, z.current = nil, nil
}

// Close frees the reader's memory, and gives the window back. It must not be called
// while Read runs. Closing twice is harmless.
func (z *Reader) Close() error {
	if z.narrow != nil {
		z.end(fs.ErrClosed)
	}
	z.err = fs.ErrClosed
	return nil
}
