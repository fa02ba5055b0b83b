package disk

import (
	"encoding/binary"
	"fmt"
	"strings"

	"ocipipe/lib/tree"
)

// The bytes after an inode that has xattrs (struct erofs_xattr_ibody_header and
// erofs_xattr_entry):
//
//	 0   4  name filter: a set bit says that no name has this hash
//	 4   1  number of shared ids
//	 5   7  0
//	12  4*n shared ids: (offset of the entry from XattrBlock) / 4
//	 -   -  entries, each padded to 4 bytes:
//	        0 1 length of name, 1 1 index of prefix, 2 2 length of value, name, value
//
// The inode's XattrCount is 1 + (number of these bytes - 12) / 4, or 0 if it has no xattrs.
const (
	XattrHeadSize  = 12
	XattrEntrySize = 4 // of an entry before its name
	XattrIDSize    = 4
	XattrAlign     = 4
	MaxXattrBody   = XattrHeadSize + XattrAlign*(1<<16-2)
	MaxXattrShared = 255
	MaxXattrValue  = 1<<16 - 1
	LongPrefix     = 0x80 // bit of a prefix index: its other bits are an index of the long prefixes
)

// xattrPrefixes are the prefixes that the format has numbers for. With whole set, the
// prefix is the whole name. Number 5 is "lustre.", which Linux does not show.
var xattrPrefixes = [...]struct {
	name  string
	whole bool
}{
	1: {"user.", false},
	2: {"system.posix_acl_access", true},
	3: {"system.posix_acl_default", true},
	4: {"trusted.", false},
	5: {"lustre.", false},
	6: {"security.", false},
}

const lustrePrefix = 5

// ShortPrefix returns the prefix with this index. It returns false if the format has none,
// or Linux does not show names with it.
func ShortPrefix(index uint8) (string, bool) {
	if index == 0 || int(index) >= len(xattrPrefixes) || index == lustrePrefix {
		return "", false
	}
	return xattrPrefixes[index].name, true
}

// SplitXattr splits name into the index of its prefix and the rest; ok is false if the
// format has no number for the prefix, or Linux would not show the name.
func SplitXattr(name string) (index uint8, rest string, ok bool) {
	for i, p := range xattrPrefixes {
		if i == 0 || i == lustrePrefix {
			continue
		}
		if rest, found := strings.CutPrefix(name, p.name); found && (rest == "") == p.whole {
			return uint8(i), rest, true
		}
	}
	return 0, "", false
}

// XattrSize is the length in bytes of the entry of x, with padding. The name must have a
// prefix that the format has a number for.
func XattrSize(x tree.Xattr) int64 {
	_, rest, _ := SplitXattr(x.Name)
	return RoundUp(int64(XattrEntrySize+len(rest)+len(x.Value)), XattrAlign)
}

// AppendXattr appends the entry of x, XattrSize bytes, to b.
func AppendXattr(b []byte, x tree.Xattr) []byte {
	index, rest, _ := SplitXattr(x.Name)
	b = append(b, uint8(len(rest)), index)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(x.Value)))
	b = append(append(b, rest...), x.Value...)
	for len(b)%XattrAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// CheckXattr returns an error if the name or the value of x is too long for the format.
func CheckXattr(x tree.Xattr) error {
	if len(x.Name) > MaxName {
		return fmt.Errorf("xattr %s: name of %d bytes, over the %d of the format", x.Name, len(x.Name), MaxName)
	}
	if len(x.Value) > MaxXattrValue {
		return fmt.Errorf("xattr %s: value of %d bytes, over the %d of the format", x.Name, len(x.Value), MaxXattrValue)
	}
	return nil
}

// XattrCount is the XattrCount of an inode that is followed by n bytes of xattrs.
func XattrCount(n int64) uint16 {
	if n == 0 {
		return 0
	}
	return uint16(1 + (n-XattrHeadSize)/XattrAlign)
}

// XattrBodySize is the inverse of XattrCount: the number of bytes of xattrs.
func XattrBodySize(count uint16) int64 {
	if count == 0 {
		return 0
	}
	return XattrHeadSize + XattrAlign*(int64(count)-1)
}

// AppendXattrHead appends to b the header of the bytes after an inode: the name filter and
// the shared ids, at most MaxXattrShared.
func AppendXattrHead(b []byte, filter uint32, ids []uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, filter)
	b = append(b, uint8(len(ids)), 0, 0, 0, 0, 0, 0, 0)
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// SharedXattrs is the number of shared ids that follow the header b.
func SharedXattrs(b []byte) int { return int(b[4]) }

// XattrEntry is the beginning of an entry, which the name and the value follow.
type XattrEntry struct {
	NameLen, ValueLen int
	Prefix            uint8 // index
}

// DecodeXattrEntry decodes the first XattrEntrySize bytes of b.
func DecodeXattrEntry(b []byte) XattrEntry {
	return XattrEntry{NameLen: int(b[0]), Prefix: b[1], ValueLen: int(binary.LittleEndian.Uint16(b[2:]))}
}

// Size is the length of the entry in bytes, without padding.
func (e XattrEntry) Size() int64 { return int64(XattrEntrySize + e.NameLen + e.ValueLen) }

// filterSeed is XATTR_FILTER_SEED of the kernel; the prefix index is added to it.
const filterSeed = 0x25BBE08F

// NameFilter is the Bloom filter over the names of xs: 32 bits, of which the bit of each
// name is clear.
func NameFilter(xs []tree.Xattr) uint32 {
	filter := ^uint32(0)
	for _, x := range xs {
		index, rest, _ := SplitXattr(x.Name)
		filter &^= 1 << filterBit(index, rest)
	}
	return filter
}

// filterBit is the bit of a name in the filter.
func filterBit(index uint8, rest string) uint32 {
	return xxh32(rest, filterSeed+uint32(index)) & 31
}
