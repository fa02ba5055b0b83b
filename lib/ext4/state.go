package ext4

import "ocipipe/lib/ext4/disk"

// checkState refuses what a clean unmount does not leave.
func checkState(s *disk.Superblock) error {
	switch {
	case s.Incompat&disk.IncompatRecover != 0:
		return &dirtyError{"the journal has to be replayed: it was not unmounted"}
	case s.State&disk.StateErrors != 0:
		return &dirtyError{"marked as damaged by a kernel"}
	case s.State&disk.StateClean == 0:
		return &dirtyError{"it was not unmounted"}
	}
	return nil
}
