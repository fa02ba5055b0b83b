package ext4

import "ocipipe/lib/ext4/disk"

// dirtyError is about a file system that was not unmounted.
type dirtyError struct{ what string }

func (e *dirtyError) Error() string { return e.what + ": " + disk.ErrUnsupported.Error() }

func (e *dirtyError) Unwrap() error { return disk.ErrUnsupported }

// Hint names what helps.
func (e *dirtyError) Hint() string {
	return "mount and unmount it once, or let e2fsck -fp put it in order"
}
