//go:build !portable

package patch

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ocipipe/lib/tree"
)

// fileXattrs returns the extended attributes of f.
func fileXattrs(f *os.File) ([]tree.Xattr, error) {
	fd := int(f.Fd())
	return listXattrs(
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
}

// linkXattrs returns the extended attributes of the file name in dir, of which it follows no
// symbolic link.
func linkXattrs(dir *os.File, name string) ([]tree.Xattr, error) {
	// Only the first part of the path is a link that is followed.
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	return listXattrs(
		func(b []byte) (int, error) { return unix.Llistxattr(path, b) },
		func(name string, b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
}

// listXattrs returns the extended attributes that list and get find, except for marks of
// overlayfs and of layers.
func listXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) ([]tree.Xattr, error) {
	buf := make([]byte, maxXattr) // also enough for all names (XATTR_LIST_MAX)
	n, err := list(buf)
	if err == unix.ENOTSUP || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listxattr: %w", err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var xs []tree.Xattr
	for _, name := range names {
		if tree.IsMark(name) {
			continue
		}
		n, err := get(name, buf)
		if err != nil {
			return nil, fmt.Errorf("getxattr %s: %w", name, err)
		}
		xs = append(xs, tree.Xattr{Name: name, Value: string(buf[:n])})
	}
	return xs, nil
}
