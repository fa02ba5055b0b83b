package oci

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/manifest"
)

// What can be wrong with an image. Errors wrap the one that applies, if any does.
var (
	ErrCorrupt     = manifest.ErrCorrupt
	ErrUnsupported = manifest.ErrUnsupported
	ErrNotFound    = errors.New("not found")
)

// NotImageError says that a directory is no layout, or that an archive holds no image. It wraps
// ErrUnsupported.
type NotImageError struct {
	Directory bool
	why       string
}

func (e *NotImageError) Error() string { return e.why }
func (e *NotImageError) Unwrap() error { return ErrUnsupported }

// LayerError is an error about one layer.
type LayerError struct {
	Layer int // 0 is the bottom
	Err   error
}

func (e *LayerError) Error() string { return fmt.Sprintf("layer %d: %v", e.Layer, e.Err) }
func (e *LayerError) Unwrap() error { return e.Err }

// Limit names a field of Options that limits something.
type Limit string

// The limits.
const (
	MaxMetadata Limit = "MaxMetadata"
	MaxLayer    Limit = "MaxLayer"
)

// LimitError says that an image exceeds a limit. It wraps ErrUnsupported.
type LimitError struct {
	Limit Limit
	Max   int64 // bytes
}

func (e *LimitError) Error() string {
	if e.Limit == MaxLayer {
		return fmt.Sprintf("%v: unpacks to more than %d bytes", ErrUnsupported, e.Max)
	}
	return fmt.Sprintf("%v: longer than %d bytes", ErrUnsupported, e.Max)
}

func (e *LimitError) Unwrap() error { return ErrUnsupported }

// PlatformError says that no image is for the wanted platform. It wraps ErrNotFound.
type PlatformError struct {
	Wanted    string   // the platform
	Asked     bool     // Wanted is Options.Platform; otherwise it is the default
	Available []string // the platforms of the images that were found
	// Sole says that there is only one image. If Asked, Options.AllowOtherPlatform
	// takes it.
	Sole bool
	what string
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("platform %s: %v: %s", e.Wanted, ErrNotFound, e.what)
}

func (e *PlatformError) Unwrap() error { return ErrNotFound }

// ForeignError says that a layer is missing because it is not distributed with its image.
// It wraps ErrUnsupported.
type ForeignError struct {
	Digest digest.Digest
	URL    string // where the manifest says that the layer is; the first of several
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%v: foreign layer %s is not distributed with the image, only from %q", ErrUnsupported, e.Digest, e.URL)
}

func (e *ForeignError) Unwrap() error { return ErrUnsupported }

// ExplainMissing returns err, or a [*ForeignError] if err says that the layer d is missing
// and d names URLs that have it.
func ExplainMissing(d manifest.Descriptor, err error) error {
	if len(d.URLs) == 0 || !errors.Is(err, ErrNotFound) {
		return err
	}
	return &ForeignError{d.Digest, d.URLs[0]}
}
