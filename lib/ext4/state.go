package ext4

// checkState refuses what a clean unmount does not leave.
func checkState(s *superblock) error {
	switch {
	case s.Incompat&incompatRecover != 0:
		return &dirtyError{"the journal has to be replayed: it was not unmounted"}
	case s.State&stateErrors != 0:
		return &dirtyError{"marked as damaged by a kernel"}
	case s.State&stateClean == 0:
		return &dirtyError{"it was not unmounted"}
	}
	return nil
}
