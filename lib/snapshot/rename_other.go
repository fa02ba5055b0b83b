//go:build !linux || portable

package snapshot

import (
	"errors"
	"os"
)

// renameNew would move a name to where nothing of that name may be. This system cannot
// promise that.
func renameNew(from, to *os.File, name string) error { return errors.ErrUnsupported }
