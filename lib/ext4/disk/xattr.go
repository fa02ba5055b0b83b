package disk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// xattrPrefixes are the prefixes of the names that Linux shows to programs. With whole set,
// the prefix is the whole name. The format has a number for "system.", too, but Linux
// shows only access control lists of that name space.
var xattrPrefixes = [...]struct {
	index uint8
	name  string
	whole bool
}{
	{xattrUser, "user.", false},
	{xattrACLAccess, "system.posix_acl_access", true},
	{xattrACLDefault, "system.posix_acl_default", true},
	{xattrTrusted, "trusted.", false},
	{xattrSecurity, "security.", false},
}

// SplitXattr divides name into the number of its prefix and the rest; ok is false if the
// format cannot store such a name.
func SplitXattr(name string) (index uint8, rest string, ok bool) {
	for _, p := range xattrPrefixes {
		if rest, found := strings.CutPrefix(name, p.name); found && (rest == "") == p.whole {
			return p.index, rest, true
		}
	}
	return 0, "", false
}

// IsACL reports whether index is that of an access control list, whose value is stored in
// a form of its own.
func IsACL(index uint8) bool { return index == xattrACLAccess || index == xattrACLDefault }

// storedXattr is an xattr in the form in which it is stored.
type storedXattr struct {
	index uint8
	name  string // without the prefix
	value []byte
	from  *tree.Xattr
}

// size is how many bytes x takes in an inode or block.
func (x *storedXattr) size() int {
	return xattrEntSize + padXattr(len(x.name)) + padXattr(len(x.value))
}

func padXattr(n int) int { return (n + xattrAlign - 1) &^ (xattrAlign - 1) }

// xattrBlockRoom is how many bytes all xattrs in a block may take.
const xattrBlockRoom = BlockSize - XattrHeadSize - xattrEndSize

// PlanXattrs encodes xs: in the inode, in an area of room bytes, if all of them fit there;
// else in a block; or in both if the block alone is too small. inline is the area, block
// the block; one that is not needed is nil. The block has a count of one inode and no
// checksum: see SetXattrRefs and SealXattrBlock. Equal xs make equal blocks.
func PlanXattrs(xs []tree.Xattr, room int) (inline, block []byte, err error) {
	stored, err := storeXattrs(xs)
	if err != nil {
		return nil, nil, err
	}
	room -= XattrMagicSize + xattrEndSize
	inside, outside := stored, []storedXattr(nil)
	if total := xattrsSize(stored); total > room {
		inside, outside = nil, stored
		if total > xattrBlockRoom {
			inside, outside = divideXattrs(stored, room)
		}
	}
	if total := xattrsSize(outside); total > xattrBlockRoom {
		large := slices.MaxFunc(outside, func(a, b storedXattr) int { return cmp.Compare(a.size(), b.size()) })
		return nil, nil, fmt.Errorf("xattr %s: value of %d bytes; all that do not fit into the inode take %d, over the %d of a block",
			large.from.Name, len(large.value), total, xattrBlockRoom)
	}
	if len(inside) > 0 {
		inline = make([]byte, room+XattrMagicSize+xattrEndSize)
		binary.LittleEndian.PutUint32(inline, xattrMagic)
		encodeXattrs(inline, inside, XattrMagicSize, XattrMagicSize)
	}
	if len(outside) > 0 {
		block = make([]byte, BlockSize)
		hash := encodeXattrs(block, outside, XattrHeadSize, 0)
		(&XattrHead{Magic: xattrMagic, Refs: 1, Blocks: 1, Hash: hash}).Encode(block)
	}
	return inline, block, nil
}

// storeXattrs turns xs into the form in which they are stored, in the order of a block.
func storeXattrs(xs []tree.Xattr) ([]storedXattr, error) {
	stored := make([]storedXattr, 0, len(xs))
	for i := range xs {
		x := &xs[i]
		index, rest, ok := SplitXattr(x.Name)
		if !ok || len(x.Name) > nameMax {
			return nil, fmt.Errorf("xattr %s: no name that the format knows", x.Name)
		}
		value := []byte(x.Value)
		if IsACL(index) {
			var err error
			if value, err = packACL(x.Value); err != nil {
				return nil, fmt.Errorf("xattr %s: %w", x.Name, err)
			}
		}
		stored = append(stored, storedXattr{index, rest, value, x})
	}
	slices.SortFunc(stored, func(a, b storedXattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
	})
	return stored, nil
}

func xattrsSize(xs []storedXattr) (n int) {
	for i := range xs {
		n += xs[i].size()
	}
	return n
}

// divideXattrs divides xs: in order, each one that still fits into room bytes goes inside
// the inode, the others outside.
func divideXattrs(xs []storedXattr, room int) (inside, outside []storedXattr) {
	for _, x := range xs {
		if n := x.size(); n <= room {
			inside, room = append(inside, x), room-n
		} else {
			outside = append(outside, x)
		}
	}
	return inside, outside
}

// encodeXattrs writes entries to b from byte at on, and values from the end of b backwards.
// Offsets of values count from byte base. Entries have hashes only in a block, whose base
// is 0; encodeXattrs returns the hash of the block.
func encodeXattrs(b []byte, xs []storedXattr, at, base int) (hash uint32) {
	end := len(b)
	for _, x := range xs {
		entry := xattrEntry{NameLen: uint8(len(x.name)), Index: x.index, ValueSize: uint32(len(x.value))}
		if len(x.value) > 0 {
			end -= padXattr(len(x.value))
			copy(b[end:], x.value)
			entry.ValueOff = uint16(end - base)
		}
		if base == 0 {
			entry.Hash = hashXattr(x.name, x.value)
			hash = hash<<16 ^ hash>>16 ^ entry.Hash
		}
		entry.Encode(b[at:])
		copy(b[at+xattrEntSize:], x.name)
		at += xattrEntSize + padXattr(len(x.name))
	}
	return hash
}

// hashXattr is the hash of an entry (ext4_xattr_hash_entry): over the name, then over the
// value in words.
func hashXattr(name string, value []byte) (hash uint32) {
	for i := range len(name) {
		hash = hash<<5 ^ hash>>27 ^ uint32(name[i])
	}
	for len(value) > 0 {
		var word [4]byte
		value = value[copy(word[:], value):]
		hash = hash<<16 ^ hash>>16 ^ binary.LittleEndian.Uint32(word[:])
	}
	return hash
}

// SetXattrRefs stores in a block of xattrs that n inodes use it, at most XattrMaxRefs.
func SetXattrRefs(block []byte, n uint32) {
	var head XattrHead
	head.Decode(block)
	head.Refs = n
	head.Encode(block)
}

// SealXattrBlock stores the checksum of a block of xattrs. at is the number of the block
// where it will be.
func SealXattrBlock(block []byte, at uint64, s Seed) {
	var head XattrHead
	head.Decode(block)
	head.Checksum = s.XattrBlock(at, block)
	head.Encode(block)
}
