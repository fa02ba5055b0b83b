//go:build unix

package osfile

import (
	"os"
	"path/filepath"
)

// SameName reports whether a and b name the same file of a directory.
func SameName(a, b string) bool { return a == b }

// RemoveIn removes the file called name below root.
func RemoveIn(root *os.Root, name string) error { return root.Remove(name) }

// Rename renames the file called old in dir to name, which may be a file that others read.
func Rename(dir, old, name string) error {
	return os.Rename(filepath.Join(dir, old), filepath.Join(dir, name))
}
