package z

import "errors"

var (
	// ErrCorrupt is wrapped by the errors about what the kernel refuses as damaged.
	ErrCorrupt = errors.New("corrupt compressed data")
	// ErrUnsupported is wrapped by the errors about what may be valid, but is not decoded here.
	ErrUnsupported = errors.New("unsupported compression")
)
