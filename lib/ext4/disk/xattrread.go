package disk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

// AppendInodeXattrs appends to list the xattrs in area, the part of an inode after its
// fields. An area without the magic number has none.
func AppendInodeXattrs(list []tree.Xattr, area []byte) ([]tree.Xattr, error) {
	if len(area) < XattrMagicSize || binary.LittleEndian.Uint32(area) != xattrMagic {
		return list, nil
	}
	return appendXattrs(list, area, XattrMagicSize, XattrMagicSize)
}

// AppendBlockXattrs appends to list the xattrs in a block. It leaves the checksum of the
// block to the caller.
func AppendBlockXattrs(list []tree.Xattr, block []byte) ([]tree.Xattr, error) {
	var head XattrHead
	head.Decode(block)
	if head.Magic != xattrMagic || head.Blocks != 1 || head.Refs == 0 || head.Refs > XattrMaxRefs {
		return nil, Broken("block of xattrs with the magic number %#08x, %d blocks and %d users", head.Magic, head.Blocks, head.Refs)
	}
	return appendXattrs(list, block, XattrHeadSize, 0)
}

// appendXattrs reads entries from byte at of b on; offsets of values count from byte base.
// It leaves out names that Linux does not show. It refuses values that together are longer
// than b.
func appendXattrs(list []tree.Xattr, b []byte, at, base int) ([]tree.Xattr, error) {
	left := len(b)
	for {
		if len(b)-at < xattrEndSize {
			return nil, Broken("xattrs do not end within their %d bytes", len(b))
		}
		if binary.LittleEndian.Uint32(b[at:]) == 0 {
			return list, nil
		}
		if len(b)-at < xattrEntSize {
			return nil, Broken("xattr at byte %d of %d", at, len(b))
		}
		var entry xattrEntry
		entry.Decode(b[at:])
		next := at + xattrEntSize + padXattr(int(entry.NameLen))
		if entry.ValueIno != 0 {
			return nil, fmt.Errorf("%w: value of an xattr in inode %d", ErrUnsupported, entry.ValueIno)
		}
		from := base + int(entry.ValueOff)
		if next > len(b) || entry.ValueSize > uint32(left) || entry.ValueSize > 0 && (from < next || from+int(entry.ValueSize) > len(b)) {
			return nil, Broken("xattr at byte %d of %d with %d bytes at %d", at, len(b), entry.ValueSize, from)
		}
		var value []byte
		if entry.ValueSize > 0 {
			value = b[from:][:entry.ValueSize]
		}
		x, known, err := loadXattr(entry.Index, string(b[at+xattrEntSize:][:entry.NameLen]), value)
		if err != nil {
			return nil, err
		}
		if known {
			list = append(list, x)
		}
		left -= len(value)
		at = next
	}
}

// loadXattr is the inverse of storeXattrs for one xattr; known is false if Linux does not
// show it.
func loadXattr(index uint8, rest string, value []byte) (x tree.Xattr, known bool, err error) {
	name, known, ok := joinXattr(index, rest)
	if !ok {
		return x, false, Broken("xattr name %q after prefix %d", rest, index)
	}
	x = tree.Xattr{Name: name, Value: string(value)}
	if IsACL(index) {
		if x.Value, err = unpackACL(value); err != nil {
			return x, false, Broken("xattr %s: %s", name, err)
		}
		known = len(x.Value) > posixacl.HeadSize // Linux does not show a list without entries
	}
	return x, known, nil
}

// joinXattr is the inverse of SplitXattr; known is false if Linux does not show names with
// index, ok is false if no name with index can have rest.
func joinXattr(index uint8, rest string) (name string, known, ok bool) {
	for _, p := range xattrPrefixes {
		if p.index == index {
			return p.name + rest, true, (rest == "") == p.whole && len(p.name)+len(rest) <= nameMax && strings.IndexByte(rest, 0) < 0
		}
	}
	return "", false, true
}

// SortXattrs sorts list into the order of tree.Entry.Xattrs, in place. Of two xattrs with
// one name it keeps the first.
func SortXattrs(list []tree.Xattr) []tree.Xattr {
	slices.SortStableFunc(list, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b tree.Xattr) bool { return a.Name == b.Name })
}

// CheckXattrHashes checks the hashes of the entries in a valid block of xattrs. It skips
// names with bytes above 127, whose hashes depend on the kernel.
func CheckXattrHashes(block []byte) error {
	for at := XattrHeadSize; binary.LittleEndian.Uint32(block[at:]) != 0; {
		var e xattrEntry
		e.Decode(block[at:])
		name := string(block[at+xattrEntSize:][:e.NameLen])
		value := block[e.ValueOff:][:e.ValueSize]
		if strings.IndexFunc(name, func(r rune) bool { return r > 127 }) < 0 && e.Hash != hashXattr(name, value) {
			return Broken("xattr %q has hash %#08x, says %#08x", name, hashXattr(name, value), e.Hash)
		}
		at += xattrEntSize + padXattr(int(e.NameLen))
	}
	return nil
}
