package erofs

import (
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// xattrTable holds the xattrs that are stored once for all inodes that have them.
type xattrTable struct {
	ids   map[tree.Xattr]*sharedXattr
	order []*sharedXattr // as they were counted
	size  int64          // of all shared entries
	used  bool           // an inode has an xattr, shared or not
}

type sharedXattr struct {
	tree.Xattr
	count int64
	id    uint32
}

// count notes an inode with these xattrs.
func (t *xattrTable) count(xs []tree.Xattr) {
	if len(xs) > 0 && t.ids == nil {
		t.ids, t.used = make(map[tree.Xattr]*sharedXattr), true
	}
	for _, x := range xs {
		s := t.ids[x]
		if s == nil {
			s = &sharedXattr{Xattr: x}
			t.ids[x] = s
			t.order = append(t.order, s)
		}
		s.count++
	}
}

// choose keeps those whose sharing saves bytes: one entry and an id in each inode
// instead of an entry in each inode.
func (t *xattrTable) choose() {
	all := t.order
	t.order = nil
	for _, s := range all {
		if n := disk.XattrSize(s.Xattr); s.count*disk.XattrIDSize+n >= s.count*n {
			delete(t.ids, s.Xattr)
			continue
		}
		s.id = uint32(t.size / disk.XattrAlign) // relative: place adds where the table lies
		t.size += disk.XattrSize(s.Xattr)
		t.order = append(t.order, s)
	}
}

// place moves the table off bytes behind XattrBlock.
func (t *xattrTable) place(off int64) {
	for _, s := range t.order {
		s.id += uint32(off / disk.XattrAlign)
	}
}

// encode returns the bytes of the table.
func (t *xattrTable) encode() []byte {
	b := make([]byte, 0, t.size)
	for _, s := range t.order {
		b = disk.AppendXattr(b, s.Xattr)
	}
	return b
}

// bodySize is the number of bytes that xs take behind their inode. The first 255 that are
// in the table are shared.
func (t *xattrTable) bodySize(xs []tree.Xattr) int64 {
	if len(xs) == 0 {
		return 0
	}
	n, shared := int64(disk.XattrHeadSize), 0
	for _, x := range xs {
		if t.ids[x] != nil && shared < disk.MaxXattrShared {
			shared++
			n += disk.XattrIDSize
		} else {
			n += disk.XattrSize(x)
		}
	}
	return n
}

// appendBody appends the bodySize bytes of xs.
func (t *xattrTable) appendBody(b []byte, xs []tree.Xattr) []byte {
	if len(xs) == 0 {
		return b
	}
	ids := make([]uint32, 0, disk.MaxXattrShared)
	for _, x := range xs {
		if s := t.ids[x]; s != nil && len(ids) < disk.MaxXattrShared {
			ids = append(ids, s.id)
		}
	}
	b = disk.AppendXattrHead(b, disk.NameFilter(xs), ids)
	shared := len(ids)
	for _, x := range xs {
		if t.ids[x] != nil && shared > 0 {
			shared--
			continue
		}
		b = disk.AppendXattr(b, x)
	}
	return b
}
