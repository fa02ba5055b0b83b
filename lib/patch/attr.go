package patch

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

const capability = "security.capability"

const (
	setUID    = 0o4000
	setGID    = 0o2000
	groupExec = 0o0010
)

// attr returns the attributes that o sets. They always include the mode.
func (o Chmod) attr() Attr { return Attr{Owner: o.Owner, Mode: &o.Mode} }

func (a Attr) empty() bool { return a.Mode == nil && a.UID == nil && a.GID == nil }

// setAttr changes n as chown(2) and then chmod(2) do.
func (a *applier) setAttr(n *node, attr Attr) error {
	if attr.empty() {
		return nil
	}
	if attr.Mode != nil && a.entry(n).Type == tree.Link {
		return &fault{"is a symbolic link, which has no mode", syscall.EOPNOTSUPP}
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

// set sets the owner of e, a new file.
func (o Owner) set(e *tree.Entry) {
	if o.UID != nil {
		e.UID = *o.UID
	}
	if o.GID != nil {
		e.GID = *o.GID
	}
}

// dropCaps removes the capabilities of a file that was written to or has another owner.
func (a *applier) dropCaps(e *tree.Entry) {
	if !a.opts.KeepCaps {
		removeXattr(e, capability)
	}
}

// setXattr makes value that of an extended attribute of e, whose list is its own.
func setXattr(e *tree.Entry, name, value string) {
	i, found := findXattr(e, name)
	if found {
		e.Xattrs[i].Value = value
	} else {
		e.Xattrs = slices.Insert(e.Xattrs, i, tree.Xattr{Name: name, Value: value})
	}
}

func removeXattr(e *tree.Entry, name string) {
	if i, found := findXattr(e, name); found {
		e.Xattrs = slices.Delete(e.Xattrs, i, i+1)
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
		return &fault{"only files and directories have extended attributes user.*", syscall.EPERM}
	case o.Name == posixacl.Default && kind != tree.Dir && !o.Remove:
		return &fault{"only directories have a default access control list", syscall.EACCES}
	case isACL(o.Name) && kind == tree.Link:
		return &fault{"is a symbolic link, which has no access control list", syscall.EOPNOTSUPP}
	case o.Remove || isACL(o.Name) && emptyACL(o.Value):
		if _, found := a.entry(n).Xattr(o.Name); found {
			removeXattr(a.copyUp(n), o.Name)
		}
	case !listable(a.entry(n), o.Name):
		return &fault{fmt.Sprintf("names of extended attributes of more than %d bytes", maxXattrNames), syscall.E2BIG}
	case isACL(o.Name):
		setACL(a.copyUp(n), o.Name, o.Value)
	default:
		setXattr(a.copyUp(n), o.Name, o.Value)
	}
	return a.setAttr(n, o.Attr)
}

// listable reports whether the names of the attributes of e, with name, are not too many.
func listable(e *tree.Entry, name string) bool {
	if _, found := e.Xattr(name); found {
		return true
	}
	n := len(name) + 1
	for _, x := range e.Xattrs {
		n += len(x.Name) + 1
	}
	return n <= maxXattrNames
}

// emptyACL reports whether value, a valid list, has no entries: it removes the list.
func emptyACL(value string) bool { return len(value) <= posixacl.HeadSize }

// setACL sets an access control list of e, and for the access list also the mode. An access
// list that says no more than a mode is not stored (posix_acl_update_mode).
func setACL(e *tree.Entry, name, value string) {
	list, _ := posixacl.Parse(value) // Xattr.check has refused invalid lists
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
