// Package input opens whatever a path leads to: an image archive, an image layout
// directory, or a layer, plain or compressed. It finds out which of these an input is,
// and yields its layers, or the tree that they make. Layers can follow an image or a
// layer; they lie on top of it.
//
//	set, err := input.Open(ctx, []string{"image.tar"}, input.Options{})
//	...
//	src, props, err := set.Merge(ctx, "", layer.LoadOptions{}) // src closes the set
//
// An input that is a directory is a layout. Of all others the first name in the tar that
// says something decides, and what stays undecided is an [*UndecidedError], unless
// Options.Kind says what it is. Inputs that cannot be read twice, such as pipes, are
// read once.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/unzstd"
)

// Kind is what the first input is.
type Kind string

// The kinds.
const (
	Auto  Kind = "auto"  // to be found out; "" is the same
	Layer Kind = "layer" // and the others too, without a look
	Image Kind = "image" // and the others are layers, without a look
)

// Options say how inputs are opened. The zero value is useful.
type Options struct {
	Kind Kind
	// Open opens files and directories, and "-", in place of os.Open. What can be read
	// at random is an *os.File; for all else Close ends a Read that waits.
	Open func(path string) (io.ReadCloser, error)
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
	// Image says how an image is opened. Open and Warn above stand in for its OpenFile
	// and Warn, a window of the set for its Window.
	Image oci.Options
	// Layer says how layers are read. Warn above stands in for its Warn, a window of
	// the set for its Window; its DiffID counts only where a layer is the only input.
	Layer layer.Options
}

// Set is what the inputs hold together.
type Set struct {
	Image  *oci.Image    // nil if there is none
	Layers []layer.Input // bottom to top, those of Image first; each can be opened once

	opts    Options
	name    string // of the first input, where there are others
	closers []io.Closer
}

// Open opens the inputs in paths, at least one; "-" is standard input. The first is
// an image or a layer, the others are layers above it, bottom to top. Those are
// opened, and refused if they hold an image, only when they are read: the error is a
// [*MisplacedError] then. The context bounds the opening alone. The caller closes the
// set.
func Open(ctx context.Context, paths []string, opts Options) (*Set, error) {
	if opts.Open == nil {
		opts.Open = func(path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	opts.Image.OpenFile, opts.Image.Warn, opts.Layer.Warn = opts.Open, opts.Warn, opts.Warn
	window := unzstd.NewWindow()
	opts.Image.Window, opts.Layer.Window = window, window
	if len(paths) > 1 {
		opts.Layer.DiffID = ""
	}
	s := &Set{opts: opts}
	if len(paths) > 1 {
		s.name = nameOf(paths[0])
	}
	err := s.openFirst(ctx, paths[0])
	if err != nil {
		s.Close()
		return nil, s.named(err)
	}
	for _, path := range paths[1:] {
		s.addLayer(path, func(ctx context.Context) (io.ReadCloser, error) {
			in, err := s.openAbove(ctx, path)
			if err != nil {
				return nil, err
			}
			return closedBy(ctx, in), nil
		})
	}
	return s, nil
}

// OfImage returns the set of an image that is already open, from a registry for example.
// Of opts only Warn and Layer count. The caller closes the set, which closes img.
func OfImage(img *oci.Image, opts Options) *Set {
	opts.Layer.Warn, opts.Layer.Window = opts.Warn, unzstd.NewWindow()
	s := &Set{opts: opts}
	s.addImage(img)
	return s
}

// named says that err is about the first of several inputs, unless it says so itself.
// The name of an only input is for the caller to add.
func (s *Set) named(err error) error {
	if s.name == "" || errors.As(err, new(*fs.PathError)) || strings.HasPrefix(err.Error(), s.name+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// openFirst finds out what path holds, and adds it to the empty set.
func (s *Set) openFirst(ctx context.Context, path string) error {
	if s.opts.Kind != Layer && isDir(path) {
		img, err := oci.OpenPath(ctx, path, s.opts.Image)
		if err != nil {
			return err
		}
		s.addImage(img)
		return nil
	}
	kind, in, err := s.open(ctx, path, s.opts.Kind)
	if err != nil {
		return err
	}
	if kind == Layer {
		s.closers = append(s.closers, in)
		s.addLayer(path, func(ctx context.Context) (io.ReadCloser, error) { return closedBy(ctx, in), nil })
		return nil
	}
	img, err := oci.OpenArchive(ctx, in, s.opts.Image)
	if err != nil && s.opts.Kind != Image {
		err = explainImage(err)
	}
	if err != nil {
		return err
	}
	s.addImage(img)
	return nil
}

// closedBy returns in, which the end of ctx closes too unless it is a regular file, so
// that no Read of it waits longer.
func closedBy(ctx context.Context, in io.ReadCloser) io.ReadCloser {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return in
		}
	}
	return &closedByContext{in, context.AfterFunc(ctx, func() { in.Close() })}
}

type closedByContext struct {
	io.ReadCloser
	stop func() bool
}

func (c *closedByContext) Close() error {
	c.stop()
	return c.ReadCloser.Close()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return path != "-" && err == nil && info.IsDir()
}

// open opens path, and finds out what it is unless that is said. The end of ctx ends the
// wait for a silent pipe.
func (s *Set) open(ctx context.Context, path string, said Kind) (Kind, io.ReadCloser, error) {
	f, err := s.opts.Open(path)
	if err != nil {
		return "", nil, err
	}
	if said == Layer || said == Image {
		return said, f, nil
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	kind, in, err := look(ctx, f, s.opts.Layer.Window)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		f.Close()
	}
	return kind, in, err
}

// openAbove opens a layer above the first input. Where that was said to be an image,
// the others are said to be none.
func (s *Set) openAbove(ctx context.Context, path string) (io.ReadCloser, error) {
	said := s.opts.Kind
	if said != Layer && isDir(path) {
		return nil, s.misplaced()
	}
	if said == Image {
		said = Layer
	}
	kind, in, err := s.open(ctx, path, said)
	if err != nil {
		return nil, err
	}
	if kind == Image {
		in.Close()
		return nil, s.misplaced()
	}
	return in, nil
}

// misplaced is the error of an image above the first input.
func (s *Set) misplaced() error {
	return &MisplacedError{AfterImage: s.Image != nil}
}

func (s *Set) addLayer(path string, open func(context.Context) (io.ReadCloser, error)) {
	opts := s.opts.Layer
	opts.Piped = isPipe(path)
	s.Layers = append(s.Layers, layer.Input{Name: nameOf(path), Options: opts, Open: open})
}

// nameOf is what messages call the input at path.
func nameOf(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// isPipe reports whether what is at path comes from another process.
func isPipe(path string) bool {
	if path == "-" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type()&(fs.ModeNamedPipe|fs.ModeSocket) != 0
}

func (s *Set) addImage(img *oci.Image) {
	s.Image = img
	s.closers = append(s.closers, img)
	for i := range img.Layers {
		s.Layers = append(s.Layers, s.imageLayer(&img.Layers[i]))
	}
}

func (s *Set) imageLayer(l *oci.Layer) layer.Input {
	opts := s.opts.Layer
	opts.DiffID = l.DiffID
	name := "layer " + strconv.Itoa(l.Index)
	if s.name != "" {
		name = s.name + ": " + name
	}
	return layer.Input{
		Name:    name,
		Options: opts,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := l.Open(ctx)
			if err != nil {
				return nil, unnamed(l, err)
			}
			return &namedLayer{r, l}, nil
		},
	}
}

// namedLayer is a reader of a layer whose errors do not say which layer that is: the
// reader of the whole does.
type namedLayer struct {
	io.ReadCloser
	layer *oci.Layer
}

func (n *namedLayer) Read(p []byte) (int, error) {
	k, err := n.ReadCloser.Read(p)
	return k, unnamed(n.layer, err)
}

func unnamed(l *oci.Layer, err error) error {
	if e := (*oci.LayerError)(nil); errors.As(err, &e) && e.Layer == l.Index {
		return e.Err
	}
	return err
}

// Drain waits until an image archive from a pipe has been read to its end, so that its
// writer can end well, and returns an error if it is cut short or broken.
func (s *Set) Drain(ctx context.Context) error {
	if s.Image == nil {
		return nil
	}
	return s.Image.Drain(ctx)
}

// Close closes what is open. Layers cannot be read any more. Closing a set twice is
// harmless.
func (s *Set) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		if err := c.Close(); !errors.Is(err, os.ErrClosed) { // its reader did
			errs = append(errs, err)
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}
