package disk

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by the errors about a file system that breaks the
	// rules of the format.
	ErrCorrupt = errors.New("corrupt ext4 file system")
	// ErrUnsupported is wrapped by the errors about what is not handled
	// here though it may be valid.
	ErrUnsupported = errors.New("unsupported ext4 feature")
)

// Corrupt is an error about what lies at byte off and breaks the rules of the format.
func Corrupt(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrCorrupt)
}

// Unsupported is an error about what lies at byte off and is not handled.
func Unsupported(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrUnsupported)
}

// Broken is an error about what breaks the rules of the format, for callers that know
// where it lies and say so.
func Broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
