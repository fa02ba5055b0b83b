package erofs2tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// look shows what is in the images.
func (t *tool) look(env *cli.Env) error {
	return t.Look.Show(env, t.Output.Path, &t.TreeForm, lookflags.Input{
		Name:   cli.Only(t.Images),
		Limits: t.Limits.Tree(),
		Source: func() (tree.Source, list.Stored, error) {
			src, img, err := t.open(env)
			return src, stored(img), err
		},
		Lookup: func() (func(string) (*tree.Entry, error), error) { return t.lookup(env) },
		Sizes:  func() (*list.Sizes, error) { return t.sizes(env) },
	})
}

// stored returns what the contents of img take, nil if they are on devices that are not at hand.
// Without img they are those of layers.
func stored(img *erofsread.Image) list.Stored {
	if img != nil && !img.DevicesAtHand() {
		return nil
	}
	return new(erofsread.Space).Stored
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
