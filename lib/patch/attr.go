package patch

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

const capability = "security.capability"

const (
	setUID    = 0o4000
	setGID    = 0o2000
	groupExec = 0o0010
)

// attr are the attributes of Chmod, which always has a mode.
func (o Chmod) attr() Attr { return Attr{Owner: o.Owner, Mode: &o.Mode} }

func (a Attr) empty() bool { return a.Mode == nil && a.UID == nil && a.GID == nil }

// setAttr does to n what chown(2) and then chmod(2) do.
func (a *applier) setAttr(n *node, attr Attr) error {
	if attr.empty() {
		return nil
	}
	if attr.Mode != nil && a.entry(n).Type == tree.Link {
		return &fault{"is a symbolic link, which has no mode", unix.EOPNOTSUPP}
	}
	e := a.copyUp(n)
	if attr.UID != nil || attr.GID != nil {
		a.chown(e, attr.Owner)
	}
	if attr.Mode != nil {
		setMode(e, *attr.Mode)
	}
	return nil
}

// chown gives e another owner as a privileged process does (chown_common).
func (a *applier) chown(e *tree.Entry, owner Owner) {
	owner.set(e)
	if e.Type == tree.Dir {
		return
	}
	e.Mode &^= setUID
	if e.Mode&groupExec != 0 {
		e.Mode &^= setGID
	}
	a.dropCaps(e)
}

// set makes the owner that of e, as it is for a new file.
func (o Owner) set(e *tree.Entry) {
	if o.UID != nil {
		e.UID = *o.UID
	}
	if o.GID != nil {
		e.GID = *o.GID
	}
}

// dropCaps takes the capabilities of a program that is no longer what it was.
func (a *applier) dropCaps(e *tree.Entry) {
	if !a.opts.KeepCaps {
		removeXattr(e, capability)
	}
}

// setXattr makes x an extended attribute of e. The slice, which may be that of another
// entry, is not changed in place.
func setXattr(e *tree.Entry, name, value string) {
	i, found := findXattr(e, name)
	xs := slices.Clone(e.Xattrs)
	if found {
		xs[i].Value = value
	} else {
		xs = slices.Insert(xs, i, tree.Xattr{Name: name, Value: value})
	}
	e.Xattrs = xs
}

func removeXattr(e *tree.Entry, name string) {
	if i, found := findXattr(e, name); found {
		e.Xattrs = slices.Delete(slices.Clone(e.Xattrs), i, i+1)
	}
}

func findXattr(e *tree.Entry, name string) (int, bool) {
	return slices.BinarySearchFunc(e.Xattrs, name, func(x tree.Xattr, name string) int { return strings.Compare(x.Name, name) })
}

func (o Xattr) apply(a *applier) error {
	n, err := a.existing(o.Path)
	if err != nil {
		return err
	}
	kind := a.entry(n).Type
	switch {
	case strings.HasPrefix(o.Name, "user.") && kind != tree.File && kind != tree.Dir:
		return &fault{"only files and directories have extended attributes user.*", unix.EPERM}
	case o.Name == posixacl.Default && kind != tree.Dir && !o.Remove:
		return &fault{"only directories have a default access control list", unix.EACCES}
	case isACL(o.Name) && kind == tree.Link:
		return &fault{"is a symbolic link, which has no access control list", unix.EOPNOTSUPP}
	case o.Remove || isACL(o.Name) && emptyACL(o.Value):
		if _, found := a.entry(n).Xattr(o.Name); found {
			removeXattr(a.copyUp(n), o.Name)
		}
	case isACL(o.Name):
		setACL(a.copyUp(n), o.Name, o.Value)
	default:
		setXattr(a.copyUp(n), o.Name, o.Value)
	}
	return a.setAttr(n, o.Attr)
}

// emptyACL reports whether value, a valid list, has no entries: it removes the list.
func emptyACL(value string) bool { return len(value) <= posixacl.HeadSize }

// setACL gives e a list, and a list of access also its mode: one that says no more than
// a mode is no attribute (posix_acl_update_mode).
func setACL(e *tree.Entry, name, value string) {
	list, _ := posixacl.Parse(value) // check has seen that it is valid
	more := true
	if name == posixacl.Access {
		e.Mode, more = aclMode(list, e.Mode)
	}
	if more {
		setXattr(e, name, posixacl.Format(list))
	} else {
		removeXattr(e, name)
	}
}
