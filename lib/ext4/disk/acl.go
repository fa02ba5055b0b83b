package disk

import (
	"encoding/binary"
	"errors"

	"ocipipe/lib/posixacl"
)

// Access control lists have two forms: that of system calls, and so of tree.Xattr, for
// which there is package posixacl, and that of ext4 (fs/ext4/acl.h), which has another
// version, and leaves out the ID of entries that have none.
const (
	aclDiskVersion = 1
	aclHeadSize    = 4
	aclEntrySize   = 8
	aclShortSize   = 4
)

// ErrACL is of an access control list that setxattr would not take, or that no kernel has
// written.
var ErrACL = errors.New("no valid access control list")

// packACL turns the form of system calls into that of ext4. It takes what setxattr
// takes (posix_acl_valid). A list without entries, which setxattr takes for none, is
// nil.
func packACL(value string) ([]byte, error) {
	list, err := posixacl.Parse(value)
	switch {
	case err != nil:
		return nil, ErrACL
	case list == nil:
		return nil, nil
	}
	le := binary.LittleEndian
	out := le.AppendUint32(nil, aclDiskVersion)
	for _, e := range list {
		out = le.AppendUint16(le.AppendUint16(out, e.Tag), e.Perm)
		if e.Named() {
			out = le.AppendUint32(out, e.ID)
		}
	}
	return out, nil
}

// NormalACL is a list in the form of system calls as they will show it: with no ID where
// none counts. One without entries is empty.
func NormalACL(value string) (string, error) {
	list, err := posixacl.Parse(value)
	switch {
	case err != nil:
		return "", ErrACL
	case list == nil:
		return "", nil
	}
	return posixacl.Format(list), nil
}

// unpackACL is the inverse of packACL. It takes what the kernel takes from a disk
// (ext4_acl_from_disk), in any order.
func unpackACL(b []byte) (string, error) {
	le := binary.LittleEndian
	if len(b) < aclHeadSize || le.Uint32(b) != aclDiskVersion {
		return "", ErrACL
	}
	var list []posixacl.Entry
	for b = b[aclHeadSize:]; len(b) > 0; {
		if len(b) < aclShortSize {
			return "", ErrACL
		}
		e, size := posixacl.Entry{Tag: le.Uint16(b), Perm: le.Uint16(b[2:]), ID: posixacl.NoID}, aclShortSize
		switch e.Tag {
		case posixacl.UserObj, posixacl.GroupObj, posixacl.Mask, posixacl.Other:
		case posixacl.User, posixacl.Group:
			if size = aclEntrySize; len(b) < size {
				return "", ErrACL
			}
			e.ID = le.Uint32(b[4:])
		default:
			return "", ErrACL
		}
		list, b = append(list, e), b[size:]
	}
	return posixacl.Format(list), nil
}
