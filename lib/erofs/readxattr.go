package erofs

import (
	"encoding/binary"
	"sort"
	"strings"

	"ocipipe/lib/tree"
)

// xattrReader reads xattrs, those that are shared once only. What it reads is
// bounded by a budget.
type xattrReader struct {
	img    *Image
	shared map[uint32]tree.Xattr
	budget int64
}

func (x *xattrReader) charge(n, off int64) error {
	if x.budget -= n; x.budget < 0 {
		return corrupt(off, "metadata overlaps: there is more of it than the image holds")
	}
	return nil
}

// read returns the xattrs of ino in byte order of their names. Those with a name
// that Linux does not know are left out, as it does; of two with one name the
// first counts.
func (x *xattrReader) read(ino *foundInode) ([]tree.Xattr, error) {
	n := xattrBodySize(ino.xattrCount)
	if n == 0 {
		return nil, nil
	}
	off := ino.off + ino.recordSize()
	if err := x.charge(n, off); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := x.img.read(b, off); err != nil {
		return nil, err
	}
	entries := xattrHeadSize + xattrIDSize*int64(b[4])
	if entries > n {
		return nil, corrupt(off, "%d shared xattrs in %d bytes", b[4], n)
	}
	var list []tree.Xattr
	for at := entries; at < n; {
		attr, k, err := x.decode(b[at:], off+at)
		if err != nil {
			return nil, err
		}
		list = addXattr(list, attr)
		at += k
	}
	for at := int64(xattrHeadSize); at < entries; at += xattrIDSize {
		attr, err := x.readShared(binary.LittleEndian.Uint32(b[at:]))
		if err != nil {
			return nil, err
		}
		list = addXattr(list, attr)
	}
	return list, nil
}

// addXattr puts attr into its place in list.
func addXattr(list []tree.Xattr, attr tree.Xattr) []tree.Xattr {
	i := sort.Search(len(list), func(i int) bool { return list[i].Name >= attr.Name })
	if attr.Name == "" || i < len(list) && list[i].Name == attr.Name {
		return list
	}
	list = append(list, tree.Xattr{})
	copy(list[i+1:], list[i:])
	list[i] = attr
	return list
}

// decode reads the entry that begins b and is padded to k bytes. Its Name is empty
// if Linux does not show it.
func (x *xattrReader) decode(b []byte, off int64) (attr tree.Xattr, k int64, err error) {
	if len(b) < xattrEntSize {
		return attr, 0, corrupt(off, "xattr is beyond the end of its area")
	}
	name, value := int(b[0]), int(binary.LittleEndian.Uint16(b[2:]))
	if len(b)-xattrEntSize < name+value {
		return attr, 0, corrupt(off, "xattr is beyond the end of its area")
	}
	prefix, ok, err := x.img.xattrPrefix(b[1], off)
	if err != nil {
		return attr, 0, err
	}
	rest := b[xattrEntSize : xattrEntSize+name+value]
	if ok {
		attr = tree.Xattr{Name: prefix + string(rest[:name]), Value: string(rest[name:])}
	}
	_, _, whole := splitXattr(attr.Name) // a prefix alone is no name, nor is more than an ACL's
	if len(attr.Name) > nameMax || strings.IndexByte(attr.Name, 0) >= 0 || ok && !whole {
		return attr, 0, corrupt(off, "xattr name %q", attr.Name)
	}
	k = roundUp(int64(xattrEntSize+name+value), xattrAlign)
	return attr, min(k, int64(len(b))), nil
}

// readShared reads the shared xattr id.
func (x *xattrReader) readShared(id uint32) (tree.Xattr, error) {
	if attr, ok := x.shared[id]; ok {
		return attr, nil
	}
	off := int64(x.img.super.XattrBlock)*x.img.bs + xattrIDSize*int64(id)
	var head [xattrEntSize]byte
	if err := x.img.read(head[:], off); err != nil {
		return tree.Xattr{}, err
	}
	n := xattrEntSize + int64(head[0]) + int64(binary.LittleEndian.Uint16(head[2:]))
	if err := x.charge(n, off); err != nil {
		return tree.Xattr{}, err
	}
	b := make([]byte, n)
	if err := x.img.read(b, off); err != nil {
		return tree.Xattr{}, err
	}
	attr, _, err := x.decode(b, off)
	if err != nil {
		return attr, err
	}
	if x.shared == nil {
		x.shared = make(map[uint32]tree.Xattr)
	}
	x.shared[id] = attr
	return attr, nil
}

// xattrPrefix is what index stands for.
func (img *Image) xattrPrefix(index uint8, off int64) (string, bool, error) {
	if index&longPrefix == 0 {
		prefix, ok := shortPrefix(index)
		return prefix, ok, nil
	}
	i := int(index &^ longPrefix)
	if i < len(img.prefixes) {
		return img.prefixes[i], true, nil
	}
	if img.noPrefix != nil {
		return "", false, img.noPrefix
	}
	return "", false, corrupt(off, "xattr prefix %d of %d", i, len(img.prefixes))
}

// shortPrefix is the prefix with this index, if Linux shows names that have it.
func shortPrefix(index uint8) (string, bool) {
	if index == 0 || int(index) >= len(xattrPrefixes) || index == lustrePrefix {
		return "", false
	}
	return xattrPrefixes[index].name, true
}
