package overlay

import (
	"errors"
	"fmt"
)

// ErrNoUpper is wrapped by the error about a disk that no overlay has used.
var ErrNoUpper = errors.New("has no directory /upper: not the upper disk of an overlay")

// ErrCorrupt is wrapped by errors about marks that no kernel makes.
var ErrCorrupt = errors.New("corrupt mark of overlayfs")

// NeedsBelowError says that a file of the upper directory says only together with the images
// below what was to be seen in the overlay.
type NeedsBelowError struct {
	Path string
	What string // what the file is
}

func (e *NeedsBelowError) Error() string {
	return fmt.Sprintf("%s: %s: the images below the overlay are needed", e.Path, e.What)
}

// BelowError says that the images below lack what a file of the upper directory refers to:
// they are not the ones that were below.
type BelowError struct {
	Path string
	What string
}

func (e *BelowError) Error() string {
	return fmt.Sprintf("%s: %s: not the images that were below the overlay", e.Path, e.What)
}

// LayersError says that an image below is itself an upper directory with marks that only
// overlayfs resolves.
type LayersError struct {
	Path, Mark string
}

func (e *LayersError) Error() string {
	return fmt.Sprintf("%s: xattr %s: an upper directory of another overlay, which has to be resolved first", e.Path, e.Mark)
}

func corrupt(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), ErrCorrupt)
}
