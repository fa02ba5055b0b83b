package osfile

import (
	"errors"
	"os"
)

// SeekData returns where the first data of f at or after off begins. This system does not tell.
func SeekData(f *os.File, off int64) (int64, error) { return 0, errors.ErrUnsupported }

// SeekHole returns where the first hole of f at or after off begins. This system does not tell.
func SeekHole(f *os.File, off int64) (int64, error) { return 0, errors.ErrUnsupported }
