package erofs

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// The bytes behind an inode that has xattrs (struct erofs_xattr_ibody_header and
// erofs_xattr_entry):
//
//	 0   4  name filter: a set bit says that no name has this hash
//	 4   1  number of shared ids
//	 5   7  0
//	12  4*n shared ids: (offset of the entry from XattrBlock) / 4
//	 -   -  entries, each padded to 4 bytes:
//	        0 1 length of name, 1 1 index of prefix, 2 2 length of value, name, value
//
// The inode's xattrCount is 1 + (size of all that - 12) / 4, or 0 for no xattrs.
const (
	xattrAlign     = 4
	xattrBodyMax   = xattrHeadSize + xattrAlign*(1<<16-2)
	xattrSharedMax = 255
	xattrValueMax  = 1<<16 - 1
	longPrefix     = 0x80 // in the prefix index: the rest is an index of the long prefixes
)

// xattrPrefixes are the prefixes that the format has numbers for. Those with
// whole set are names of their own. 5 is "lustre.", which Linux does not show.
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

// splitXattr finds the prefix of name that Linux will show again.
func splitXattr(name string) (index uint8, rest string, ok bool) {
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

// entrySize is the length of x as an entry. x has a prefix of the format.
func entrySize(x tree.Xattr) int64 {
	_, rest, _ := splitXattr(x.Name)
	return roundUp(int64(xattrEntSize+len(rest)+len(x.Value)), xattrAlign)
}

// appendXattr appends the entry of x, padded.
func appendXattr(b []byte, x tree.Xattr) []byte {
	index, rest, _ := splitXattr(x.Name)
	b = append(b, uint8(len(rest)), index)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(x.Value)))
	b = append(append(b, rest...), x.Value...)
	for len(b)%xattrAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// checkXattr tells whether x can be stored.
func checkXattr(x tree.Xattr) error {
	if len(x.Name) > nameMax {
		return fmt.Errorf("xattr %s: name of %d bytes, over the %d of the format", x.Name, len(x.Name), nameMax)
	}
	if len(x.Value) > xattrValueMax {
		return fmt.Errorf("xattr %s: value of %d bytes, over the %d of the format", x.Name, len(x.Value), xattrValueMax)
	}
	return nil
}

// xattrTable holds the xattrs that are stored once for all inodes that have them. Every
// inode's are noted first, and then counted.
type xattrTable struct {
	seed  maphash.Seed
	notes []uint64            // hashes of xattrs
	again map[uint64]struct{} // those that there are more than once: few others need counting
	ids   map[tree.Xattr]*sharedXattr
	order []*sharedXattr // as they were counted
	size  int64          // of all shared entries
	any   bool           // there is an xattr, shared or not
}

type sharedXattr struct {
	tree.Xattr
	count int64
	id    uint32
}

// note takes the xattrs of one more inode.
func (t *xattrTable) note(xs []tree.Xattr) {
	if len(xs) > 0 && !t.any {
		t.any, t.seed, t.again = true, maphash.MakeSeed(), make(map[uint64]struct{})
	}
	for _, x := range xs {
		if len(t.notes) == cap(t.notes) {
			t.compact()
			t.notes = slices.Grow(t.notes, max(1024, len(t.notes)))
		}
		t.notes = append(t.notes, maphash.Comparable(t.seed, x))
	}
}

// compact keeps each of the notes once.
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

// noted ends the notes.
func (t *xattrTable) noted() {
	t.compact()
	t.notes, t.ids = nil, make(map[tree.Xattr]*sharedXattr)
}

// count takes the xattrs of an inode again.
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

// choose keeps those whose sharing saves bytes: one entry and an id in each inode
// instead of an entry in each inode.
func (t *xattrTable) choose() {
	all := t.order
	t.order, t.again = nil, nil
	for _, s := range all {
		if n := entrySize(s.Xattr); s.count*xattrIDSize+n >= s.count*n {
			delete(t.ids, s.Xattr)
			continue
		}
		s.id = uint32(t.size / xattrAlign) // relative: place adds where the table lies
		t.size += entrySize(s.Xattr)
		t.order = append(t.order, s)
	}
}

// place says how many bytes behind XattrBlock the table begins.
func (t *xattrTable) place(off int64) {
	for _, s := range t.order {
		s.id += uint32(off / xattrAlign)
	}
}

// encode is the table as it stands in the image.
func (t *xattrTable) encode() []byte {
	b := make([]byte, 0, t.size)
	for _, s := range t.order {
		b = appendXattr(b, s.Xattr)
	}
	return b
}

// bodySize is what xs take behind their inode. The first 255 that are in the table
// are shared.
func (t *xattrTable) bodySize(xs []tree.Xattr) int64 {
	if len(xs) == 0 {
		return 0
	}
	n, shared := int64(xattrHeadSize), 0
	for _, x := range xs {
		if t.ids[x] != nil && shared < xattrSharedMax {
			shared++
			n += xattrIDSize
		} else {
			n += entrySize(x)
		}
	}
	return n
}

// appendBody appends the bodySize bytes of xs.
func (t *xattrTable) appendBody(b []byte, xs []tree.Xattr) []byte {
	if len(xs) == 0 {
		return b
	}
	head := len(b)
	b = append(b, make([]byte, xattrHeadSize)...)
	binary.LittleEndian.PutUint32(b[head:], nameFilter(xs))
	shared := 0
	for _, x := range xs {
		if s := t.ids[x]; s != nil && shared < xattrSharedMax {
			shared++
			b = binary.LittleEndian.AppendUint32(b, s.id)
		}
	}
	b[head+4] = uint8(shared)
	for _, x := range xs {
		if t.ids[x] != nil && shared > 0 {
			shared--
			continue
		}
		b = appendXattr(b, x)
	}
	return b
}

// xattrCount is the inode's field for a body of n bytes.
func xattrCount(n int64) uint16 {
	if n == 0 {
		return 0
	}
	return uint16(1 + (n-xattrHeadSize)/xattrAlign)
}

// xattrBodySize is the inverse of xattrCount.
func xattrBodySize(count uint16) int64 {
	if count == 0 {
		return 0
	}
	return xattrHeadSize + xattrAlign*(int64(count)-1)
}

// filterSeed is XATTR_FILTER_SEED of the kernel; the prefix index is added to it.
const filterSeed = 0x25BBE08F

// nameFilter is the Bloom filter over the names of xs: 32 bits, a clear one for
// each hash that occurs.
func nameFilter(xs []tree.Xattr) uint32 {
	filter := ^uint32(0)
	for _, x := range xs {
		index, rest, _ := splitXattr(x.Name)
		filter &^= 1 << filterBit(index, rest)
	}
	return filter
}

func filterBit(index uint8, rest string) uint32 {
	return xxh32(rest, filterSeed+uint32(index)) & 31
}

// xxh32 is the 32-bit hash of the xxHash family.
func xxh32(s string, seed uint32) uint32 {
	const (
		p1 = 2654435761
		p2 = 2246822519
		p3 = 3266489917
		p4 = 668265263
		p5 = 374761393
	)
	word := func(i int) uint32 {
		return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
	}
	rotate := func(v uint32, n uint) uint32 { return v<<n | v>>(32-n) }
	h, n := seed+p5, uint32(len(s))
	if len(s) >= 16 {
		v := [4]uint32{seed, seed, seed, seed}
		v[0] += p1
		v[0] += p2
		v[1] += p2
		v[3] -= p1
		for ; len(s) >= 16; s = s[16:] {
			for i := range v {
				v[i] = rotate(v[i]+word(4*i)*p2, 13) * p1
			}
		}
		h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18)
	}
	h += n
	for ; len(s) >= 4; s = s[4:] {
		h = rotate(h+word(0)*p3, 17) * p4
	}
	for i := range len(s) {
		h = rotate(h+uint32(s[i])*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
