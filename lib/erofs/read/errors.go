package read

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by the errors about an image that breaks the rules
	// of the format, or is none.
	ErrCorrupt = errors.New("corrupt EROFS image")
	// ErrUnsupported is wrapped by the errors about what this package does not
	// read though it may be valid.
	ErrUnsupported = errors.New("unsupported EROFS feature")
	// ErrNoDevice is wrapped by the errors about content on a device that was not
	// given to Open.
	ErrNoDevice = fmt.Errorf("the device is not at hand: %w", ErrUnsupported)
	// ErrNotAddressable is wrapped by the errors about content to which no other
	// image can refer.
	ErrNotAddressable = errors.New("no other image can refer to it")
)
