package z

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by the errors about what the kernel refuses as damaged.
	ErrCorrupt = errors.New("corrupt EROFS image")
	// ErrUnsupported is wrapped by the errors about what may be valid, but is not read here.
	ErrUnsupported = errors.New("unsupported EROFS feature")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrCorrupt)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
}
