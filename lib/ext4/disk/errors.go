package disk

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by the errors about a file system that breaks the
	// rules of the format.
	ErrCorrupt = errors.New("corrupt ext4 file system")
	// ErrUnsupported is wrapped by the errors about a file system that may be
	// valid, but that lib/ext4 does not handle.
	ErrUnsupported = errors.New("unsupported ext4 feature")
)

// Corrupt returns an error that wraps ErrCorrupt, about the bytes from off on.
func Corrupt(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrCorrupt)
}

// Unsupported returns an error that wraps ErrUnsupported, about the bytes from off on.
func Unsupported(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrUnsupported)
}

// Broken returns an error that wraps ErrCorrupt without a place. Its caller knows the place
// and adds it.
func Broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
