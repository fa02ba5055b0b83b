package tar2tree

import (
	"os"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/input"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// look shows what is in the inputs.
func (t *tool) look(env *cli.Env) error {
	return t.Look.Show(env, t.Output.Path, &t.TreeForm, lookflags.Input{
		Name:   cli.Only(t.Inputs),
		Limits: t.Limits.Tree(),
		Source: func() (tree.Source, list.Stored, error) {
			set, err := t.openSet(env)
			if err != nil {
				return nil, nil, err
			}
			var visit func(int, *tree.Entry) error
			if !t.Digest {
				visit = leaveOut
			}
			t.Sort = t.Sort || t.Look.Depth != nil // of a name that comes twice, the last counts
			src, _, err := t.read(env, set, visit)
			return src, nil, err
		},
		Lookup: func() (func(string) (*tree.Entry, error), error) {
			t.Sort = true // contents of a layer as it is do not last
			src, _, err := t.open(env)
			return lookflags.LookupIn(src, err)
		},
		Sizes: func() (*list.Sizes, error) { return t.sizes(env) },
	})
}

// leaveOut leaves out the content of e, so that it is not spooled.
func leaveOut(_ int, e *tree.Entry) error {
	e.Content = nil
	return nil
}

// sizes counts the layers of the input, or the only one.
func (t *tool) sizes(env *cli.Env) (*list.Sizes, error) {
	set, err := t.openSet(env)
	if err != nil {
		return nil, err
	}
	layers := t.sizesLayers(set)
	if t.Layer != "" {
		l, err := set.Image.Layer(t.Layer)
		if err != nil {
			set.Close()
			return nil, err
		}
		layers = layers[l.Index : l.Index+1]
	}
	s := list.NewSizes(layers...)
	t.Sort = true
	src, _, err := t.read(env, set, s.Count)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return s, s.Show(env.Context, src)
}

// sizesLayers describes the layers of set: by their digests and what made them, or by the names
// of their files.
func (t *tool) sizesLayers(set *input.Set) (all []list.SizesLayer) {
	if set.Image != nil {
		all = imageLayers(set.Image)
	}
	for _, l := range set.Layers[len(all):] {
		path := t.Inputs[len(t.Inputs)-len(set.Layers)+len(all)] // the last inputs are the last layers
		all = append(all, list.SizesLayer{Name: l.Name, Bytes: fileLength(path)})
	}
	return all
}

func imageLayers(img *oci.Image) (all []list.SizesLayer) {
	createdBy := img.CreatedBy()
	for i, l := range img.Layers {
		name := l.ShortDigest()
		if createdBy != nil {
			name = strings.TrimSpace(name + " " + shortened(createdBy[i]))
		}
		all = append(all, list.SizesLayer{Name: name, Bytes: l.Size})
	}
	return all
}

// fileLength is the length of the file at path, if it is one.
func fileLength(path string) int64 {
	if info, err := os.Stat(path); path != "-" && err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return list.Unknown
}

// shortened is the beginning of text.
func shortened(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
