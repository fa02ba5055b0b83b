// Package input opens whatever a path leads to: an image archive, an image layout
// directory, or a layer, plain or compressed. It finds out which of these an input is,
// and yields its layers, or the tree that they make. Layers can follow an image or a
// layer; they lie on top of it.
//
//	set, err := input.Open(ctx, []string{"image.tar"}, input.Options{})
//	...
//	src, props, err := set.Merge(ctx, "", layer.LoadOptions{}) // src closes the set
//
// A directory is a layout. For other inputs the first name in the tar that is typical of
// an image or of a layer decides; if there is none the error is an [*UndecidedError].
// Options.Kind decides in advance. Every input is read once, since a pipe cannot be read
// twice.
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
	Auto  Kind = "auto"  // find out; "" is the same
	Layer Kind = "layer" // all inputs are layers; nothing is looked at
	Image Kind = "image" // the other inputs are layers; nothing is looked at
)

// Options say how inputs are opened. The zero value is useful.
type Options struct {
	Kind Kind
	// Open opens files, directories and "-" in place of os.Open. It returns an
	// *os.File for anything that can be read at random. For all else Close must end
	// a Read that waits.
	Open func(path string) (io.ReadCloser, error)
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
	// Image says how an image is opened. Open and Warn above replace its OpenFile and
	// Warn, and a window of the set replaces its Window.
	Image oci.Options
	// Layer says how layers are read. Warn above replaces its Warn, and a window of the
	// set its Window. Its DiffID counts only if a layer is the only input.
	Layer layer.Options
	// TrustDiffIDs leaves out the diff-ids of the layers of an image, each a hash over an
	// unpacked layer. The digests of its blobs, of the manifest and of the configuration are
	// verified all the same, and therefore what was to be unpacked.
	TrustDiffIDs bool
}

// Set holds all inputs.
type Set struct {
	Image  *oci.Image    // nil if no input is an image
	Layers []layer.Input // bottom to top, those of Image first; each can be opened once

	opts    Options
	cached  bool   // Image may come from a cache, which does not hash its blobs again
	name    string // of the first input, if there are others; else ""
	closers []io.Closer
}

// Open opens the inputs in paths, at least one; "-" is standard input. The first is an
// image or a layer, the others are layers above it, bottom to top. Those are opened only
// when they are read. If one of them is an image, the error is a [*MisplacedError]. ctx
// ends the opening, not the set. The caller closes the set.
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
// It uses only Warn and Layer of opts. The caller closes the set, which closes img.
func OfImage(img *oci.Image, opts Options) *Set {
	opts.Layer.Warn, opts.Layer.Window = opts.Warn, unzstd.NewWindow()
	s := &Set{opts: opts, cached: true}
	s.addImage(img)
	return s
}

// named adds the name of the first of several inputs to err, unless err has it already. The
// caller adds the name of an only input.
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

// closedBy returns in, which is also closed when ctx ends, so that no Read waits longer. A
// regular file stays open, as reading it does not wait.
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

// open opens path, and finds out what it is unless known already says so. The end of ctx
// ends the wait for a silent pipe.
func (s *Set) open(ctx context.Context, path string, known Kind) (Kind, io.ReadCloser, error) {
	f, err := s.opts.Open(path)
	if err != nil {
		return "", nil, err
	}
	if known == Layer || known == Image {
		return known, f, nil
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	kind, in, err := detect(ctx, f, s.opts.Layer.Window)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		f.Close()
	}
	return kind, in, err
}

// openAbove opens a layer above the first input. If Options.Kind says that the first is an
// image, the others are layers.
func (s *Set) openAbove(ctx context.Context, path string) (io.ReadCloser, error) {
	known := s.opts.Kind
	if known != Layer && isDir(path) {
		return nil, s.misplaced()
	}
	if known == Image {
		known = Layer
	}
	kind, in, err := s.open(ctx, path, known)
	if err != nil {
		return nil, err
	}
	if kind == Image {
		in.Close()
		return nil, s.misplaced()
	}
	return in, nil
}

// misplaced returns the error for an image above the first input.
func (s *Set) misplaced() error {
	return &MisplacedError{AfterImage: s.Image != nil}
}

func (s *Set) addLayer(path string, open func(context.Context) (io.ReadCloser, error)) {
	opts := s.opts.Layer
	opts.Piped = isPipe(path)
	s.Layers = append(s.Layers, layer.Input{Name: nameOf(path), Options: opts, Open: open})
}

// nameOf returns the name of the input at path in messages.
func nameOf(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// isPipe reports whether another process writes the input at path.
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
	if !s.cached {
		opts.Verified = l.Digest
	}
	if s.opts.TrustDiffIDs {
		opts.DiffID, opts.AllowUnterminated = "", true // the digest of the blob proves that it is whole
	}
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

// namedLayer is a reader of a layer that takes the number of the layer off errors: the
// reader of the whole image adds it.
type namedLayer struct {
	io.ReadCloser
	layer *oci.Layer
}

func (n *namedLayer) Read(p []byte) (int, error) {
	k, err := n.ReadCloser.Read(p)
	return k, unnamed(n.layer, err)
}

// unnamed takes the number of layer l off err.
func unnamed(l *oci.Layer, err error) error {
	if e := (*oci.LayerError)(nil); errors.As(err, &e) && e.Layer == l.Index {
		return e.Err
	}
	return err
}

// Drain reads an image archive from a pipe to its end, so that its writer can end without
// an error, and returns an error if the archive is cut short or broken.
func (s *Set) Drain(ctx context.Context) error {
	if s.Image == nil {
		return nil
	}
	return s.Image.Drain(ctx)
}

// Close closes all inputs. Layers cannot be read any more. Closing a set twice is
// harmless.
func (s *Set) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		if err := c.Close(); !errors.Is(err, os.ErrClosed) { // its reader has closed it
			errs = append(errs, err)
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}
