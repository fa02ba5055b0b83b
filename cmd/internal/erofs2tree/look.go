package erofs2tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// look shows what is in the images.
func (t *tool) look(env *cli.Env) error {
	return t.Look.Show(env, t.Output.Path, &t.TreeForm, lookflags.Input{
		Name:   cli.Only(t.Images),
		Limits: t.Limits.Tree(),
		Source: func() (tree.Source, error) { return t.open(env) },
		Stored: new(erofsread.Space).Stored,
		Lookup: func() (func(string) (*tree.Entry, error), error) { return t.lookup(env) },
		Sizes:  func() (*list.Sizes, error) { return t.sizes(env) },
	})
}

// lookup looks a path up in a single image without reading the others, or else in the merged
// tree.
func (t *tool) lookup(env *cli.Env) (func(string) (*tree.Entry, error), error) {
	if len(t.Images) > 1 {
		return lookflags.LookupIn(t.merge(env))
	}
	img, err := t.openImage(env)
	if err != nil {
		return nil, err
	}
	return img.Lookup, nil
}

// sizes counts the layers: the images, or those in which the only image has its contents, with
// the image itself as the uppermost.
func (t *tool) sizes(env *cli.Env) (*list.Sizes, error) {
	if len(t.Images) > 1 {
		layers, err := t.openLayers(env)
		if err != nil {
			return nil, err
		}
		var all []list.SizesLayer
		for _, l := range layers {
			all = append(all, sizesLayer(l.Name, l.Image.Size()))
		}
		return t.countLayers(env, list.NewSizes(all...), layers)
	}
	img, err := t.openImage(env)
	if err != nil {
		return nil, err
	}
	devices, images, ok := img.DeviceImages()
	if !ok {
		whole := sizesLayer(t.Images[0], img.Size()+t.onDevices(img))
		if len(img.DeviceTable()) > 0 && len(t.Device) == 0 {
			whole.Stored = nil // it is not at hand
		}
		s := list.NewSizes(whole)
		return s, s.Show(env.Context, tree.Limit(s.Counting(0, img.Source()), t.Limits.Tree()))
	}
	var all []list.SizesLayer
	var layers []merge.Layer
	for i, d := range devices {
		all = append(all, sizesLayer(d.Name, d.Size))
		layers = append(layers, merge.Layer{Name: d.Name, Image: images[i]})
	}
	metadata := img.Length()
	if !img.HasDeviceTable() { // the devices count in the length
		metadata = img.Size()
	}
	all = append(all, sizesLayer(t.Images[0]+", metadata", metadata))
	return t.countLayers(env, list.NewSizes(all...), layers)
}

// onDevices is the length of the devices that were given for img.
func (t *tool) onDevices(img *erofsread.Image) (n int64) {
	if len(t.Device) > 0 {
		for _, slot := range img.DeviceTable() {
			n += int64(slot.Blocks) * int64(img.BlockSize())
		}
	}
	return n
}

func sizesLayer(name string, bytes int64) list.SizesLayer {
	return list.SizesLayer{Name: name, Bytes: bytes, Stored: new(erofsread.Space).Stored}
}

// countLayers counts layers in s, and which of their files the merged tree shows.
func (t *tool) countLayers(env *cli.Env, s *list.Sizes, layers []merge.Layer) (*list.Sizes, error) {
	sources := make([]merge.Source, len(layers))
	for i, l := range layers {
		sources[i] = merge.Source{Name: l.Name, Source: s.Counting(i, l.Image.Source())}
	}
	merged, err := merge.Sources(env.Context, sources, merge.Options{Limits: t.Limits.Tree(), Warn: env.Warn})
	if err != nil {
		return nil, err
	}
	return s, s.Show(env.Context, merged.Source(tree.Flat))
}
