// Package merge makes one tree of the images of layers, by their metadata alone: the
// contents of the tree lie in the images. It is for readers that want a file system of
// several layers, and for the writer of an image of metadata that refers to them.
package merge

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// Layer is an image to be merged with others.
type Layer struct {
	Name  string // for messages
	Image *read.Image
}

// Open opens devices as images, and makes layers of them: layer i is device of[i], as
// read.Devices says it.
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

// Options say how layers are merged.
type Options struct {
	Limits tree.Limits  // of all layers together
	Warn   func(string) // is told what is left out; nil: nobody is

	// Addressable refuses contents to which another image cannot refer.
	Addressable bool
}

// Layers applies layers, given from bottom to top, to an empty tree. It reads only
// metadata; contents stay where they are. Some layers are read at the same time, but
// they are applied in order. Where several fail, the error is that of the lowest, and
// those above it are stopped; if ctx is done, it is the cause of ctx. Nothing reads the
// images any more when Layers returns. The same image may come several times.
//
// Xattrs that steer overlayfs or belong to this project are left out, except for the
// marks of a layer.
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

	// Keep holds contents that do not stay valid; see tree.ReadLayer. nil: all of them do.
	Keep func(*tree.Entry) (tree.Content, error)

	// Interrupt ends a call of Next that waits. nil: none does.
	Interrupt func()
}

// Sources is Layers of sources, which the caller closes. All are different.
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

// layerSource is a layer without what may not be merged.
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

// dropReserved takes the xattrs off e that no layer may have but as its marks.
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
