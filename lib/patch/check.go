package patch

import (
	"cmp"
	"errors"
	"strings"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

// Bounds of extended attributes (linux/limits.h): of a name, of a value, and of all names
// of a file with a NUL behind each, which listxattr(2) cannot list where they are more.
const (
	maxXattrName  = 255
	maxXattr      = 64 << 10
	maxXattrNames = 64 << 10
)

// cleanPath turns a path of an operation into the path of a tree.Entry, "/" into ".".
func cleanPath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", invalid("path %q is not absolute", short(path))
	}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) == 0 {
		return ".", nil
	}
	clean := strings.Join(names, "/")
	if names[0] == "." && len(names) == 1 {
		return "", invalid("path component %q", ".")
	}
	if err := tree.CheckPath(clean); err != nil {
		return "", invalid("%v", err)
	}
	return clean, nil
}

// checkName checks the path of an operation that cannot be about the root.
func checkName(path string) error {
	clean, err := cleanPath(path)
	if err == nil && clean == "." {
		return invalid("not for the root directory")
	}
	return err
}

func checkPath(path string) error {
	_, err := cleanPath(path)
	return err
}

func (a Attr) check() error {
	if a.Mode != nil && *a.Mode > 0o7777 {
		return invalid("mode %#o is more than 07777", *a.Mode)
	}
	return a.Owner.check()
}

func (o Owner) check() error {
	for _, id := range []*uint32{o.UID, o.GID} {
		if id != nil && *id == 1<<32-1 {
			return invalid("%d is no user or group", *id)
		}
	}
	return nil
}

func (s Source) check() error {
	switch {
	case s.Path == "":
		return invalid("source without a path")
	case strings.IndexByte(s.Path, 0) >= 0:
		return invalid("NUL in source path")
	}
	return nil
}

func (o Text) check() error       { return cmp.Or(checkName(o.Path), o.Attr.check()) }
func (o File) check() error       { return cmp.Or(checkName(o.Path), o.Attr.check()) }
func (o CopyFile) check() error   { return cmp.Or(o.Src.check(), checkName(o.Dst), o.Attr.check()) }
func (o CopyDir) check() error    { return cmp.Or(o.Src.check(), checkPath(o.Dst), o.Owner.check()) }
func (o Mkdir) check() error      { return cmp.Or(checkName(o.Path), o.Attr.check()) }
func (o MountPoint) check() error { return cmp.Or(checkName(o.Path), o.Attr.check()) }
func (o Remove) check() error     { return checkName(o.Path) }
func (o Append) check() error     { return cmp.Or(checkName(o.Path), o.Attr.check()) }
func (o Chmod) check() error      { return cmp.Or(checkPath(o.Path), o.attr().check()) }
func (o Link) check() error {
	return cmp.Or(checkName(o.Target), checkName(o.Link), o.Attr.check())
}
func (o Rename) check() error { return cmp.Or(checkName(o.Src), checkName(o.Dst), o.Attr.check()) }
func (o Touch) check() error {
	if o.Time != nil && o.Time.Nsec > 999999999 {
		return invalid("time with %d nanoseconds", o.Time.Nsec)
	}
	return cmp.Or(checkPath(o.Path), o.Attr.check())
}

func (o Symlink) check() error {
	switch {
	case o.Target == "":
		return invalid("symbolic link without a target")
	case strings.IndexByte(o.Target, 0) >= 0:
		return invalid("NUL in target of symbolic link")
	case len(o.Target) > tree.MaxPath:
		return invalid("target of symbolic link of %d bytes, over %d", len(o.Target), tree.MaxPath)
	}
	return cmp.Or(checkName(o.Link), o.Owner.check())
}

func (o Chown) check() error {
	if o.UID == nil && o.GID == nil {
		return errors.New("neither uid nor gid")
	}
	return cmp.Or(checkPath(o.Path), o.Attr.check())
}

func (o Xattr) check() error {
	if err := checkXattr(o.Name); err != nil {
		return err
	}
	switch {
	case o.Remove && o.Value != "":
		return invalid("extended attribute with a value is to be removed")
	case len(o.Value) > maxXattr:
		return invalid("extended attribute of %d bytes, over %d", len(o.Value), maxXattr)
	}
	if isACL(o.Name) && !o.Remove {
		if _, err := posixacl.Parse(o.Value); err != nil {
			return errACL
		}
	}
	return cmp.Or(checkPath(o.Path), o.Attr.check())
}

func checkXattr(name string) error {
	prefix, rest, _ := strings.Cut(name, ".")
	switch {
	case strings.IndexByte(name, 0) >= 0:
		return invalid("NUL in name of extended attribute")
	case len(name) > maxXattrName:
		return invalid("name of extended attribute of %d bytes, over %d", len(name), maxXattrName)
	case tree.IsMark(name):
		return invalid("extended attribute %s is a mark of layers", printable(name))
	case isACL(name):
		return nil
	case rest == "" || prefix != "user" && prefix != "trusted" && prefix != "security":
		return invalid("extended attribute %q: the names begin with user., trusted. or security., or are those of access control lists", short(name))
	}
	return nil
}
