package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/unzstd"
)

// What can be wrong with an image. Errors wrap one of these where it applies.
var (
	ErrCorrupt     = errors.New("corrupt image")
	ErrUnsupported = errors.New("unsupported image")
	ErrNotFound    = errors.New("not found")
)

// Options say how an image is opened. The zero value is useful.
type Options struct {
	// Platform is the wanted OS/ARCH[/VARIANT]; "" is linux on this architecture
	// where there is a choice, and otherwise any. OS(VERSION+FEATURE...) in place of
	// OS asks for a version of the system, and for images that need its features.
	Platform string
	// AllowOtherPlatform takes the only image there is whatever it is for, with a
	// warning.
	AllowOtherPlatform bool
	// TmpDir is where archives from a pipe are kept, and layers that no cache
	// takes; "" is $TMPDIR.
	TmpDir string
	// OpenFile opens archives and directories, and "-", in place of os.Open. What can
	// be read at random is an *os.File; for all else Close ends a Read that waits.
	OpenFile func(path string) (io.ReadCloser, error)
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
	// Registry says how registries are spoken to. Its Warn may be nil.
	Registry registry.Options
	// Cache keeps what registries sent, and has it for the next time; nil is none.
	Cache *cas.Store
	// Pull says when a registry is asked for what Cache has.
	Pull PullPolicy
	// Jobs is how many layers are downloaded at a time; 0 is DefaultJobs.
	Jobs int
	// AllowForeign fetches layers from the URLs in a manifest, if the registry
	// does not have them.
	AllowForeign bool
	// Progress is told how the download of layers goes. It is called from any
	// goroutine, must be quick and must not block. nil is told nothing.
	Progress func(Event)
	// MaxMetadata limits the bytes of an index, a manifest or a configuration,
	// --max-metadata on the command line; 0 is DefaultMaxMetadata.
	MaxMetadata int64
	// MaxLayer limits the bytes that a compressed layer of a docker archive may
	// unpack to, --max-layer on the command line; 0 is DefaultMaxLayer.
	MaxLayer int64
	// Window is shared with what else is decompressed meanwhile, so that one layer at a
	// time takes the memory for a zstd window above 8 MiB and the others wait; nil is one
	// of the image's own. An archive that is compressed itself has another.
	Window *unzstd.Window
}

// Limits that images met in the wild stay far below.
const (
	DefaultMaxMetadata = 16 << 20
	DefaultMaxLayer    = 64 << 30
)

// DefaultJobs is how many layers are downloaded at a time.
const DefaultJobs = 4

func (o Options) open(path string) (io.ReadCloser, error) {
	if o.OpenFile != nil {
		return o.OpenFile(path)
	}
	return os.Open(path)
}

func (o Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Sprintf(format, args...))
	}
}

func (o Options) jobs() int {
	if o.Jobs > 0 {
		return o.Jobs
	}
	return DefaultJobs
}

// isSerial reports whether nothing is to happen at once: then layers without a
// cache go through no file.
func (o Options) isSerial() bool { return o.jobs() == 1 && o.Registry.Connections == 1 }

func (o Options) event(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

func (o Options) maxMetadata() int64 {
	if o.MaxMetadata > 0 {
		return o.MaxMetadata
	}
	return DefaultMaxMetadata
}

func (o Options) window() *unzstd.Window {
	if o.Window == nil {
		return unzstd.NewWindow()
	}
	return o.Window
}

func (o Options) maxLayer() int64 {
	if o.MaxLayer > 0 {
		return o.MaxLayer
	}
	return DefaultMaxLayer
}

// Image is one image of one platform. Its manifest and configuration are
// verified; its layers are verified as they are read.
type Image struct {
	Name string // of its file or in its registry, for messages

	Manifest  []byte // as stored, what Digest is over
	MediaType string // of the manifest
	Digest    digest.Digest

	Config          []byte
	ConfigMediaType string
	ConfigDigest    digest.Digest

	Platform string  // OS/ARCH[/VARIANT] as the configuration says
	Tag      string  // the name that its source gives it, or ""
	Layers   []Layer // bottom to top

	blobs   blobs
	closers []io.Closer
	remote  *remote       // nil where it is not from a registry
	top     digest.Digest // of the index that it is from; "" without one
	offered *platform     // what that index says
}

// Layer is one layer of an image.
type Layer struct {
	Index     int           // 0 is the bottom
	Digest    digest.Digest // of the blob
	DiffID    digest.Digest // of the uncompressed tar, as the configuration says
	Size      int64         // of the blob
	MediaType string

	desc  descriptor
	blobs blobs
}

// Open starts to read the layer's blob. The reader fails, at the latest where it
// would report io.EOF, if the bytes are not those of Digest and Size: only what
// was read up to io.EOF may be believed. The error is a [*LayerError]. Layers can be read concurrently, and
// more than once, until the image is closed.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) {
	desc := l.desc
	desc.layer = l.Index
	r, err := openVerified(ctx, l.blobs, desc)
	if err != nil {
		return nil, nameLayer(l.Index, foreign(l.desc, err))
	}
	return r, nil
}

// LayerError is an error about one layer.
type LayerError struct {
	Layer int // 0 is the bottom
	Err   error
}

func (e *LayerError) Error() string { return fmt.Sprintf("layer %d: %v", e.Layer, e.Err) }
func (e *LayerError) Unwrap() error { return e.Err }

// nameLayer says which layer err is about, unless it says so itself.
func nameLayer(layer int, err error) error {
	if errors.As(err, new(*LayerError)) {
		return err
	}
	return &LayerError{layer, err}
}

// foreign explains a blob that is missing because it is not distributed with
// its image.
func foreign(d descriptor, err error) error {
	if len(d.URLs) == 0 || !errors.Is(err, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: foreign layer %s is not distributed with the image, only from %q (--allow-foreign fetches it there)",
		ErrUnsupported, d.Digest, d.URLs[0])
}

// Layer finds the layer that sel names: its number from 0 at the bottom, its
// digest or its diff-id. Of equal layers it returns the lowest.
func (img *Image) Layer(sel string) (*Layer, error) {
	i := slices.IndexFunc(img.Layers, func(l Layer) bool {
		return l.Digest.String() == sel || l.DiffID.String() == sel
	})
	if i >= 0 {
		return &img.Layers[i], nil
	}
	n, err := strconv.Atoi(sel)
	switch {
	case err != nil:
		return nil, fmt.Errorf("layer %q: %w: neither a number nor a digest of this image", sel, ErrNotFound)
	case n < 0 || n >= len(img.Layers):
		return nil, fmt.Errorf("layer %d: %w: the image has %d", n, ErrNotFound, len(img.Layers))
	}
	return &img.Layers[n], nil
}

// Finish reads the rest of an archive that comes from a pipe, so that its writer
// can end well, and returns an error if the archive is cut short or broken.
// An image from a registry that is complete in the cache it lists there under its
// name. It does nothing for other images.
func (img *Image) Finish(ctx context.Context) error {
	if img.remote != nil {
		img.remote.record(ctx, img)
	}
	for _, c := range img.closers {
		if a, ok := c.(*archive); ok {
			return a.wait(ctx)
		}
	}
	return nil
}

// Close frees what the image holds, and waits for what is going on in the background.
// Layers cannot be read any more.
func (img *Image) Close() error {
	var errs []error
	for _, c := range img.closers {
		errs = append(errs, c.Close())
	}
	img.closers = nil
	return errors.Join(errs...)
}
