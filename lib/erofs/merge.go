package erofs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"ocipipe/lib/tree"
)

// Layer is an image to be merged with others.
type Layer struct {
	Name  string // for messages
	Image *Image
}

// OpenLayers opens devices, each as an image, and makes layers of them: of says
// which one each layer is, as Devices does.
func OpenLayers(devices []Device, of []int) ([]Layer, error) {
	images := make([]Layer, len(devices))
	for i, d := range devices {
		img, err := Open(d.R, d.Size)
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

// MergeOptions say how layers are merged.
type MergeOptions struct {
	Limits tree.Limits
	Warn   func(string) // for what is left out; nil: nobody wants to know

	// Addressable refuses contents to which another image cannot refer.
	Addressable bool
}

// ErrNotAddressable is wrapped by the errors about contents to which no other
// image can refer.
var ErrNotAddressable = errors.New("no other image can refer to it")

// Merge applies layers, given from bottom to top, to an empty tree. Only
// metadata is read: contents stay where they are. Some layers are read at
// the same time, but they are applied in order; where several fail, the error is
// that of the lowest, and those above it are stopped. When Merge returns nothing reads
// the images any more. The same image may come several times.
//
// Attributes that steer overlayfs or belong to this project, but for the marks
// of a layer, are left out.
func Merge(ctx context.Context, layers []Layer, opts MergeOptions) (*tree.Tree, error) {
	warnings := make([]warning, len(layers))
	meter := tree.NewMeter(opts.Limits)
	merged, i, err := tree.MergeAll(ctx, len(layers), runtime.GOMAXPROCS(0), func(_, works context.Context, i int) (*tree.Tree, error) {
		l := layers[i]
		src := &layerSource{Source: l.Image.Source(), ctx: works, name: l.Name, addressable: opts.Addressable}
		t, err := tree.ReadLayer(meter.Limit(src), nil)
		warnings[i] = src.dropped
		return t, err
	})
	switch {
	case i < 0:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", layers[i].Name, err)
	}
	var dropped warning
	for _, w := range warnings {
		dropped.add(w)
	}
	if dropped.count > 0 && opts.Warn != nil {
		opts.Warn(dropped.text())
	}
	return merged, nil
}

// layerSource passes on what may be merged.
type layerSource struct {
	tree.Source
	ctx         context.Context
	name        string
	addressable bool
	dropped     warning
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
	if c, ok := e.Content.(*content); ok && s.addressable {
		if err := c.addressable(); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return e, nil
}

// dropReserved leaves out attributes that no layer may have but as its marks.
func (s *layerSource) dropReserved(e *tree.Entry) {
	bad := func(x tree.Xattr) bool {
		return tree.IsMark(x.Name) && (x != tree.Opaque || e.Type != tree.Dir)
	}
	if !slices.ContainsFunc(e.Xattrs, bad) {
		return
	}
	var kept []tree.Xattr
	for _, x := range e.Xattrs {
		if bad(x) {
			s.dropped.note(fmt.Sprintf("%s: %s: xattr %s", s.name, e.Path, x.Name))
		} else {
			kept = append(kept, x)
		}
	}
	e.Xattrs = kept
}

// addressable tells whether another image can refer to c: by whole blocks of the
// image in which it lies.
func (c *content) addressable() error {
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrNotAddressable, c.err)
	}
	for _, r := range c.runs {
		switch {
		case r.device != 0:
			return fmt.Errorf("%w: data on another device", ErrNotAddressable)
		case r.pos%c.img.bs != 0:
			return fmt.Errorf("%w: its end lies behind its inode, not in a block of its own", ErrNotAddressable)
		}
	}
	return nil
}
