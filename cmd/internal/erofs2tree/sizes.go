package erofs2tree

import (
	"context"
	"fmt"
	"io"
	"slices"

	"ocipipe/lib/cli"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// sizes counts the layers: the images, or those in which the only image has its contents, with
// the image itself as the uppermost. An image that is several layers counts once.
func (t *tool) sizes(env *cli.Env) (*list.Sizes, error) {
	if len(t.Images) > 1 {
		return t.sizesOfLayers(env)
	}
	img, err := t.openImage(env)
	if err != nil {
		return nil, err
	}
	if devices, images, ok := img.DeviceImages(); ok {
		return t.sizesOfDevices(env, img, devices, images)
	}
	whole := sizesLayer(t.Images[0], img.Size()+img.DevicesSize())
	if len(img.DeviceTable()) > 0 && len(t.Device) == 0 {
		whole.Stored = nil // it is not at hand
	}
	s := list.NewSizes(whole)
	return s, s.Show(env.Context, tree.Limit(s.Counting(0, img.Source()), t.Limits.Tree()))
}

func (t *tool) sizesOfLayers(env *cli.Env) (*list.Sizes, error) {
	layers, err := t.openLayers(env)
	if err != nil {
		return nil, err
	}
	var all []list.SizesLayer
	var images []*erofsread.Image
	for _, l := range layers {
		if !slices.Contains(images, l.Image) {
			all, images = append(all, sizesLayer(l.Name, l.Image.Size())), append(images, l.Image)
		}
	}
	c := counter{sizes: list.NewSizes(all...)}
	if err := c.count(env.Context, all, images, t.Limits.Tree()); err != nil {
		return nil, err
	}
	merged, err := t.mergeLayers(env, layers)
	if err != nil {
		return nil, err
	}
	return c.sizes, c.show(env.Context, merged)
}

// sizesOfDevices is sizes for an image of metadata, which has its contents in images.
func (t *tool) sizesOfDevices(env *cli.Env, img *erofsread.Image, devices []erofsread.Device, images []*erofsread.Image) (*list.Sizes, error) {
	var all []list.SizesLayer
	for _, d := range devices {
		all = append(all, sizesLayer(d.Name, d.Size))
	}
	metadata := img.Length()
	if !img.HasDeviceTable() { // the devices count in the length
		metadata = img.Size()
	}
	all = append(all, sizesLayer(t.Images[0]+", metadata", metadata))
	c := counter{sizes: list.NewSizes(all...)}
	if err := c.count(env.Context, all, images, t.Limits.Tree()); err != nil {
		return nil, err
	}
	c.devices = images
	return c.sizes, c.show(env.Context, tree.Limit(img.Source(), t.Limits.Tree()))
}

func sizesLayer(name string, bytes int64) list.SizesLayer {
	return list.SizesLayer{Name: name, Bytes: bytes, Stored: new(erofsread.Space).Stored}
}

// counter counts layers, and finds their contents again in the tree that they make, by where
// they are.
type counter struct {
	sizes   *list.Sizes
	counted map[place]tree.Content
	devices []*erofsread.Image // of the image whose tree is shown; nil if its contents are their own
}

// place is where a content of so many bytes begins in an image.
type place struct {
	img    *erofsread.Image
	device int
	pos    int64
	size   int64
}

// placeOf returns where the content of e begins; ok is false if it has none.
func (c *counter) placeOf(e *tree.Entry) (p place, ok bool) {
	content, ok := e.Content.(*erofsread.Content)
	if !ok {
		return p, false
	}
	p = place{img: content.Image(), size: e.Size}
	if p.device, p.pos, ok = content.Start(); ok && p.device > 0 && c.devices != nil {
		p.img, p.device = c.devices[p.device-1], 0
	}
	return p, ok
}

// count counts images, of which layers says the names.
func (c *counter) count(ctx context.Context, layers []list.SizesLayer, images []*erofsread.Image, limits tree.Limits) error {
	c.counted = make(map[place]tree.Content)
	meter := tree.NewMeter(limits) // of all together
	for i, img := range images {
		if err := c.countLayer(ctx, i, meter.Limit(img.Source())); err != nil {
			return fmt.Errorf("%s: %w", layers[i].Name, err)
		}
	}
	return nil
}

func (c *counter) countLayer(ctx context.Context, layer int, src tree.Source) error {
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

// show tells the sizes which contents of the layers src has.
func (c *counter) show(ctx context.Context, src tree.Source) error {
	defer src.Close()
	return c.sizes.Show(ctx, &shown{src, c})
}

// shown is a source whose contents are those that were counted.
type shown struct {
	tree.Source
	counter *counter
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
