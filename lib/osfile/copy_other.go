//go:build !linux || portable

package osfile

import (
	"errors"
	"os"
)

// Clone makes dst, at to, share the blocks of the first n bytes of src. This system cannot.
func Clone(dst *os.File, to int64, src *os.File, n int64) error { return errors.ErrUnsupported }

// CopyRange would make the kernel copy bytes. This system copies none.
func CopyRange(dst *os.File, to int64, src *os.File, from, n int64) (done int64) { return 0 }
