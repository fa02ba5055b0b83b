//go:build unix

package osfile

import "os"

// Sync is f.Sync for what may be a directory, or open for reading alone.
func Sync(f *os.File) error { return f.Sync() }
