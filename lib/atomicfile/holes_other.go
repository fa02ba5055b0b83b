//go:build (!linux || portable) && !windows

package atomicfile

import "os"

// allowHoles has nothing to do: any file may have holes.
func allowHoles(f *os.File) {}
