//go:build !linux || portable

package exclusive

import (
	"os"

	"ocipipe/lib/osfile"
)

// lock locks all of f, against programs that lock in the same way.
func lock(f *os.File, access Access) error { return meaning(osfile.Lock(f, kindOf(access))) }

// checkMounted has nothing to say of a device, which is refused before.
func checkMounted(f *os.File) error { return osfile.ErrDevice }

// checkLoop has nothing to say: this system has no loop devices.
func checkLoop(f *os.File) error { return nil }
