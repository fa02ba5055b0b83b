package erofs

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// The xattrs in which a layer image keeps what only a layer has.
var (
	markImplied = tree.Xattr{Name: tree.MarkPrefix + "implied", Value: "y"} // Entry.NoChange
	markOrigin  = tree.Xattr{Name: tree.OverlayPrefix + "origin"}           // on a directory that holds whiteouts
)

const (
	markLink = tree.MarkPrefix + "link" // Lower.Targets, with NULs between them
	markElse = tree.MarkPrefix + "else" // Lower.Else; the path of the inode, or "" if it is this one
)

// markRefused goes with markLink. To overlayfs it is a file whose data lie below,
// under a name that cannot exist, so that it refuses the file instead of showing an
// empty one.
var markRefused = []tree.Xattr{
	{Name: tree.OverlayPrefix + "metacopy"},
	{Name: tree.OverlayPrefix + "redirect", Value: "/.ocipipe-link"},
}

// item is an inode on its way into the image. It stands as Content in the Entry
// that the tree holds: what it adds to the Entry is where things are.
type item struct {
	entry     *tree.Entry
	dir       *dirItem // of a directory
	lies      *content // of a file whose data is in another image
	tail      int64    // of a file whose tail is inline: where it waits
	nid       uint64
	start     uint32 // first block of the data
	ino       uint32 // 1 and up; 0: not placed yet
	xattrs    int32  // bytes
	layout    layout
	chunkBits uint8
	extended  bool
}

// dirItem is what a directory needs more.
type dirItem struct {
	children  []*tree.Node
	parent    *item
	size      int64
	whiteouts bool // it holds some
}

// WriteTo is there because Contents have it.
func (it *item) WriteTo(io.Writer) (int64, error) {
	return 0, errors.New("content has gone into the image")
}

// itemSlab makes items, many in one allocation.
type itemSlab []item

func (s *itemSlab) next() *item {
	if len(*s) == 0 {
		*s = make([]item, 256)
	}
	it := &(*s)[0]
	*s = (*s)[1:]
	return it
}

// size is the length of the inode's data.
func (it *item) size() int64 {
	switch e := it.entry; {
	case it.dir != nil:
		return it.dir.size
	case e.Type == tree.Link:
		return int64(len(e.Link))
	case e.Type == tree.File && !e.IsLower():
		return e.Size
	}
	return 0
}

// inlineSize is how many bytes of data follow the inode: the part of the last
// block, or nothing.
func (it *item) inlineSize(bs int64) int64 {
	if it.layout != flatInline {
		return 0
	}
	return it.size() % bs
}

// plan says where everything goes.
type plan struct {
	bs     int64
	layer  bool
	slab   itemSlab
	items  []*item // depth first, names in byte order: the root first
	placed []*item // the same as they were placed
	epoch  tree.Time
	shared xattrTable
	packer packer

	table  int                         // length of the table of devices
	slots  []deviceSlot                // the devices, in the table or not
	merged bool                        // contents are on devices
	retime func(t tree.Time) tree.Time // for merged; nil: times stay

	implied   tree.Time // of directories that are only implied
	dirStart  int64     // block where section 4 begins
	metaStart int64     // block where section 5 begins
	metaBlock int64     // as in the superblock
	xattrs    int64     // where the shared ones are, in bytes
	end       int64     // length of the image in bytes
	total     int64     // the same with its devices
	chunked   bool      // there is a chunk map
}

// tableEnd is where a table of so many devices ends, which follows the superblock.
func tableEnd(devices int) int64 {
	return superOffset + superSize + int64(devices)*deviceSlotSize
}

// headEnd is where the first block boundary behind that is.
func headEnd(bs int64, devices int) int64 { return roundUp(tableEnd(devices), bs) }

// headRoom is how much metadata has room behind the table of devices. It is
// nothing where the root, which comes first, would get too large a number.
func (p *plan) headRoom() int64 {
	if tableEnd(p.table) > rootMax*slotSize {
		return 0
	}
	return headEnd(p.bs, p.table) - tableEnd(p.table)
}

// make plans the image of t whose file data ends at block dataEnd.
func (p *plan) make(t *tree.Tree, dataEnd int64) error {
	if t.HasElse() {
		p.placeElse(t)
	}
	root := p.collect(t.Root(), nil)
	p.chooseEpoch()
	for _, it := range p.items {
		p.shared.count(p.xattrList(it))
	}
	p.shared.choose()
	for _, it := range p.items {
		if err := p.measure(it, root); err != nil {
			return fmt.Errorf("%s: %w", pathOf(t, it), err)
		}
	}
	p.dirStart = dataEnd
	p.placeBlocks()
	p.placeItems()
	if p.end/p.bs > maxBlocks {
		return fmt.Errorf("image of %d bytes: over the 2^32 blocks of the format", p.end)
	}
	return nil
}

// collect adds the inode of n and of all below it, each once, and counts its links.
func (p *plan) collect(n *tree.Node, parent *item) *item {
	it, _ := n.Entry.Content.(*item)
	if it == nil {
		it = p.slab.next()
		it.entry = n.Entry
		if p.merged {
			p.adopt(it)
		}
		n.Entry.Content = it
	}
	if it.ino != 0 {
		it.entry.Nlink++
		return it // another name of a hard link
	}
	p.items = append(p.items, it)
	it.ino = uint32(len(p.items))
	if it.entry.Nlink = 1; it.entry.Type != tree.Dir {
		return it
	}
	n.Entry.Nlink = 2
	if parent == nil {
		parent = it
	}
	it.dir = &dirItem{children: n.Children(), parent: parent}
	for _, c := range it.dir.children {
		p.collect(c, it)
		if c.Entry.Type == tree.Dir {
			n.Entry.Nlink++
		}
		it.dir.whiteouts = it.dir.whiteouts || c.Entry.IsWhiteout()
	}
	it.dir.size = dirSize(dirNames(it.dir.children), p.bs)
	if n.Entry.NoChange {
		n.Entry.Mode, n.Entry.Time = 0o755, p.implied
	}
	if it.dir.whiteouts { // else the mark would be there twice
		n.Entry.Xattrs = slices.DeleteFunc(slices.Clone(n.Entry.Xattrs), func(x tree.Xattr) bool { return x == markOrigin })
	}
	return it
}

// adopt does for an inode of a merged tree what Writer.Add does for others.
func (p *plan) adopt(it *item) {
	it.entry.Time = p.retime(it.entry.Time)
	if it.entry.Type == tree.File && it.entry.Size > 0 {
		it.locate(p.bs)
	}
}

// chooseEpoch takes the time that most inodes have which can be compact once they
// have it; of several the earliest.
func (p *plan) chooseEpoch() {
	count := make(map[tree.Time]int)
	for _, it := range p.items {
		if it.fitsCompact() {
			count[it.entry.Time]++
		}
	}
	most := 0
	for t, n := range count {
		if n > most || n == most && t.Compare(p.epoch) < 0 {
			p.epoch, most = t, n
		}
	}
}

// fitsCompact reports whether a compact inode holds all of it but its time.
func (it *item) fitsCompact() bool {
	e := it.entry
	return max(e.UID, e.GID, e.Nlink) <= math.MaxUint16 && it.size() <= math.MaxUint32
}

// xattrList is what is stored: the entry's own xattrs and the marks, in byte order.
func (p *plan) xattrList(it *item) []tree.Xattr {
	var marks []tree.Xattr
	if it.entry.NoChange && p.layer {
		marks = append(marks, markImplied)
	}
	if it.dir != nil && it.dir.whiteouts {
		marks = append(marks, markOrigin)
	}
	if l := it.entry.Lower; l != nil {
		marks = append(marks, markRefused...)
		marks = append(marks, tree.Xattr{Name: markLink, Value: strings.Join(l.Targets, "\x00")})
		if l.Else {
			marks = append(marks, tree.Xattr{Name: markElse, Value: it.entry.Hardlink})
		}
	}
	if marks == nil {
		return it.entry.Xattrs
	}
	marks = append(marks, it.entry.Xattrs...)
	slices.SortFunc(marks, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return marks
}

// measure decides the form of it. The layout of files is already decided: their
// data has been written.
func (p *plan) measure(it, root *item) error {
	n := p.shared.bodySize(p.xattrList(it))
	if n > xattrBodyMax {
		return fmt.Errorf("xattrs take %d bytes, over the %d of the format", n, xattrBodyMax)
	}
	it.xattrs = int32(n)
	it.extended = it.entry.Time != p.epoch || !it.fitsCompact()
	p.chunked = p.chunked || it.layout == chunkBased
	if it.dir == nil && it.entry.Type != tree.Link {
		return nil
	}
	room := p.bs
	if it == root {
		room = p.headRoom()
		if it.bareSize() > room { // see placeItems
			p.metaBlock, room = -1, p.bs
		}
	}
	tail := it.size() % p.bs
	if tail != 0 && it.bareSize()+tail <= room && (it.dir != nil || it.size() < p.bs) {
		it.layout = flatInline
	}
	return nil
}

// bareSize is the length of the inode and its xattrs.
func (it *item) bareSize() int64 {
	if it.extended {
		return extendedSize + int64(it.xattrs)
	}
	return compactSize + int64(it.xattrs)
}

// fullSize is the length of the inode with all that follows it.
func (it *item) fullSize(bs int64) int64 {
	if it.layout == chunkBased {
		return roundUp(it.bareSize(), chunkIndexSize) + mapSize(it.size(), bs<<it.chunkBits)
	}
	return it.bareSize() + it.inlineSize(bs)
}

// outside is how many blocks of section 4 it has.
func (it *item) outside(bs int64) int64 {
	switch {
	case it.dir == nil && it.entry.Type != tree.Link:
		return 0
	case it.layout == flatInline:
		return it.size() / bs
	}
	return blocks(it.size(), bs)
}

// placeBlocks lays out section 4.
func (p *plan) placeBlocks() {
	p.metaStart = p.dirStart
	for _, it := range p.items {
		if n := it.outside(p.bs); n > 0 {
			it.start = uint32(p.metaStart) // too much of it is an error in the end
			p.metaStart += n
		}
	}
}

// placeItems lays out the head and section 5, the root first, as its nid must be
// small.
func (p *plan) placeItems() {
	p.packer.init(p.bs, p.metaStart*p.bs)
	if p.metaBlock < 0 {
		p.metaBlock = p.metaStart
	} else {
		p.packer.open(headEnd(p.bs, p.table), p.headRoom())
	}
	p.placed = p.packingOrder()
	for i, it := range p.placed {
		it.nid = uint64((p.packer.place(it.fullSize(p.bs)) - p.metaBlock*p.bs) / slotSize)
		if i == 0 && p.shared.size > 0 {
			// Not at the end of the image, where go-erofs cannot read them: it
			// wants a whole block from there on.
			p.xattrs = p.packer.place(p.shared.size)
			p.shared.place(p.xattrs % p.bs)
		}
	}
	p.end = roundUp(p.packer.end, max(p.bs, imageAlign))
}

// offset is where it is, in bytes.
func (p *plan) offset(it *item) int64 { return p.metaBlock*p.bs + int64(it.nid)*slotSize }

// inode is the record of it.
func (p *plan) inode(it *item) inode {
	e := it.entry
	n := inode{
		extended:   it.extended,
		layout:     it.layout,
		xattrCount: xattrCount(int64(it.xattrs)),
		mode:       fileTypes[e.Type].mode | e.Mode&modePermMask,
		size:       it.size(),
		time:       e.Time,
		ino:        it.ino,
		uid:        e.UID, gid: e.GID,
		nlink: e.Nlink,
	}
	switch {
	case e.Type == tree.Char || e.Type == tree.Block:
		n.data = encodeDevice(e.Dev)
	case it.layout == chunkBased:
		n.data = uint32(it.chunkBits) | chunkIndexes
	case it.layout == flatInline && n.size < p.bs:
		n.data = nullBlock
	default:
		n.data = it.start
	}
	return n
}

// pathOf finds the first path of it in t, for a message.
func pathOf(t *tree.Tree, it *item) string {
	var find func(n *tree.Node, path string) string
	find = func(n *tree.Node, path string) string {
		if n.Entry.Content == tree.Content(it) {
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

// dirName is one entry of a directory; node is nil for the dots.
type dirName struct {
	name string
	node *tree.Node
}

// dirNames are the names of a directory as they are stored: the dots have no place
// of their own in the order of bytes.
func dirNames(children []*tree.Node) []dirName {
	names := make([]dirName, 0, len(children)+2)
	dots := []string{".", ".."}
	for _, c := range children {
		for len(dots) > 0 && dots[0] < c.Name() {
			names, dots = append(names, dirName{name: dots[0]}), dots[1:]
		}
		names = append(names, dirName{c.Name(), c})
	}
	for _, d := range dots {
		names = append(names, dirName{name: d})
	}
	return names
}

// fillDirBlock tells how many of names the next block takes, and how many of its
// bytes they use.
func fillDirBlock(names []dirName, bs int64) (n int, used int64) {
	for _, d := range names {
		k := int64(direntSize + len(d.name))
		if used+k > bs {
			break
		}
		n++
		used += k
	}
	return n, used
}

// dirSize is the length of a directory: whole blocks and what the last one uses.
func dirSize(names []dirName, bs int64) (size int64) {
	for {
		n, used := fillDirBlock(names, bs)
		if names = names[n:]; len(names) == 0 {
			return size + used
		}
		size += bs
	}
}
