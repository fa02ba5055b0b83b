package erofs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// plan is the layout of an image.
type plan struct {
	bs     int64 // bytes in a block
	layer  bool  // Options.Layer
	check  bool  // Options.Check: the tree must stay as it is
	table  *tree.Table[item]
	items  []*item      // depth first, names in byte order: the root first
	blocks []*item      // those of them that have blocks in section 4
	placed []placedItem // the same as items, in the order of their places
	lots   []uint64     // numbers of the first inodes that the lots could have, see packingOrder
	epoch  tree.Time
	shared xattrTable
	packed compressedFiles // nil if there can be none
	lower  *lowerFiles     // the same in a merged tree
	packer packer
	names  []dirName // buffer

	tableLen int                         // number of slots in the table of devices
	spare    int                         // the same before the table, for records of compression
	slots    []disk.DeviceSlot           // the devices, also without a table
	merged   bool                        // contents are on devices
	timeOf   func(t tree.Time) tree.Time // applies the options about times to a merged tree

	implied   tree.Time // of directories that are only implied
	metaStart int64     // block where section 5 begins
	metaBlock int64     // as in the superblock
	xattrs    int64     // offset of the shared xattrs in bytes
	end       int64     // length of the image in bytes
	total     int64     // length of the image and its devices in bytes
	chunked   bool      // a file has a chunk map
}

// tableEnd is the offset of the end of a table of the given number of devices, which follows
// the superblock.
func tableEnd(devices int) int64 {
	return disk.SuperOffset + disk.SuperSize + int64(devices)*disk.DeviceSlotSize
}

// headEnd is the first block boundary at or after tableEnd.
func headEnd(bs int64, devices int) int64 { return disk.RoundUp(tableEnd(devices), bs) }

// headRoom is how many bytes of metadata fit into the head, after the table of devices or
// what stands for it. It is 0 if the number of the root, which comes first, would be too
// large.
func (p *plan) headRoom() int64 {
	start := tableEnd(p.spare + p.tableLen)
	if p.tableLen == 0 {
		start = p.sumAt()
	}
	if p.hasDeviceSum() {
		start += disk.DeviceSumSize
	}
	if start > disk.MaxRootNid*disk.NidUnit {
		return 0
	}
	return p.headEnd() - start
}

// headEnd is the length of the head in bytes.
func (p *plan) headEnd() int64 { return headEnd(p.bs, p.spare+p.tableLen) }

// sumAt is the offset of what stands for a table of devices.
func (p *plan) sumAt() int64 {
	if p.packed == nil {
		return sumAt(0)
	}
	return sumAt(p.packed.features().configSize())
}

// sumAt is where a sum stands for the table of devices, or the first inode can be, behind
// records of n bytes about compression.
func sumAt(n int64) int64 { return disk.RoundUp(tableEnd(0)+n, disk.NidUnit) }

// hasDeviceSum reports whether a sum stands for the table of devices.
func (p *plan) hasDeviceSum() bool { return p.merged && p.tableLen == 0 }

// arrange plans the image of t whose file data ends at block dataEnd.
func (p *plan) arrange(t *tree.Tree, dataEnd int64) error {
	if p.merged {
		t.ForgetLinks() // those that the layers count
	}
	if t.HasElse() {
		p.placeElse(t)
	}
	root := p.collect(t.Root(), nil)
	if p.lower != nil && p.lower.err != nil {
		return p.lower.refused(p.pathOf(t, p.lower.wrong))
	}
	p.chooseEpoch()
	if p.shared.used {
		p.shared.startCounting()
		for _, it := range p.items {
			p.shared.count(p.xattrList(it))
		}
		p.shared.choose()
	}
	p.metaStart = dataEnd
	for _, it := range p.items {
		if err := p.measure(it, root); err != nil {
			return fmt.Errorf("%s: %w", p.pathOf(t, it), err)
		}
		p.placeBlocks(it)
	}
	p.placeItems()
	if p.end/p.bs > disk.MaxBlocks {
		return fmt.Errorf("image of %d bytes: over the 2^32 blocks of the format", p.end)
	}
	return nil
}

// collect adds the inodes of n and all nodes below it, each once, and counts their links. It
// returns the item of n.
func (p *plan) collect(n *tree.Node, parent *item) *item {
	it := p.table.Of(n.Entry)
	it.nlink++
	if it.ino != 0 {
		return it // another name of a hard link
	}
	if it.entry == nil {
		it.entry = n.Entry
	}
	p.items = append(p.items, it)
	it.ino = uint32(len(p.items))
	if p.merged {
		p.addMerged(it)
	}
	if it.entry.Type != tree.Dir {
		return it
	}
	it.nlink = 2
	if parent == nil {
		parent = it
	}
	it.dir = &dirItem{node: n, parent: parent}
	for _, c := range n.SortedChildren() {
		p.collect(c, it)
		if c.Entry.Type == tree.Dir {
			it.nlink++
		}
		it.dir.whiteouts = it.dir.whiteouts || c.Entry.IsWhiteout()
	}
	p.names = appendDirNames(p.names[:0], n.SortedChildren())
	it.dir.size = dirSize(p.names, p.bs)
	if n.Entry.NoChange {
		n.Entry.Mode, n.Entry.Time = 0o755, p.implied
	}
	if it.dir.whiteouts { // xattrList adds the mark
		n.Entry.Xattrs = slices.DeleteFunc(slices.Clone(n.Entry.Xattrs), func(x tree.Xattr) bool { return x == disk.MarkOrigin })
	}
	return it
}

// counts counts what the image has.
func (p *plan) counts() (c tree.Counts) {
	for _, it := range p.items {
		names := int64(1)
		if it.dir == nil {
			names = int64(it.nlink)
		}
		c.AddInode(it.entry, names)
	}
	return c
}

// addMerged does for an inode of a merged tree what Writer.Add does for one that is added.
func (p *plan) addMerged(it *item) {
	it.entry.Time = p.timeOf(it.entry.Time)
	if it.entry.Type == tree.File && it.entry.Size > 0 {
		if c := it.lower(); c != nil {
			if h, ok := c.Header(); ok {
				p.lower.add(it, c, h)
				return
			}
		}
		it.locate(p.bs)
	}
}

// chooseEpoch chooses the time of the superblock: the most frequent time of the inodes that
// can be compact with it, and of several such times the earliest. On the way it notes the
// xattrs of all inodes.
func (p *plan) chooseEpoch() {
	var last *int // in count, of the time of the item before: mostly the next has it, too
	var lastTime tree.Time
	count := make(map[tree.Time]*int)
	for _, it := range p.items {
		p.shared.note(p.xattrList(it))
		if !it.fitsCompact() {
			continue
		}
		if t := it.entry.Time; last == nil || t != lastTime {
			if lastTime, last = t, count[t]; last == nil {
				last = new(int)
				count[t] = last
			}
		}
		*last++
	}
	highest := 0
	for t, n := range count {
		if *n > highest || *n == highest && t.Compare(p.epoch) < 0 {
			p.epoch, highest = t, *n
		}
	}
}

// fitsCompact reports whether a compact inode can hold all of it except the time.
func (it *item) fitsCompact() bool {
	e := it.entry
	return max(e.UID, e.GID, it.nlink) <= math.MaxUint16 && it.size() <= math.MaxUint32
}

// xattrList returns the xattrs that are stored for it: its own and the marks, in byte order.
func (p *plan) xattrList(it *item) []tree.Xattr {
	var marks []tree.Xattr
	if it.entry.NoChange && p.layer {
		marks = append(marks, disk.MarkImplied)
	}
	if it.dir != nil && it.dir.whiteouts {
		marks = append(marks, disk.MarkOrigin)
	}
	if l := it.entry.Lower; l != nil {
		marks = append(marks, disk.MarkRefused...)
		marks = append(marks, tree.Xattr{Name: disk.MarkLink, Value: strings.Join(l.Targets, "\x00")})
		if l.Else {
			marks = append(marks, tree.Xattr{Name: disk.MarkElse, Value: it.entry.Hardlink})
		}
	}
	if marks == nil {
		return it.entry.Xattrs
	}
	marks = append(marks, it.entry.Xattrs...)
	slices.SortFunc(marks, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return marks
}

// measure decides the form of it: compact or extended, and, unless it is a file, inline or
// not. For a file that was decided when its data was written. Then measure sets the size.
func (p *plan) measure(it, root *item) error {
	n := p.shared.bodySize(p.xattrList(it))
	if n > disk.MaxXattrBody {
		return fmt.Errorf("xattrs take %d bytes, over the %d of the format", n, disk.MaxXattrBody)
	}
	it.xattrs = int32(n)
	it.extended = it.entry.Time != p.epoch || !it.fitsCompact()
	p.chunked = p.chunked || it.layout == disk.ChunkBased
	if it.dir != nil || it.entry.Type == tree.Link {
		p.chooseInline(it, it == root)
	}
	if it.compressed() {
		it.full = p.packed.fullSize(it)
	} else {
		it.full = it.fullSize(p.bs)
	}
	return nil
}

// chooseInline decides whether the end of it, a directory or a symbolic link, is inline.
func (p *plan) chooseInline(it *item, isRoot bool) {
	room := p.bs
	if isRoot {
		room = p.headRoom()
		if it.bareSize() > room { // see placeItems
			p.metaBlock, room = -1, p.bs
		}
	}
	tail := it.size() % p.bs
	if tail != 0 && it.bareSize()+tail <= room && (it.dir != nil || it.size() < p.bs) {
		it.layout = disk.FlatInline
	}
}

// bareSize is the length of the inode and its xattrs in bytes.
func (it *item) bareSize() int64 {
	if it.extended {
		return disk.ExtendedSize + int64(it.xattrs)
	}
	return disk.CompactSize + int64(it.xattrs)
}

// fullSize is the length in bytes of the inode and everything that follows it: xattrs, and
// inline data or chunk map.
func (it *item) fullSize(bs int64) int64 {
	if it.layout == disk.ChunkBased {
		return disk.RoundUp(it.bareSize(), disk.ChunkIndexSize) + mapSize(it.size(), bs<<it.chunkBits)
	}
	return it.bareSize() + it.inlineSize(bs)
}

// outside is how many blocks of it are in section 4.
func (it *item) outside(bs int64) int64 {
	switch {
	case it.dir == nil && it.entry.Type != tree.Link:
		return 0
	case it.layout == disk.FlatInline:
		return it.size() / bs
	}
	return disk.Blocks(it.size(), bs)
}

// placeBlocks gives it the next blocks of section 4, if it has blocks there.
func (p *plan) placeBlocks(it *item) {
	if n := it.outside(p.bs); n > 0 {
		it.start = uint32(p.metaStart) // arrange refuses an image that is too large for this
		p.metaStart += n
		p.blocks = append(p.blocks, it)
	}
}

// placedItem is an item with its number beside it, for sorting.
type placedItem struct {
	nid uint64
	*item
}

// placeItems lays out the head and section 5. The root comes first: its nid must be
// small.
func (p *plan) placeItems() {
	p.packer.init(p.bs, p.metaStart*p.bs)
	if p.metaBlock < 0 {
		p.metaBlock = p.metaStart
	} else {
		p.packer.open(p.headEnd(), p.headRoom())
	}
	nid := func(off int64) uint64 { return uint64((off - p.metaBlock*p.bs) / disk.NidUnit) }
	p.placed = p.packingOrder()
	for i := range p.placed {
		it := &p.placed[i]
		if i%packWindow == 1 {
			p.lots = append(p.lots, nid(p.packer.end))
		}
		it.nid = nid(p.packer.place(it.full))
		it.item.nid = it.nid
		if i == 0 && p.shared.size > 0 {
			// Not at the end of the image: go-erofs reads a whole block from here on.
			p.xattrs = p.packer.place(p.shared.size)
			p.shared.place(p.xattrs % p.bs)
		}
	}
	slices.SortFunc(p.placed, func(a, b placedItem) int { return cmp.Compare(a.nid, b.nid) })
	p.end = disk.RoundUp(p.packer.end, max(p.bs, disk.ImageAlign))
}

// offset is the offset of it in the image, in bytes.
func (p *plan) offset(it *item) int64 { return p.metaBlock*p.bs + int64(it.nid)*disk.NidUnit }

// inode returns the record of it.
func (p *plan) inode(it *item) disk.Inode {
	e := it.entry
	n := disk.Inode{
		Extended:   it.extended,
		Layout:     it.layout,
		XattrCount: disk.XattrCount(int64(it.xattrs)),
		Mode:       disk.ModeOf(e.Type) | e.Mode&disk.ModePermMask,
		Size:       it.size(),
		Time:       e.Time,
		Ino:        it.ino,
		UID:        e.UID, GID: e.GID,
		Nlink: it.nlink,
	}
	switch {
	case e.Type == tree.Char || e.Type == tree.Block:
		n.Data = disk.EncodeDevice(e.Dev)
	case it.layout == disk.ChunkBased:
		n.Data = uint32(it.chunkBits) | disk.ChunkIndexes
	case it.compressed():
		n.Data = p.packed.blocks(it)
	case it.layout == disk.FlatInline && n.Size < p.bs:
		n.Data = disk.NullBlock
	default:
		n.Data = it.start
	}
	return n
}

// pathOf returns the first path of it in t, for a message.
func (p *plan) pathOf(t *tree.Tree, it *item) string {
	var find func(n *tree.Node, path string) string
	find = func(n *tree.Node, path string) string {
		if p.table.Of(n.Entry) == it {
			return path
		}
		for _, c := range n.Children() {
			name := c.Name()
			if path != "." {
				name = path + "/" + name
			}
			if found := find(c, name); found != "" {
				return found
			}
		}
		return ""
	}
	return find(t.Root(), ".")
}
