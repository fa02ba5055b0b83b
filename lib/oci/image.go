package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/platform"
	"ocipipe/lib/unzstd"
)

// Options say how an image is opened. The zero value is useful.
type Options struct {
	// Platform is the wanted OS/ARCH[/VARIANT]. "" is linux on this architecture if
	// there is a choice, and otherwise any. OS(VERSION+FEATURE...) in place of OS asks
	// for a version of the system, and admits images that need its features.
	Platform string
	// AllowOtherPlatform takes an image that is the only one whatever its platform,
	// with a warning.
	AllowOtherPlatform bool
	// TmpDir is where spool files are made; "" is $TMPDIR.
	TmpDir string
	// OpenFile opens archives, directories and "-" in place of os.Open. It returns an
	// *os.File for anything that can be read at random. For all else Close must end
	// a Read that waits.
	OpenFile func(path string) (io.ReadCloser, error)
	// Reads is called with each file of a layout directory that was opened, from any
	// goroutine. Its error ends the reading of the file. nil takes every file.
	Reads func(path string) error
	// Warn takes messages to the user, from any goroutine; nil drops them.
	Warn func(msg string)
	// MaxMetadata limits the bytes of an index, a manifest or a configuration; 0 is
	// DefaultMaxMetadata, and less is no limit.
	MaxMetadata int64
	// MaxLayer limits the bytes that a compressed layer of a docker archive, or for
	// one, may unpack to; 0 is DefaultMaxLayer, and less is no limit.
	MaxLayer int64
	// Window is shared by all that is decompressed at the same time, so that only one
	// layer has the memory for a zstd window above 8 MiB, and the others wait. If it is
	// nil the image has its own. An archive that is compressed as a whole has another.
	Window *unzstd.Window
}

// The default limits, in bytes. Real images stay far below them.
const (
	DefaultMaxMetadata = 16 << 20
	DefaultMaxLayer    = 64 << 30
)

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

// MetadataLimit returns MaxMetadata or its default.
func (o Options) MetadataLimit() int64 { return limitOr(o.MaxMetadata, DefaultMaxMetadata) }

func (o Options) layerLimit() int64 { return limitOr(o.MaxLayer, DefaultMaxLayer) }

// limitOr returns the limit that an option means, small enough to add one to it.
func limitOr(limit, zero int64) int64 {
	const none = math.MaxInt64 - 1
	switch {
	case limit == 0:
		return zero
	case limit < 0:
		return none
	}
	return min(limit, none)
}

func (o Options) window() *unzstd.Window {
	if o.Window == nil {
		return unzstd.NewWindow()
	}
	return o.Window
}

// Image is one image of one platform. Its manifest and configuration are
// verified; its layers are verified as they are read.
//
// An image lives until it is closed: the context that it was opened with does not end its
// work in the background.
type Image struct {
	Name string // the name of its file or in its registry, for messages

	Manifest  []byte // the stored bytes, which have the digest Digest
	MediaType string // of the manifest
	Digest    digest.Digest

	Config          []byte
	ConfigMediaType string
	ConfigDigest    digest.Digest

	Platform string             // OS/ARCH[/VARIANT] from the configuration
	Listed   *platform.Platform // from the index that it was chosen from; nil without one
	Tag      string             // the name that its source gives it, or ""
	Layers   []Layer            // bottom to top

	source  Source
	archive *archive // that holds it, or nil
	closers []io.Closer
}

// Layer is one layer of an image.
type Layer struct {
	Index     int           // 0 is the bottom
	Digest    digest.Digest // of the blob
	DiffID    digest.Digest // of the uncompressed tar, from the configuration
	Size      int64         // of the blob
	MediaType string

	desc   manifest.Descriptor
	source Source
}

// Descriptor returns the descriptor of the layer in the manifest.
func (l *Layer) Descriptor() manifest.Descriptor { return l.desc }

// Open opens the layer's blob. The reader fails, at the latest where it would report
// io.EOF, if the bytes do not have Digest and Size: believe bytes only after io.EOF. The
// reader of a blob in a cache checks only Size: the blob was verified when it was put there.
// Errors are [*LayerError]. The end of ctx ends a Read that waits. Layers can be read
// concurrently, and more than once, until the image is closed. The caller closes the
// reader.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := l.source.Layer(ctx, l.Index, l.desc)
	if err != nil {
		return nil, nameLayer(l.Index, ExplainMissing(l.desc, err))
	}
	return &layerReader{r, l.Index}, nil
}

// Layer returns the layer that sel names: by its number, from 0 at the bottom, its digest
// or its diff-id. Of equal layers it returns the lowest.
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
		return nil, fmt.Errorf("layer %q: %w: neither a number nor a whole digest: %s", sel, ErrNotFound, countLayers(len(img.Layers)))
	case n < 0 || n >= len(img.Layers):
		return nil, fmt.Errorf("layer %d: %w: %s", n, ErrNotFound, countLayers(len(img.Layers)))
	}
	return &img.Layers[n], nil
}

// countLayers says how many layers an image has, and their numbers.
func countLayers(n int) string {
	switch n {
	case 0:
		return "the image has none"
	case 1:
		return "the image has one, layer 0"
	}
	return fmt.Sprintf("the image has %d, from layer 0 to layer %d", n, n-1)
}

// Drain reads an archive from a pipe to its end, so that its writer can end without an
// error, and returns an error if the archive is cut short or broken. For all other images
// it does nothing.
func (img *Image) Drain(ctx context.Context) error {
	if img.archive == nil {
		return nil
	}
	return img.archive.wait(ctx)
}

// Close ends the work in the background, waits for it, and frees what the image holds.
// Layers cannot be read any more. Closing an image twice is harmless.
func (img *Image) Close() error {
	return closeAll(&img.closers)
}

// closeAll closes all of list in turn, and empties it.
func closeAll(list *[]io.Closer) error {
	var errs []error
	for _, c := range *list {
		errs = append(errs, c.Close())
	}
	*list = nil
	return errors.Join(errs...)
}
