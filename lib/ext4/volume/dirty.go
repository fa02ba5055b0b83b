package volume

import "ocipipe/lib/ext4/disk"

// DirtyError is about a file system that was not unmounted.
type DirtyError struct{ Problem string }

func (e *DirtyError) Error() string { return e.Problem + ": " + disk.ErrUnsupported.Error() }

func (e *DirtyError) Unwrap() error { return disk.ErrUnsupported }

// Hint names what helps.
func (e *DirtyError) Hint() string {
	return "mount and unmount it once, or let e2fsck -fp put it in order"
}
