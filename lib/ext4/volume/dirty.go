package volume

import "ocipipe/lib/ext4/disk"

// DirtyError is about a file system that was not unmounted, or that a kernel has marked
// as damaged.
type DirtyError struct {
	Problem string // how that shows
}

func (e *DirtyError) Error() string { return e.Problem + ": " + disk.ErrUnsupported.Error() }

// Unwrap is disk.ErrUnsupported.
func (e *DirtyError) Unwrap() error { return disk.ErrUnsupported }
