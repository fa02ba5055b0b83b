//go:build !linux || portable

package atomicfile

import (
	"errors"
	"os"
)

// startAll would start the writing of f. This system cannot, and writes when it wants to.
func startAll(f *os.File) (blocks int64, err error) { return 0, errors.ErrUnsupported }

// StartWriteback does nothing on this system.
func StartWriteback(f *os.File, off, n int64) {}
