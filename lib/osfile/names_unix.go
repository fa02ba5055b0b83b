//go:build unix

package osfile

import "os"

// SameName reports whether a and b name the same file of a directory.
func SameName(a, b string) bool { return a == b }

// RemoveIn removes the file called name below root.
func RemoveIn(root *os.Root, name string) error { return root.Remove(name) }
