package disk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ocipipe/lib/posixacl"
	"ocipipe/lib/tree"
)

// XattrReader reads xattrs from inodes and blocks.
type XattrReader struct {
	// Value returns the value of an xattr that is in an inode of its own. It is called only
	// with sizes up to XattrMaxValue. nil: such a value is an error.
	Value func(ino, size uint32) (string, error)
}

// AppendInode appends to list the xattrs in area, the part of an inode after its fields. An
// area without the magic number has none.
func (r *XattrReader) AppendInode(list []tree.Xattr, area []byte) ([]tree.Xattr, error) {
	if !hasInodeXattrs(area) {
		return list, nil
	}
	return r.append(list, area, XattrMagicSize, XattrMagicSize)
}

func hasInodeXattrs(area []byte) bool {
	return len(area) >= XattrMagicSize && binary.LittleEndian.Uint32(area) == xattrMagic
}

// AppendBlock appends to list the xattrs in a block. It leaves the checksum of the block to
// the caller.
func (r *XattrReader) AppendBlock(list []tree.Xattr, block []byte) ([]tree.Xattr, error) {
	var head XattrHead
	head.Decode(block)
	if head.Magic != xattrMagic || head.Blocks != 1 || head.Refs == 0 || head.Refs > XattrMaxRefs {
		return nil, Broken("block of xattrs with the magic number %#08x, %d blocks and %d users", head.Magic, head.Blocks, head.Refs)
	}
	return r.append(list, block, XattrHeadSize, 0)
}

// append reads entries from byte at of b on; offsets of values count from byte base. It leaves
// out names that Linux does not show.
func (r *XattrReader) append(list []tree.Xattr, b []byte, at, base int) ([]tree.Xattr, error) {
	err := eachXattr(b, at, base, func(e *xattrEntry, name string, value []byte) error {
		text := string(value)
		if e.ValueIno != 0 {
			var err error
			if text, err = r.apart(e, name); err != nil {
				return err
			}
		}
		x, known, err := loadXattr(e.Index, name, text)
		if known && err == nil {
			list = append(list, x)
		}
		return err
	})
	return list, err
}

// apart returns the value of an xattr that is in an inode of its own.
func (r *XattrReader) apart(e *xattrEntry, name string) (string, error) {
	switch {
	case r.Value == nil:
		return "", fmt.Errorf("%w: value of an xattr in inode %d", ErrUnsupported, e.ValueIno)
	case e.ValueSize > XattrMaxValue:
		return "", Broken("xattr %q with %d bytes in inode %d", name, e.ValueSize, e.ValueIno)
	}
	return r.Value(e.ValueIno, e.ValueSize)
}

// eachXattr calls fn for the entries from byte at of b on; offsets of values count from byte
// base. The value is nil if it is in an inode. eachXattr refuses values that together are
// longer than b.
func eachXattr(b []byte, at, base int, fn func(e *xattrEntry, name string, value []byte) error) error {
	left := len(b)
	for {
		if len(b)-at < xattrEndSize {
			return Broken("xattrs do not end within their %d bytes", len(b))
		}
		if binary.LittleEndian.Uint32(b[at:]) == 0 {
			return nil
		}
		if len(b)-at < xattrEntSize {
			return Broken("xattr at byte %d of %d", at, len(b))
		}
		var entry xattrEntry
		entry.Decode(b[at:])
		next := at + xattrEntSize + padXattr(int(entry.NameLen))
		from, size := base+int(entry.ValueOff), entry.ValueSize
		if entry.ValueIno != 0 {
			size = 0
		}
		if next > len(b) || size > uint32(left) || size > 0 && (from < next || from+int(size) > len(b)) {
			return Broken("xattr at byte %d of %d with %d bytes at %d", at, len(b), size, from)
		}
		var value []byte
		if size > 0 {
			value = b[from:][:size]
		}
		if err := fn(&entry, string(b[at+xattrEntSize:][:entry.NameLen]), value); err != nil {
			return err
		}
		left -= len(value)
		at = next
	}
}

// InlineData returns what area, the part of an inode after its fields, has of the content of
// an inode with FlagInlineData, after the first InlineMin bytes: the value of the xattr
// system.data.
func InlineData(area []byte) (data []byte, err error) {
	if !hasInodeXattrs(area) {
		return nil, nil
	}
	err = eachXattr(area, XattrMagicSize, XattrMagicSize, func(e *xattrEntry, name string, value []byte) error {
		if e.Index == xattrSystem && name == inlineName {
			if e.ValueIno != 0 {
				return Broken("inline data in inode %d", e.ValueIno)
			}
			data = value
		}
		return nil
	})
	return data, err
}

// loadXattr is the inverse of storeXattrs for one xattr; known is false if Linux does not
// show it.
func loadXattr(index uint8, rest, value string) (x tree.Xattr, known bool, err error) {
	name, known, ok := joinXattr(index, rest)
	if !ok {
		return x, false, Broken("xattr name %q after prefix %d", rest, index)
	}
	x = tree.Xattr{Name: name, Value: value}
	if IsACL(index) {
		if x.Value, err = unpackACL([]byte(value)); err != nil {
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
// names with bytes above 127, whose hashes depend on the kernel, and values in inodes.
func CheckXattrHashes(block []byte) error {
	for at := XattrHeadSize; binary.LittleEndian.Uint32(block[at:]) != 0; {
		var e xattrEntry
		e.Decode(block[at:])
		name := string(block[at+xattrEntSize:][:e.NameLen])
		if e.ValueIno != 0 {
			at += xattrEntSize + padXattr(int(e.NameLen))
			continue
		}
		value := block[e.ValueOff:][:e.ValueSize]
		if strings.IndexFunc(name, func(r rune) bool { return r > 127 }) < 0 && e.Hash != hashXattr(name, value) {
			return Broken("xattr %q has hash %#08x, says %#08x", name, hashXattr(name, value), e.Hash)
		}
		at += xattrEntSize + padXattr(int(e.NameLen))
	}
	return nil
}
