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
