package ext42tree

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/cli/lowerflags"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// look shows what is on the disk, or what was changed there.
func (t *tool) look(env *cli.Env, lowers []lowerflags.Input, exclude []tree.Pattern) error {
	open := func() (tree.Source, error) { return t.open(env, lowers, exclude, new(tree.WriterOptions)) }
	return t.Look.Show(env, t.Output.Path, &t.TreeForm, lookflags.Input{
		Name:   t.Disk,
		Limits: t.Limits.Tree(),
		Source: func() (tree.Source, list.Stored, error) {
			src, err := open()
			return src, stored, err
		},
		Lookup: func() (func(string) (*tree.Entry, error), error) {
			if t.Upper || len(exclude) > 0 {
				return lookflags.LookupIn(open())
			}
			img, err := t.openDisk(env)
			if err != nil {
				return nil, err
			}
			return img.Lookup, nil
		},
		Sizes: func() (*list.Sizes, error) {
			src, err := open()
			if err != nil {
				return nil, err
			}
			s := list.NewSizes(list.SizesLayer{Name: t.Disk, Bytes: t.length, Stored: stored})
			return s, s.Show(env.Context, s.Counting(0, src))
		},
	})
}

func stored(e *tree.Entry) (int64, error) { return read.Stored(e), nil }
