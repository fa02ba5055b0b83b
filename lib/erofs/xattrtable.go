package erofs

import (
	"hash/maphash"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// xattrTable holds the xattrs that are stored once for all inodes that have them. The caller
// passes the xattrs of every inode first to note, and then to count.
type xattrTable struct {
	seed  maphash.Seed
	notes []uint64            // hashes of xattrs
	again map[uint64]struct{} // hashes that were noted more than once; only xattrs with these are counted
	ids   map[tree.Xattr]*sharedXattr
	order []*sharedXattr // in the order in which they were first counted
	size  int64          // of all shared entries, in bytes
	used  bool           // an inode has an xattr, shared or not
}

type sharedXattr struct {
	tree.Xattr
	count int64
	id    uint32
}

// note notes the xattrs of an inode.
func (t *xattrTable) note(xs []tree.Xattr) {
	if len(xs) > 0 && !t.used {
		t.used, t.seed, t.again = true, maphash.MakeSeed(), make(map[uint64]struct{})
	}
	for _, x := range xs {
		if len(t.notes) == cap(t.notes) {
			t.compact()
			t.notes = slices.Grow(t.notes, max(1024, len(t.notes)))
		}
		t.notes = append(t.notes, maphash.Comparable(t.seed, x))
	}
}

// compact removes duplicate notes, and adds them to again.
func (t *xattrTable) compact() {
	slices.Sort(t.notes)
	once := t.notes[:0]
	for _, h := range t.notes {
		if n := len(once); n > 0 && once[n-1] == h {
			t.again[h] = struct{}{}
		} else {
			once = append(once, h)
		}
	}
	t.notes = once
}

// startCounting ends the noting, and frees the notes.
func (t *xattrTable) startCounting() {
	t.compact()
	t.notes, t.ids = nil, make(map[tree.Xattr]*sharedXattr)
}

// count counts the xattrs of an inode that were noted more than once.
func (t *xattrTable) count(xs []tree.Xattr) {
	for _, x := range xs {
		if _, ok := t.again[maphash.Comparable(t.seed, x)]; !ok {
			continue
		}
		s := t.ids[x]
		if s == nil {
			s = &sharedXattr{Xattr: x}
			t.ids[x] = s
			t.order = append(t.order, s)
		}
		s.count++
	}
}

// choose keeps the xattrs whose sharing saves bytes: one entry and an id in each inode
// instead of an entry in each inode.
func (t *xattrTable) choose() {
	all := t.order
	t.order, t.again = nil, nil
	for _, s := range all {
		if n := disk.XattrSize(s.Xattr); s.count*disk.XattrIDSize+n >= s.count*n {
			delete(t.ids, s.Xattr)
			continue
		}
		s.id = uint32(t.size / disk.XattrAlign) // relative to the table: place adds its offset
		t.size += disk.XattrSize(s.Xattr)
		t.order = append(t.order, s)
	}
}

// place sets the offset of the table from XattrBlock to off bytes.
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

// bodySize is the number of bytes that xs take after their inode. Of the xattrs in the table
// the first 255 are shared.
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

// appendBody appends the bodySize bytes that follow an inode with xs.
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
