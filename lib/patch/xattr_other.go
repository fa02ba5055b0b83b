//go:build !linux || portable

package patch

import (
	"os"

	"ocipipe/lib/tree"
)

// fileXattrs returns the extended attributes of f: none, since those of this system mean
// nothing on Linux.
func fileXattrs(f *os.File) ([]tree.Xattr, error) { return nil, nil }

// linkXattrs returns those of the file name in dir: none, as well.
func linkXattrs(dir *os.File, name string) ([]tree.Xattr, error) { return nil, nil }
