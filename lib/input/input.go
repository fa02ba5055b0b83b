// Package input opens what a tool is given to read: an image archive, an image
// layout directory, or layers, plain or compressed. It finds out which of these an
// input is, and yields its layers, or the tree that they make.
package input

import (
	"context"
	"io"
	"os"
	"strconv"

	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
)

// Kind is what inputs are said to be.
type Kind string

// The kinds.
const (
	Auto  Kind = "auto" // to be found out; "" is the same
	Layer Kind = "layer"
	Image Kind = "image"
)

// Options say how inputs are opened. The zero value is useful.
type Options struct {
	Kind Kind
	// Open opens files and directories, and "-", in place of os.Open.
	Open func(path string) (*os.File, error)
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
	// Image says how an image is opened. OpenFile and Warn are those above.
	Image oci.Options
	// Layer says how layers are read. Warn is the one above; DiffID is that of an
	// only layer, those of an image have their own.
	Layer layer.Options
}

// Set is what the inputs hold together.
type Set struct {
	Image  *oci.Image    // nil if there is none
	Layers []layer.Input // bottom to top; each can be opened once

	opts    Options
	closers []io.Closer
}

// Open opens the inputs in paths, at least one; "-" is standard input. Several
// are layers, bottom to top. The caller closes the set.
func Open(ctx context.Context, paths []string, opts Options) (*Set, error) {
	if opts.Open == nil {
		opts.Open = os.Open
	}
	opts.Image.OpenFile, opts.Image.Warn, opts.Layer.Warn = opts.Open, opts.Warn, opts.Warn
	s := &Set{opts: opts}
	if len(paths) > 1 {
		for _, path := range paths {
			s.Layers = append(s.Layers, layer.Input{
				Name:    path,
				Options: opts.Layer,
				Open:    func() (io.ReadCloser, error) { return opts.Open(path) },
			})
		}
		return s, nil
	}
	if err := s.openFirst(ctx, paths[0]); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openFirst finds out what path holds, and adds it to the empty set.
func (s *Set) openFirst(ctx context.Context, path string) error {
	if info, err := os.Stat(path); path != "-" && err == nil && info.IsDir() {
		img, err := oci.OpenPath(ctx, path, s.opts.Image)
		if err != nil {
			return err
		}
		s.addImage(ctx, img)
		return nil
	}
	f, err := s.opts.Open(path)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, f)
	kind, in, err := s.opts.Kind, io.ReadCloser(f), error(nil)
	if kind == Auto || kind == "" {
		if kind, in, err = look(f); err != nil {
			return err
		}
	}
	if kind == Layer {
		s.Layers = []layer.Input{{
			Options: s.opts.Layer,
			Open:    func() (io.ReadCloser, error) { return in, nil },
		}}
		return nil
	}
	img, err := oci.OpenArchive(ctx, in, s.opts.Image)
	if err != nil && s.opts.Kind != Image {
		err = notAnImage(err)
	}
	if err != nil {
		return err
	}
	s.addImage(ctx, img)
	return nil
}

func (s *Set) addImage(ctx context.Context, img *oci.Image) {
	s.Image = img
	s.closers = append(s.closers, img)
	for i := range img.Layers {
		s.Layers = append(s.Layers, s.imageLayer(ctx, &img.Layers[i]))
	}
}

func (s *Set) imageLayer(ctx context.Context, l *oci.Layer) layer.Input {
	opts := s.opts.Layer
	opts.DiffID = l.DiffID
	return layer.Input{
		Name:    "layer " + strconv.Itoa(l.Index),
		Options: opts,
		Open:    func() (io.ReadCloser, error) { return l.Open(ctx) },
	}
}

// Finish reads the rest of an image archive from a pipe, so that its writer can end
// well, and returns an error if it is cut short or broken.
func (s *Set) Finish(ctx context.Context) error {
	if s.Image == nil {
		return nil
	}
	return s.Image.Finish(ctx)
}

// Close closes what is open. Layers cannot be read any more.
func (s *Set) Close() error {
	var first error
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i].Close(); err != nil && first == nil {
			first = err
		}
	}
	s.closers = nil
	return first
}
