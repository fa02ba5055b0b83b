package read

import (
	"encoding/binary"
	"sort"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// xattrReader reads xattrs. It reads each shared xattr only once, and no more bytes in all
// than its budget.
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

// read returns the xattrs of ino in byte order of their names. Like Linux, it leaves out
// names that Linux does not know, and takes the first of two xattrs with one name.
func (x *xattrReader) read(ino *inode) ([]tree.Xattr, error) {
	n := disk.XattrBodySize(ino.XattrCount)
	if n == 0 {
		return nil, nil
	}
	off := ino.off + ino.RecordSize()
	if err := x.charge(n, off); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := x.img.read(b, off); err != nil {
		return nil, err
	}
	shared := disk.SharedXattrs(b)
	entries := disk.XattrHeadSize + disk.XattrIDSize*int64(shared)
	if entries > n {
		return nil, corrupt(off, "%d shared xattrs in %d bytes", shared, n)
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
	for at := int64(disk.XattrHeadSize); at < entries; at += disk.XattrIDSize {
		attr, err := x.readShared(binary.LittleEndian.Uint32(b[at:]))
		if err != nil {
			return nil, err
		}
		list = addXattr(list, attr)
	}
	return list, nil
}

// addXattr inserts attr into list, unless list has one with its name, and keeps the order.
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

// decode reads the entry at the beginning of b, which is at off in the image, and returns it
// with its padded length. The Name is empty if Linux does not show it.
func (x *xattrReader) decode(b []byte, off int64) (attr tree.Xattr, k int64, err error) {
	if len(b) < disk.XattrEntrySize {
		return attr, 0, corrupt(off, "xattr is beyond the end of its area")
	}
	entry := disk.DecodeXattrEntry(b)
	if int64(len(b)) < entry.Size() {
		return attr, 0, corrupt(off, "xattr is beyond the end of its area")
	}
	prefix, ok, err := x.img.xattrPrefix(entry.Prefix, off)
	if err != nil {
		return attr, 0, err
	}
	rest := b[disk.XattrEntrySize:entry.Size()]
	if ok {
		attr = tree.Xattr{Name: prefix + string(rest[:entry.NameLen]), Value: string(rest[entry.NameLen:])}
	}
	_, _, whole := disk.SplitXattr(attr.Name) // refuses a prefix alone, and an ACL's name with more after it
	if len(attr.Name) > disk.MaxName || strings.IndexByte(attr.Name, 0) >= 0 || ok && !whole {
		return attr, 0, corrupt(off, "xattr name %q", attr.Name)
	}
	k = disk.RoundUp(entry.Size(), disk.XattrAlign)
	return attr, min(k, int64(len(b))), nil
}

// readShared returns the shared xattr with this id.
func (x *xattrReader) readShared(id uint32) (tree.Xattr, error) {
	if attr, ok := x.shared[id]; ok {
		return attr, nil
	}
	off := int64(x.img.super.XattrBlock)*x.img.bs + disk.XattrIDSize*int64(id)
	var head [disk.XattrEntrySize]byte
	if err := x.img.read(head[:], off); err != nil {
		return tree.Xattr{}, err
	}
	n := disk.DecodeXattrEntry(head[:]).Size()
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

// xattrPrefix returns the prefix with this index, or false if Linux does not show names with
// it. off is the place of the entry, for errors.
func (img *Image) xattrPrefix(index uint8, off int64) (string, bool, error) {
	if index&disk.LongPrefix == 0 {
		prefix, ok := disk.ShortPrefix(index)
		return prefix, ok, nil
	}
	i := int(index &^ disk.LongPrefix)
	if i < len(img.prefixes) {
		return img.prefixes[i], true, nil
	}
	if img.prefixError != nil {
		return "", false, img.prefixError
	}
	return "", false, corrupt(off, "xattr prefix %d of %d", i, len(img.prefixes))
}
