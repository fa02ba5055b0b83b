package patch

import (
	"encoding/binary"

	"ocipipe/lib/tree"
)

// An access control list has the form of linux/posix_acl_xattr.h: a version, then
// entries of 8 bytes, in the order of their tags.
//
//	off size field     meaning                         range
//	  0    2 tag       whom the entry is about         aclUserObj to aclOther
//	  2    2 perm      read 4, write 2, execute 1      at most 7
//	  4    4 id        of aclUser and aclGroup         any for the others
const (
	aclVersion   = 2
	aclHeadSize  = 4
	aclEntrySize = 8
	aclNoID      = 1<<32 - 1
)

const (
	aclUserObj  = 0x01 // the owner
	aclUser     = 0x02
	aclGroupObj = 0x04 // the owning group
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func isACL(name string) bool { return name == aclAccess || name == aclDefault }

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// parseACL takes what setxattr(2) takes (posix_acl_valid). A list without entries is
// none: nil.
func parseACL(value string) ([]aclEntry, error) {
	b, le := []byte(value), binary.LittleEndian
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < aclHeadSize || (len(b)-aclHeadSize)%aclEntrySize != 0 || le.Uint32(b) != aclVersion {
		return nil, errACL
	}
	var list []aclEntry
	var seen uint16 // tags so far
	for b = b[aclHeadSize:]; len(b) > 0; b = b[aclEntrySize:] {
		e := aclEntry{le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:])}
		named := e.tag == aclUser || e.tag == aclGroup
		if !aclFollows(e.tag, seen) || e.perm > 7 || named && e.id == aclNoID {
			return nil, errACL
		}
		if !named {
			e.id = aclNoID
		}
		seen |= e.tag
		list = append(list, e)
	}
	if len(list) > 0 && seen&aclOther == 0 {
		return nil, errACL
	}
	return list, nil
}

var errACL = invalid("not a valid access control list")

// aclFollows reports whether an entry with tag may come behind those with the tags in
// seen. Users and groups need a mask behind.
func aclFollows(tag, seen uint16) bool {
	const named = aclUser | aclGroup
	switch tag {
	case aclUserObj:
		return seen == 0
	case aclUser, aclGroupObj:
		return seen&^aclUser == aclUserObj
	case aclGroup, aclMask:
		return seen&aclGroupObj != 0 && seen < aclMask
	case aclOther:
		return seen&aclGroupObj != 0 && seen < aclOther && (seen&named == 0 || seen&aclMask != 0)
	}
	return false
}

func formatACL(list []aclEntry) string {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, aclVersion)
	for _, e := range list {
		b = le.AppendUint16(b, e.tag)
		b = le.AppendUint16(b, e.perm)
		b = le.AppendUint32(b, e.id)
	}
	return string(b)
}

// classes finds the entries that the permission bits of a mode are: of the owner, of the
// group (the mask if there is one) and of others.
func classes(list []aclEntry) (owner, group, other *aclEntry) {
	for i := range list {
		switch e := &list[i]; e.tag {
		case aclUserObj:
			owner = e
		case aclGroupObj, aclMask:
			group = e
		case aclOther:
			other = e
		}
	}
	return owner, group, other
}

// aclMode is mode with the permissions of list (posix_acl_update_mode), and whether list
// says more than a mode can.
func aclMode(list []aclEntry, mode uint16) (uint16, bool) {
	owner, group, other := classes(list)
	more := len(list) > 3
	return mode&^0o777 | owner.perm<<6 | group.perm<<3 | other.perm, more
}

// setMode gives e the mode, and its access control list, as chmod(2) does
// (posix_acl_chmod). A list that is not valid stays as it is.
func setMode(e *tree.Entry, mode uint16) {
	e.Mode = mode
	value, ok := e.Xattr(aclAccess)
	if !ok {
		return
	}
	list, err := parseACL(value)
	if err != nil || list == nil {
		return
	}
	owner, group, other := classes(list)
	owner.perm, group.perm, other.perm = mode>>6&7, mode>>3&7, mode&7
	setXattr(e, aclAccess, formatACL(list))
}
