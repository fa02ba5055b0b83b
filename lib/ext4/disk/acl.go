package disk

import (
	"encoding/binary"
	"errors"
)

// Access control lists have two forms. System calls, and so tree.Xattr, have that
// of linux/posix_acl_xattr.h: a version, then entries of 8 bytes,
//
//	off size field     meaning                         range
//	  0    2 Tag       whom the entry is about         aclUserObj to aclOther
//	  2    2 Perm      read 4, write 2, execute 1      at most 7
//	  4    4 ID        of aclUser and aclGroup         0xFFFFFFFF for the others
//
// ext4 (fs/ext4/acl.h) has another version, and leaves out the ID of those that
// have none.
const (
	aclVersion     = 2
	aclDiskVersion = 1
	aclHeadSize    = 4
	aclEntrySize   = 8
	aclShortSize   = 4
	aclNoID        = 1<<32 - 1
)

const (
	aclUserObj  = 0x01 // the owner
	aclUser     = 0x02
	aclGroupObj = 0x04 // the owning group
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// ErrACL is of an access control list that setxattr would not take, or that no kernel has
// written.
var ErrACL = errors.New("no valid access control list")

// packACL turns the form of system calls into that of ext4. It takes what setxattr
// takes (posix_acl_valid). A list without entries, which setxattr takes for none, is
// nil.
func packACL(value string) ([]byte, error) {
	b, le := []byte(value), binary.LittleEndian
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < aclHeadSize || (len(b)-aclHeadSize)%aclEntrySize != 0 || le.Uint32(b) != aclVersion {
		return nil, ErrACL
	}
	if b = b[aclHeadSize:]; len(b) == 0 {
		return nil, nil
	}
	out := le.AppendUint32(nil, aclDiskVersion)
	var seen uint16 // tags so far
	for ; len(b) > 0; b = b[aclEntrySize:] {
		tag, id := le.Uint16(b), le.Uint32(b[4:])
		if !aclFollows(tag, seen) || le.Uint16(b[2:]) > 7 {
			return nil, ErrACL
		}
		out = append(out, b[:aclShortSize]...)
		if tag == aclUser || tag == aclGroup {
			if id == aclNoID {
				return nil, ErrACL
			}
			out = le.AppendUint32(out, id)
		}
		seen |= tag
	}
	if seen&aclOther == 0 {
		return nil, ErrACL
	}
	return out, nil
}

// NormalACL is a list in the form of system calls as they will show it: with no ID where
// none counts. One without entries is empty.
func NormalACL(value string) (string, error) {
	b, err := packACL(value)
	if b == nil {
		return "", err
	}
	return unpackACL(b)
}

// aclFollows reports whether an entry with tag may come behind those with the tags
// in seen. They come in order of their tags; users and groups need a mask behind.
func aclFollows(tag, seen uint16) bool {
	switch tag {
	case aclUserObj:
		return seen == 0
	case aclUser:
		return seen == aclUserObj || seen == aclUserObj|aclUser
	case aclGroupObj:
		return seen&^aclUser == aclUserObj
	case aclGroup:
		return seen&aclGroupObj != 0 && seen < aclMask
	case aclMask:
		return seen&aclGroupObj != 0 && seen < aclMask
	case aclOther:
		return seen&aclGroupObj != 0 && seen < aclOther && (seen&(aclUser|aclGroup) == 0 || seen&aclMask != 0)
	}
	return false
}

// unpackACL is the inverse of packACL. It takes what the kernel takes from a disk
// (ext4_acl_from_disk), in any order.
func unpackACL(b []byte) (string, error) {
	le := binary.LittleEndian
	if len(b) < aclHeadSize || le.Uint32(b) != aclDiskVersion {
		return "", ErrACL
	}
	out := le.AppendUint32(nil, aclVersion)
	for b = b[aclHeadSize:]; len(b) > 0; {
		if len(b) < aclShortSize {
			return "", ErrACL
		}
		size, id := aclShortSize, uint32(aclNoID)
		switch le.Uint16(b) {
		case aclUserObj, aclGroupObj, aclMask, aclOther:
		case aclUser, aclGroup:
			if size = aclEntrySize; len(b) < size {
				return "", ErrACL
			}
			id = le.Uint32(b[4:])
		default:
			return "", ErrACL
		}
		out = le.AppendUint32(append(out, b[:aclShortSize]...), id)
		b = b[size:]
	}
	return string(out), nil
}
