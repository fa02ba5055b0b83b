package input

import (
	"errors"
	"fmt"

	"ocipipe/lib/compression"
	"ocipipe/lib/oci"
)

// UndecidedError says that an input may be a layer or an image: nothing in its first 16 MiB
// decides which. Options.Kind does.
type UndecidedError struct {
	// OnlyDirectories says that the tar begins with directories alone. Otherwise no
	// name was found at all.
	OnlyDirectories bool
}

func (e *UndecidedError) Error() string {
	why := "no name was found"
	if e.OnlyDirectories {
		why = "only directories were found"
	}
	return fmt.Sprintf("neither surely a layer nor surely an image: %s in the first %d MiB", why, maxLook>>20)
}

// NotImageError is an error about an input that was taken for an image because of a name in
// it, but may be a layer. Options.Kind decides. Its text is that of Err.
type NotImageError struct{ Err error }

func (e *NotImageError) Error() string { return e.Err.Error() }
func (e *NotImageError) Unwrap() error { return e.Err }

// MisplacedError says that an input above the first one is an image. Only the first can be
// one.
type MisplacedError struct {
	// AfterImage says that the first input was taken for an image too. Otherwise it
	// is a layer.
	AfterImage bool
}

func (e *MisplacedError) Error() string { return "an image, which only the first input can be" }

// explainImage turns err, about an input that was taken for an image because of a name,
// into a [*NotImageError] if a layer can give such an error.
func explainImage(err error) error {
	if errors.As(err, new(*compression.Error)) || !errors.Is(err, oci.ErrCorrupt) && !errors.Is(err, oci.ErrUnsupported) {
		return err
	}
	return &NotImageError{err}
}
