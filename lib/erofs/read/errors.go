package read

import (
	"errors"
	"fmt"

	"ocipipe/lib/erofs/z"
)

var (
	// ErrCorrupt is wrapped by the errors about an image that breaks the rules
	// of the format, and about a file that is not an image.
	ErrCorrupt = z.ErrCorrupt
	// ErrUnsupported is wrapped by the errors about an image that may be valid,
	// but that this package does not read.
	ErrUnsupported = z.ErrUnsupported
	// ErrNoDevice is wrapped by the errors about content on a device that was not
	// given to Open.
	ErrNoDevice = fmt.Errorf("the device is not at hand: %w", ErrUnsupported)
	// ErrNotAddressable is wrapped by the errors about content to which another
	// image cannot refer.
	ErrNotAddressable = errors.New("no other image can refer to it")
)
