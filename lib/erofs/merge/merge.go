// Package merge merges the images of layers into one tree. It reads only metadata: the
// contents of the tree stay in the images. It serves readers that want one tree of several
// layers, and the writer of a metadata-only image that refers to them.
package merge

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// Layer is the image of a layer.
type Layer struct {
	Name  string // for messages
	Image *read.Image
}

// Open opens devices as images and returns layers: layer i is device of[i]. It takes what
// read.Devices returns. The caller closes the devices when the layers are no longer used.
func Open(devices []read.Device, of []int) ([]Layer, error) {
	images := make([]Layer, len(devices))
	for i, d := range devices {
		img, err := read.Open(d.R, d.Size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		images[i] = Layer{d.Name, img}
	}
	var layers []Layer
	for _, i := range of {
		layers = append(layers, images[i])
	}
	return layers, nil
}

// Options are for Layers.
type Options struct {
	Limits tree.Limits  // for all layers together
	Warn   func(string) // called with a warning about xattrs that are left out; may be nil

	// Addressable refuses contents to which another image cannot refer.
	Addressable bool
}

// Layers merges layers, given from bottom to top, into one flat tree. It reads only
// metadata; the contents of the tree are in the images. It reads several layers at a time,
// but applies them in order. If layers fail, it returns the error of the lowest one, and
// stops those above it. When ctx is done, it returns the cause of ctx. When Layers returns,
// it no longer reads the images. An image may be several layers.
//
// Layers leaves out xattrs that steer overlayfs or belong to this project, except the marks
// of a layer.
func Layers(ctx context.Context, layers []Layer, opts Options) (*tree.Tree, error) {
	sources := make([]Source, len(layers))
	for i, l := range layers {
		sources[i] = Source{Name: l.Name, Source: l.Image.Source()}
	}
	return Sources(ctx, sources, opts)
}

// Source is a layer of any origin, or a whole tree.
type Source struct {
	Name string // for messages
	tree.Source

	// Keep stores contents that do not stay valid; see tree.ReadLayer. nil: all stay valid.
	Keep func(*tree.Entry) (tree.Content, error)

	// Interrupt ends a call of Next that waits for input. nil: Next never waits.
	Interrupt func()
}

// Sources is Layers for sources. The caller closes them; each may come only once.
func Sources(ctx context.Context, layers []Source, opts Options) (*tree.Tree, error) {
	warnings := make([]tree.Tally, len(layers))
	meter := tree.NewMeter(opts.Limits)
	merged, i, err := tree.MergeAll(ctx, len(layers), runtime.GOMAXPROCS(0), func(waits, work context.Context, i int) (*tree.Tree, error) {
		l := layers[i]
		if l.Interrupt != nil {
			defer context.AfterFunc(waits, l.Interrupt)()
		}
		src := &layerSource{Source: l.Source, ctx: work, name: l.Name, addressable: opts.Addressable}
		t, err := tree.ReadLayer(meter.Limit(src), l.Keep)
		warnings[i] = src.dropped
		return t, err
	})
	switch {
	case i < 0:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", layers[i].Name, err)
	}
	var dropped tree.Tally
	for _, w := range warnings {
		dropped.AddAll(w)
	}
	if text := dropped.LeftOut(); text != "" && opts.Warn != nil {
		opts.Warn(text)
	}
	return merged, nil
}

// layerSource is the source of a layer. It leaves out reserved xattrs, and refuses contents
// that are not addressable if addressable is set.
type layerSource struct {
	tree.Source
	ctx         context.Context
	name        string
	addressable bool
	dropped     tree.Tally
}

func (s *layerSource) Next() (*tree.Entry, error) {
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	e, err := s.Source.Next()
	if err != nil {
		return nil, err
	}
	s.dropReserved(e)
	if c, ok := e.Content.(*read.Content); ok && s.addressable {
		if err := c.Addressable(); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return e, nil
}

// dropReserved removes from e the xattrs that are reserved for marks.
func (s *layerSource) dropReserved(e *tree.Entry) {
	reserved := func(x tree.Xattr) bool {
		return tree.IsMark(x.Name) && (x != tree.Opaque || e.Type != tree.Dir)
	}
	if !slices.ContainsFunc(e.Xattrs, reserved) {
		return
	}
	var kept []tree.Xattr
	for _, x := range e.Xattrs {
		if reserved(x) {
			s.dropped.Add(fmt.Sprintf("%s: %s: xattr %s", s.name, e.Path, x.Name))
		} else {
			kept = append(kept, x)
		}
	}
	e.Xattrs = kept
}
