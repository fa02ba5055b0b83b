package materialize

import (
	"context"
	"errors"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
)

// failures holds the error of the lowest layer that has failed, so that an image that is
// wrong in several places has one error. A failure ends the work on the layers above only.
type failures struct {
	mu    sync.Mutex
	layer int // -1 for an error that is not about a layer
	err   error
	ends  map[int]context.CancelFunc // of layers that are being converted
}

func newFailures() *failures {
	return &failures{layer: math.MaxInt, ends: map[int]context.CancelFunc{}}
}

// begin returns the context for the work on a layer, and what ends it.
func (f *failures) begin(ctx context.Context, layer int) (context.Context, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	f.ends[layer] = cancel
	if layer > f.layer {
		cancel()
	}
	return ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.ends, layer)
		cancel()
	}
}

// add notes the failure of a layer.
func (f *failures) add(layer int, err error) {
	if isLocal(err) {
		layer = -1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if layer >= f.layer {
		return
	}
	f.layer, f.err = layer, err
	for l, cancel := range f.ends {
		if l > layer {
			cancel()
		}
	}
}

// isLocal reports whether err is about the place where artifacts go, and not about an image.
func isLocal(err error) bool {
	return errors.Is(err, cas.ErrStore) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// named adds the number of the layer to err, unless err has it.
func named(layer int, err error) error {
	if errors.As(err, new(*oci.LayerError)) || errors.Is(err, cas.ErrStore) {
		return err
	}
	return &LayerError{layer, err}
}
