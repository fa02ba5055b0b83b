package unzstd

import (
	"bufio"
	"context"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// inputSize is how much is read of the input at a time.
const inputSize = 256 << 10

// Reader decompresses a stream of zstd: any number of frames, skippable ones too.
type Reader struct {
	ctx     context.Context
	window  *Window
	frames  frames
	narrow  *zstd.Decoder // for the frames with an ordinary window
	wide    *zstd.Decoder // that of window, while the reader has it
	current *zstd.Decoder // one of the two
	err     error
}

// NewReader decompresses r, which it reads to the end and stays the caller's. The window
// is the one to take for frames that need a large one; nil is one of its own. A wait for it
// ends with ctx: Read returns the cause of that then. The caller closes the Reader.
//
// Errors about the stream are those of the decoder. io.EOF comes only after the
// checksums of all frames that have one were verified, and a stream that ends elsewhere is
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

// newDecoder returns a decoder that works in the goroutine of who reads it.
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

// turn goes on with the other decoder.
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

// end has every later Read return err, and frees what only Read needs.
func (z *Reader) end(err error) {
	z.err = err
	z.release()
	z.narrow.Close()
	z.narrow, z.current = nil, nil
}

// Close frees memory, the window for other readers above all. It is not for a time when
// Read runs. Closing twice is harmless.
func (z *Reader) Close() error {
	if z.narrow != nil {
		z.end(fs.ErrClosed)
	}
	z.err = fs.ErrClosed
	return nil
}
