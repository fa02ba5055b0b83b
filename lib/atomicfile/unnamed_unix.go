//go:build unix && (!linux || portable)

package atomicfile

import "os"

// allowHoles has nothing to do: any file may have holes.
func allowHoles(f *os.File) {}

// createUnnamed creates a file that has lost its name at once. In messages it is called path.
func createUnnamed(dir, path string) (*os.File, error) { return createRemoved(dir, path) }
