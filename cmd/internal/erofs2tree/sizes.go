package erofs2tree

import (
	"slices"

	"ocipipe/lib/cli"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/sizes"
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
	s := list.NewSizes(list.SizesLayer{Name: t.Images[0], Bytes: img.Size() + img.DevicesSize(), Stored: stored(img)})
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
			all, images = append(all, sizes.Layer(l.Name, l.Image.Size())), append(images, l.Image)
		}
	}
	counted, err := sizes.Count(env.Context, all, images, t.Limits.Tree())
	if err != nil {
		return nil, err
	}
	merged, err := t.mergeLayers(env, layers)
	if err != nil {
		return nil, err
	}
	return counted.Show(env.Context, merged, nil)
}

// sizesOfDevices is sizes for an image of metadata, which has its contents in images.
func (t *tool) sizesOfDevices(env *cli.Env, img *erofsread.Image, devices []erofsread.Device, images []*erofsread.Image) (*list.Sizes, error) {
	var all []list.SizesLayer
	for _, d := range devices {
		all = append(all, sizes.Layer(d.Name, d.Size))
	}
	metadata := img.Length()
	if !img.HasDeviceTable() { // the devices count in the length
		metadata = img.Size()
	}
	all = append(all, sizes.Layer(t.Images[0]+", metadata", metadata))
	counted, err := sizes.Count(env.Context, all, images, t.Limits.Tree())
	if err != nil {
		return nil, err
	}
	return counted.Show(env.Context, tree.Limit(img.Source(), t.Limits.Tree()), images)
}
