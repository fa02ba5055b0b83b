// Package sizes counts what layers of EROFS images take, and what is hidden of them in the tree
// that they make together.
package sizes

import (
	"context"
	"fmt"
	"io"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// Layer returns a layer of list.Sizes whose contents lie in an EROFS image: name is shown, and
// bytes is what the image takes.
func Layer(name string, bytes int64) list.SizesLayer {
	return list.SizesLayer{Name: name, Bytes: bytes, Stored: new(read.Space).Stored}
}

// Counter counts layers, and finds their contents again in the tree that they make, by where
// they are.
type Counter struct {
	sizes   *list.Sizes
	counted map[place]tree.Content
	devices []*read.Image // of the image whose tree is shown; nil if its contents are their own
}

// place is where a content of so many bytes begins in an image.
type place struct {
	img    *read.Image
	device int
	pos    int64
	size   int64
}

// placeOf returns where the content of e begins; ok is false if it has none.
func (c *Counter) placeOf(e *tree.Entry) (p place, ok bool) {
	content, ok := e.Content.(*read.Content)
	if !ok {
		return p, false
	}
	p = place{img: content.Image(), size: e.Size}
	if p.device, p.pos, ok = content.Start(); ok && p.device > 0 && c.devices != nil {
		p.img, p.device = c.devices[p.device-1], 0
	}
	return p, ok
}

// Count counts the contents of images, the lowest first. Of layers, as many or more, each is of
// the image at the same place, or metadata alone. The limits are for all together. The error
// about an image has the name of its layer.
func Count(ctx context.Context, layers []list.SizesLayer, images []*read.Image, limits tree.Limits) (*Counter, error) {
	c := &Counter{sizes: list.NewSizes(layers...), counted: make(map[place]tree.Content)}
	meter := tree.NewMeter(limits) // of all together
	for i, img := range images {
		if err := c.countLayer(ctx, i, meter.Limit(img.Source())); err != nil {
			return nil, fmt.Errorf("%s: %w", layers[i].Name, err)
		}
	}
	return c, nil
}

func (c *Counter) countLayer(ctx context.Context, layer int, src tree.Source) error {
	defer src.Close()
	for ctx.Err() == nil {
		e, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p, ok := c.placeOf(e)
		if err := c.sizes.Count(layer, e); err != nil {
			return err
		}
		if ok && c.counted[p] == nil { // others have the same data
			c.counted[p] = e.Content
		}
	}
	return context.Cause(ctx)
}

// Show returns the sizes, once src has told which contents of the layers are left in the tree
// that they make. If src is an image of metadata, with its contents in devices, these are
// devices, in its order; otherwise devices is nil. It closes src.
func (c *Counter) Show(ctx context.Context, src tree.Source, devices []*read.Image) (*list.Sizes, error) {
	defer src.Close()
	c.devices = devices
	return c.sizes, c.sizes.Show(ctx, &shown{src, c})
}

// shown is a source whose contents are those that were counted.
type shown struct {
	tree.Source
	counter *Counter
}

func (s *shown) Next() (*tree.Entry, error) {
	e, err := s.Source.Next()
	if err != nil {
		return nil, err
	}
	if p, ok := s.counter.placeOf(e); ok {
		e.Content = s.counter.counted[p]
	}
	return e, nil
}
