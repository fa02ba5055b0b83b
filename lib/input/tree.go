package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
)

// Merge applies the layers to each other and returns a source of the tree, which is
// canonical. The properties say where it comes from: from a manifest only where no layers
// follow the image.
//
// With a configFile, a path in the tree, the configuration of the image, which there
// must be, is put there in place of what the path names.
//
// The context holds for the source too. Closing the source closes the set, and so does
// an error of Merge.
func (s *Set) Merge(ctx context.Context, configFile string, opts layer.LoadOptions) (tree.Source, []tree.Property, error) {
	merged, err := layer.Merge(ctx, s.Layers, opts)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	if configFile != "" {
		err = merged.PutFile(configFile, s.Image.Config)
	}
	if err == nil {
		err = s.Drain(ctx)
	}
	if err != nil {
		merged.Close()
		s.Close()
		return nil, nil, err
	}
	var props []tree.Property
	if s.Image != nil && len(s.Layers) == len(s.Image.Layers) {
		props = append(props, tree.Property{Key: "manifest", Value: string(s.Image.Digest)})
	}
	props = append(props, tree.Property{Key: "layers", Value: strconv.Itoa(len(s.Layers))})
	return &source{merged.Source(tree.Flat), s, "", ctx}, props, nil
}

// One returns a source of a single layer with its whiteouts: of an image the layer that
// sel names (see oci.Image.Layer), else the only one. It is in the order of its tar, or
// canonical if sorted. At its end a piped image has been read to its end too, as by
// Drain.
//
// The context holds for the source too. Closing the source closes the set, and so does
// an error of One.
func (s *Set) One(ctx context.Context, sel string, sorted bool, opts layer.LoadOptions) (tree.Source, []tree.Property, error) {
	in := s.Layers[0]
	var props []tree.Property
	if s.Image != nil {
		l, err := s.Image.Layer(sel)
		if err != nil {
			s.Close()
			return nil, nil, err
		}
		in = s.Layers[l.Index]
		in.Open = l.Open // whose errors name it
		props = append(props, tree.Property{Key: "manifest", Value: string(s.Image.Digest)})
	}
	if id := in.Options.DiffID; id != "" {
		props = append(props, tree.Property{Key: "diff-id", Value: string(id)})
	}
	name := ""
	if s.Image != nil {
		name = in.Name
	}
	src, err := one(ctx, in, sorted, opts)
	if err != nil {
		s.Close()
		return nil, nil, nameOnce(name, err)
	}
	return &source{src, s, name, ctx}, props, nil
}

func one(ctx context.Context, in layer.Input, sorted bool, opts layer.LoadOptions) (tree.Source, error) {
	if sorted {
		loaded, err := layer.Load(ctx, in, opts)
		if err != nil {
			return nil, err
		}
		return loaded.Source(tree.Layer), nil
	}
	in.Options.Limits = opts.Limits
	return layer.Open(ctx, in)
}

// source closes the set that it is from, after all of that was read.
type source struct {
	tree.Source
	set  *Set
	name string // of the layer, if it is one of an image
	ctx  context.Context
}

func (s *source) Next() (*tree.Entry, error) {
	e, err := s.Source.Next()
	if err == io.EOF {
		if ferr := s.set.Drain(s.ctx); ferr != nil {
			err = ferr
		}
		return e, err
	}
	return e, nameOnce(s.name, err)
}

// nameOnce is err of the layer called name, unless it says so itself.
func nameOnce(name string, err error) error {
	if err == nil || name == "" || errors.As(err, new(*oci.LayerError)) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *source) Close() error { return errors.Join(s.Source.Close(), s.set.Close()) }
