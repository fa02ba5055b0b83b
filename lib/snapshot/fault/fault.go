// Package fault has the two ways in which a snapshot can be wrong. All packages of
// lib/snapshot return them.
package fault

import (
	"errors"
	"fmt"
)

// The two sentinels; errors about an artifact wrap one of them.
var (
	ErrCorrupt     = errors.New("corrupt snapshot")
	ErrUnsupported = errors.New("unsupported snapshot")
)

// Corrupt returns an error that is ErrCorrupt. Only the message given is printed.
func Corrupt(format string, args ...any) error {
	return &fault{fmt.Errorf(format, args...), ErrCorrupt}
}

// Unsupported returns an error that is ErrUnsupported. Only the message given is printed.
func Unsupported(format string, args ...any) error {
	return &fault{fmt.Errorf(format, args...), ErrUnsupported}
}

type fault struct {
	error
	kind error
}

func (f *fault) Is(target error) bool { return target == f.kind }
func (f *fault) Unwrap() error        { return f.error }
