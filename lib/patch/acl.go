package patch

import (
	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

func isACL(name string) bool { return name == posixacl.Access || name == posixacl.Default }

var errACL = invalid("%v", posixacl.ErrInvalid)

// classes finds the entries that the permission bits of a mode are: of the owner, of the
// group (the mask if there is one) and of others.
func classes(list []posixacl.Entry) (owner, group, other *posixacl.Entry) {
	for i := range list {
		switch e := &list[i]; e.Tag {
		case posixacl.UserObj:
			owner = e
		case posixacl.GroupObj, posixacl.Mask:
			group = e
		case posixacl.Other:
			other = e
		}
	}
	return owner, group, other
}

// aclMode is mode with the permissions of list (posix_acl_update_mode), and whether list
// says more than a mode can.
func aclMode(list []posixacl.Entry, mode uint16) (uint16, bool) {
	owner, group, other := classes(list)
	more := len(list) > 3
	return mode&^0o777 | owner.Perm<<6 | group.Perm<<3 | other.Perm, more
}

// setMode gives e the mode, and its access control list, as chmod(2) does
// (posix_acl_chmod). A list that is not valid stays as it is.
func setMode(e *tree.Entry, mode uint16) {
	e.Mode = mode
	value, ok := e.Xattr(posixacl.Access)
	if !ok {
		return
	}
	list, err := posixacl.Parse(value)
	if err != nil || list == nil {
		return
	}
	owner, group, other := classes(list)
	owner.Perm, group.Perm, other.Perm = mode>>6&7, mode>>3&7, mode&7
	setXattr(e, posixacl.Access, posixacl.Format(list))
}
