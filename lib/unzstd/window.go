package unzstd

import (
	"bytes"
	"context"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxWindow is the largest window that is read, in bytes. It is the default limit
	// of the reference decoder; zstd --ultra and --long=27 ask for it.
	MaxWindow = 128 << 20

	// ordinary is the largest window that every reader has for itself, in bytes.
	ordinary = 8 << 20
)

// Window is the memory for one large window, which several readers take in turns.
//
// A reader holds the window until a frame was read completely. So readers that share one
// must not depend on each other: a single goroutine that reads two of them alternately
// would wait for itself.
type Window struct {
	free chan *zstd.Decoder // holds one unless a reader has it, nil before the first
}

// NewWindow returns a window. It takes no memory until a frame needs it.
func NewWindow() *Window {
	w := &Window{make(chan *zstd.Decoder, 1)}
	w.free <- nil
	return w
}

// take waits for the window. When ctx is done it returns the cause of ctx instead.
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

// allocated returns d, or where d is nil a new decoder with all the memory that it will
// ever need, so that growing windows do not leave smaller ones behind as garbage. The
// kernel provides its pages only when they are used.
func allocated(d *zstd.Decoder) *zstd.Decoder {
	if d != nil {
		return d
	}
	runtime.GC() // so that the memory of an earlier Window is used again
	d = newDecoder(bytes.NewReader(widest))
	d.Read(make([]byte, 1))
	return d
}
