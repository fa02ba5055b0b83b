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

// Merge applies the layers to each other and returns a source of the tree, in canonical
// order. The properties say where the tree comes from. They name a manifest only if no
// layers follow the image.
//
// If configFile is not "", it is a path in the tree where Merge puts the configuration of
// the image, in place of what the path names. There must be an image then.
//
// ctx ends the source too. Closing the source closes the set, and so does an error of
// Merge.
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

// SingleLayer returns a source of a single layer with its whiteouts: the layer of the image
// that sel names (see oci.Image.Layer), or else the only layer. It is in the order of its
// tar, or canonical if sorted. Before the end of the source it drains an image from a pipe;
// see Drain.
//
// ctx ends the source too. Closing the source closes the set, and so does an error of
// SingleLayer.
func (s *Set) SingleLayer(ctx context.Context, sel string, sorted bool, opts layer.LoadOptions) (tree.Source, []tree.Property, error) {
	in := s.Layers[0]
	var props []tree.Property
	if s.Image != nil {
		l, err := s.Image.Layer(sel)
		if err != nil {
			s.Close()
			return nil, nil, err
		}
		in = s.Layers[l.Index]
		in.Open = l.Open // its errors name the layer
		props = append(props, tree.Property{Key: "manifest", Value: string(s.Image.Digest)})
	}
	if id := in.Options.DiffID; id != "" {
		props = append(props, tree.Property{Key: "diff-id", Value: string(id)})
	}
	name := ""
	if s.Image != nil {
		name = in.Name
	}
	src, err := openLayer(ctx, in, sorted, opts)
	if err != nil {
		s.Close()
		return nil, nil, nameOnce(name, err)
	}
	return &source{src, s, name, ctx}, props, nil
}

func openLayer(ctx context.Context, in layer.Input, sorted bool, opts layer.LoadOptions) (tree.Source, error) {
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

// source drains the set at its end, and closes the set with itself.
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

// nameOnce adds the name of the layer to err, unless err has it already.
func nameOnce(name string, err error) error {
	if err == nil || name == "" || errors.As(err, new(*oci.LayerError)) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *source) Close() error { return errors.Join(s.Source.Close(), s.set.Close()) }
