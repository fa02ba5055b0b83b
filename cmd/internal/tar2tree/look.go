package tar2tree

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/layout"
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
			load := t.load(env)
			if !t.Digest {
				load.Visit = leaveOut
			}
			t.Sort = t.Sort || t.Look.Depth != nil // of a name that comes twice, the last counts
			src, err := t.source(env, load, env.Warn)
			return src, nil, err
		},
		Lookup: func() (lookup, error) {
			t.Sort = true // contents of a layer as it is do not last
			return t.lookup(env)
		},
		Sizes: func() (*list.Sizes, error) { return t.sizes(env) },
	})
}

// source returns the source of the inputs.
func (t *tool) source(env *cli.Env, load layer.LoadOptions, warn func(string)) (tree.Source, error) {
	set, err := t.openSet(env, warn)
	if err != nil {
		return nil, err
	}
	src, _, err := t.read(env, set, load)
	return src, err
}

type lookup = func(path string) (*tree.Entry, error)

// lookup returns a lookup in the inputs, with the content of the file to be shown. That one is
// likely to have the name that was asked for; where a link has led to another one, the inputs
// are read again. Of inputs that cannot be read again all contents are kept.
func (t *tool) lookup(env *cli.Env) (lookup, error) {
	load := t.load(env)
	if !canReadAgain(t.Inputs) {
		return lookflags.LookupIn(t.source(env, load, env.Warn))
	}
	name := path.Base(t.Look.Cat)
	load.Keep = func(_ int, e *tree.Entry) bool { return path.Base(e.Path) == name }
	src, err := t.source(env, load, env.Warn)
	find, err := lookflags.LookupIn(src, err)
	if err != nil {
		return nil, err
	}
	e, err := list.Find(find, t.Look.Cat)
	if err != nil {
		return find, nil // the caller finds it again
	}
	out, ok := e.Content.(layer.LeftOut)
	if !ok {
		return find, nil
	}
	if err := src.Close(); err != nil {
		return nil, err
	}
	load.Keep = func(i int, e *tree.Entry) bool { return i == out.Layer && e.Path == out.Path }
	find, err = lookflags.LookupIn(t.source(env, load, nil)) // its warnings have been given
	return kept(find), err
}

// kept returns find with an error for a content that was left out: since the inputs were read
// first, another file has come to where the links lead.
func kept(find lookup) lookup {
	return func(path string) (*tree.Entry, error) {
		e, err := find(path)
		if err != nil {
			return nil, err
		}
		if _, ok := e.Content.(layer.LeftOut); ok {
			return nil, fmt.Errorf("%s: has changed while it was read", list.Path(path))
		}
		return e, nil
	}
}

// canReadAgain reports whether the inputs are files and directories.
func canReadAgain(inputs []string) bool {
	return !slices.ContainsFunc(inputs, func(p string) bool {
		info, err := os.Stat(p)
		return p == "-" || err != nil || !info.Mode().IsRegular() && !info.IsDir()
	})
}

// leaveOut leaves out the content of e, so that it is not spooled.
func leaveOut(_ int, e *tree.Entry) error {
	e.Content = nil
	return nil
}

// sizes counts the layers of the input, or the only one.
func (t *tool) sizes(env *cli.Env) (*list.Sizes, error) {
	set, err := t.openSet(env, env.Warn)
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
	load := t.load(env)
	load.Visit = s.Count
	src, _, err := t.read(env, set, load)
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
		name := layout.ShortDigest(l.Digest)
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
