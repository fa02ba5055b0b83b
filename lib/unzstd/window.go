package unzstd

import (
	"bytes"
	"context"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxWindow is the largest window of a frame that is read, as with the reference
	// decoder where nothing is said: zstd --ultra and --long=27 ask for it.
	MaxWindow = 128 << 20

	// ordinary is the largest window that every reader has for itself.
	ordinary = 8 << 20
)

// Window is the memory for one window above the ordinary, which readers take in turns.
//
// A reader that has it is at a frame, and gives it back once all of that was read. So
// readers that share a Window must not wait for each other: neither in whom they read nor
// in who reads them. One goroutine that reads two in turns would wait for itself.
type Window struct {
	free chan *zstd.Decoder // holds one unless a reader has it, nil before the first
}

// NewWindow returns a window that takes no memory before a frame needs it.
func NewWindow() *Window {
	w := &Window{make(chan *zstd.Decoder, 1)}
	w.free <- nil
	return w
}

// take waits for the window until ctx is done, the cause of which it returns then.
func (w *Window) take(ctx context.Context) (*zstd.Decoder, error) {
	select {
	case d := <-w.free:
		return allocated(d), nil
	default:
	}
	select {
	case d := <-w.free:
		return allocated(d), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// give takes back what take returned.
func (w *Window) give(d *zstd.Decoder) {
	d.Reset(nil) // lets go of what it has read
	w.free <- d
}

// widest is a frame without content that asks for MaxWindow.
var widest = []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3, 1, 0, 0}

// allocated is d, or a decoder that has all the memory that it will ever need, so that
// windows that grow from frame to frame do not leave their predecessors behind as garbage.
// The system provides no page of it before that is used.
func allocated(d *zstd.Decoder) *zstd.Decoder {
	if d != nil {
		return d
	}
	runtime.GC() // another Window's memory, if there was one, serves again
	d = newDecoder(bytes.NewReader(widest))
	d.Read(make([]byte, 1))
	return d
}
