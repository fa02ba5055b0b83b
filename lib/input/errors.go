package input

import (
	"errors"
	"fmt"

	"ocipipe/lib/compression"
	"ocipipe/lib/oci"
)

// UndecidedError says that an input may be a layer or an image: nothing in the first
// 16 MiB tells. Options.Kind does.
type UndecidedError struct {
	// OnlyDirectories says that the tar begins with directories alone. Otherwise there
	// is not even a name.
	OnlyDirectories bool
}

func (e *UndecidedError) Error() string {
	why := "there is nothing to tell"
	if e.OnlyDirectories {
		why = "there are only directories"
	}
	return fmt.Sprintf("neither surely a layer nor surely an image: %s in the first %d MiB", why, maxLook>>20)
}

// NotImageError is an error about an input that was taken for an image because of a name
// in it, and may be a layer. Options.Kind decides. Its text is that of Err.
type NotImageError struct{ Err error }

func (e *NotImageError) Error() string { return e.Err.Error() }
func (e *NotImageError) Unwrap() error { return e.Err }

// MisplacedError says that an image was found above the first input, which alone can be
// one.
type MisplacedError struct {
	// AfterImage says that the first input was taken for an image too. Otherwise it
	// is a layer.
	AfterImage bool
}

func (e *MisplacedError) Error() string { return "an image, which only the first input can be" }

// explainImage returns err, about what was taken for an image because of a name, as a
// [*NotImageError] where a layer may give such an error.
func explainImage(err error) error {
	if errors.As(err, new(*compression.Error)) || !errors.Is(err, oci.ErrCorrupt) && !errors.Is(err, oci.ErrUnsupported) {
		return err
	}
	return &NotImageError{err}
}
