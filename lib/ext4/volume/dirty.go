package volume

import "ocipipe/lib/ext4/disk"

// DirtyError says that a file system was not unmounted, or that a kernel has marked it as
// damaged.
type DirtyError struct {
	Problem string // a phrase for messages
}

func (e *DirtyError) Error() string { return e.Problem + ": " + disk.ErrUnsupported.Error() }

// Unwrap returns disk.ErrUnsupported.
func (e *DirtyError) Unwrap() error { return disk.ErrUnsupported }

// CheckState refuses a file system that was not cleanly unmounted.
func CheckState(s *disk.Superblock) error {
	switch {
	case s.Incompat&disk.IncompatRecover != 0:
		return &DirtyError{Problem: "the journal has to be replayed: it was not unmounted"}
	case s.State&disk.StateErrors != 0:
		return &DirtyError{Problem: "marked as damaged by a kernel"}
	case s.State&disk.StateClean == 0:
		return &DirtyError{Problem: "it was not unmounted"}
	}
	return nil
}
