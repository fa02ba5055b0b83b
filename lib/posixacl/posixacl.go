// Package posixacl reads and writes access control lists in the form of system calls, as
// extended attributes have them (linux/posix_acl_xattr.h): a version, then entries of 8
// bytes, in the order of their tags.
//
//	off size field     meaning                         range
//	  0    2 Tag       whom the entry is about         UserObj to Other
//	  2    2 Perm      read 4, write 2, execute 1      at most 7
//	  4    4 ID        of User and Group               NoID for the others
package posixacl

import (
	"encoding/binary"
	"errors"
)

// Access and Default are the names of the attributes that have a list.
const (
	Access  = "system.posix_acl_access"
	Default = "system.posix_acl_default"
)

// Tags of entries, in their order.
const (
	UserObj  = 0x01 // the owner
	User     = 0x02
	GroupObj = 0x04 // the owning group
	Group    = 0x08
	Mask     = 0x10
	Other    = 0x20
)

// NoID is the ID of entries that are not about a User or Group.
const NoID = 1<<32 - 1

// HeadSize is the length of a list without entries.
const HeadSize = 4

const (
	version   = 2
	entrySize = 8
)

// Entry is one entry of a list.
type Entry struct {
	Tag, Perm uint16
	ID        uint32
}

// Named reports whether e is about a User or Group.
func (e Entry) Named() bool { return e.Tag == User || e.Tag == Group }

// ErrInvalid is of a list that setxattr(2) refuses.
var ErrInvalid = errors.New("not a valid access control list")

// Parse takes what setxattr(2) takes (posix_acl_valid), and returns it with NoID where an
// ID does not count. A list without entries, which setxattr takes for none, is nil.
func Parse(value string) (list []Entry, err error) {
	b, le := []byte(value), binary.LittleEndian
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < HeadSize || (len(b)-HeadSize)%entrySize != 0 || le.Uint32(b) != version {
		return nil, ErrInvalid
	}
	var seen uint16 // tags so far
	for b = b[HeadSize:]; len(b) > 0; b = b[entrySize:] {
		e := Entry{le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:])}
		if !follows(e.Tag, seen) || e.Perm > 7 || e.Named() && e.ID == NoID {
			return nil, ErrInvalid
		}
		if !e.Named() {
			e.ID = NoID
		}
		seen |= e.Tag
		list = append(list, e)
	}
	if len(list) > 0 && seen&Other == 0 {
		return nil, ErrInvalid
	}
	return list, nil
}

// follows reports whether an entry with tag may come after those with the tags in seen.
// Users and groups need a mask after them.
func follows(tag, seen uint16) bool {
	switch tag {
	case UserObj:
		return seen == 0
	case User, GroupObj:
		return seen&^User == UserObj
	case Group, Mask:
		return seen&GroupObj != 0 && seen < Mask
	case Other:
		return seen&GroupObj != 0 && seen < Other && (seen&(User|Group) == 0 || seen&Mask != 0)
	}
	return false
}

// Format is the inverse of Parse. It takes entries in any order.
func Format(list []Entry) string {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, HeadSize+len(list)*entrySize), version)
	for _, e := range list {
		b = le.AppendUint16(b, e.Tag)
		b = le.AppendUint16(b, e.Perm)
		b = le.AppendUint32(b, e.ID)
	}
	return string(b)
}
