package ext4

import (
	"errors"
	"fmt"
)

func corrupt(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrCorrupt)
}

func unsupported(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrUnsupported)
}

// broken describes something that was read and cannot be; the caller knows where
// it came from.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

var (
	// ErrCorrupt is wrapped by the errors about a file system that breaks the
	// rules of the format.
	ErrCorrupt = errors.New("corrupt ext4 file system")
	// ErrUnsupported is wrapped by the errors about what this package does not
	// handle though it may be valid.
	ErrUnsupported = errors.New("unsupported ext4 feature")
)
