package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/zeebo/blake3"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// inode is an inode on its way into the file system. The tree has its slot, by which it
// is in the table.
type inode struct {
	entry *tree.Entry // nil until it has a number
	start uint64      // first block of the content; around taken areas it goes on
	dir   uint32      // slot among the directories, and 1; 0: it is none
	ino   uint32      // number; 0: none yet
	acl   uint32      // index in Writer.acls, and 1, of its block of xattrs; 0: none
}

// directory is what an inode needs more if it is one.
type directory struct {
	node    *tree.Node
	blocks  uint32
	parent  uint32 // number
	indexed bool
}

// inodeTable has the inodes of a tree, those too whose names came to mean others before
// they had a number.
type inodeTable struct {
	inodes  chunks[inode]
	dirs    chunks[directory]
	numbers chunks[uint32] // slots in the order of the numbers: the root, then from firstIno on
	nodes   []treeStart    // ascending
}

// treeStart is where the extent tree of an inode has its first block. Around taken areas
// it goes on.
type treeStart struct {
	ino   uint32
	block uint64
}

// add makes a slot for an inode.
func (t *inodeTable) add() (slot uint32, n *inode) {
	return t.inodes.add(inode{})
}

// number gives the next number to the inode in slot, which is e.
func (t *inodeTable) number(slot uint32, e *tree.Entry) item {
	n := t.inodes.at(slot)
	i, _ := t.numbers.add(slot)
	if n.entry, n.ino = e, disk.RootIno; i > 0 {
		n.ino = disk.FirstIno - 1 + i
	}
	return item{inode: n}
}

// addDirectory makes n a directory.
func (t *inodeTable) addDirectory(n *inode, d directory) {
	slot, _ := t.dirs.add(d)
	n.dir = slot + 1
}

// len is how many inodes have a number.
func (t *inodeTable) len() int { return t.numbers.len }

// all yields the inodes that have a number, in its order.
func (t *inodeTable) all() iter.Seq[item] {
	return func(yield func(item) bool) {
		for i := range uint32(t.numbers.len) {
			if !yield(t.item(*t.numbers.at(i))) {
				return
			}
		}
	}
}

// item is an inode with what it needs more.
type item struct {
	*inode
	dir *directory // nil: it is none
}

// item is what is in slot.
func (t *inodeTable) item(slot uint32) item {
	it := item{inode: t.inodes.at(slot)}
	if it.inode.dir != 0 {
		it.dir = t.dirs.at(it.inode.dir - 1)
	}
	return it
}

// of is the inode that e is, if it has a slot.
func (t *inodeTable) of(e *tree.Entry) (it item, ok bool) {
	slot, ok := e.Slot()
	if !ok {
		return it, false
	}
	return t.item(slot), true
}

// setTree notes that the extent tree of it begins in block. It is called in the order of
// the numbers.
func (t *inodeTable) setTree(it item, block uint64) {
	t.nodes = append(t.nodes, treeStart{it.ino, block})
}

// tree is where the extent tree of it begins; 0: it has none but in the inode.
func (t *inodeTable) tree(it item) (block uint64) {
	i, ok := slices.BinarySearchFunc(t.nodes, it.ino, func(s treeStart, ino uint32) int { return cmp.Compare(s.ino, ino) })
	if !ok {
		return 0
	}
	return t.nodes[i].block
}

// collector numbers inodes: depth first, names in byte order.
type collector struct {
	table   *inodeTable
	implied tree.Time      // of directories that are only implied
	digest  *blake3.Hasher // of names and attributes; nil: there is a UUID
	buf     []byte
}

// visit numbers n and all that is below it, each inode once, and counts links.
func (c *collector) visit(n *tree.Node, parent uint32) {
	e := n.Entry
	it := c.inode(e)
	if it.ino != 0 && e.Type != tree.Dir { // another name of a hard link
		e.Nlink++
		c.sum(n.Name(), it, parent, false)
		return
	}
	if it.ino == 0 {
		it = c.number(e)
	}
	if e.NoChange {
		e.Mode, e.Time = 0o755, c.implied
	}
	if e.Nlink = 1; e.Type != tree.Dir {
		c.sum(n.Name(), it, parent, true)
		return
	}
	c.table.addDirectory(it.inode, directory{node: n, parent: parent})
	if it.ino == disk.RootIno {
		c.reserve(n.Child(disk.LostFoundDir))
	}
	c.sum(n.Name(), it, parent, true)
	e.Nlink = 2
	for _, child := range n.SortedChildren() {
		c.visit(child, it.ino)
		if child.Entry.Type == tree.Dir {
			e.Nlink++
		}
	}
}

// inode is the inode that e is, which has a slot from then on.
func (c *collector) inode(e *tree.Entry) item {
	it, ok := c.table.of(e)
	if !ok {
		slot, n := c.table.add()
		e.SetSlot(slot)
		it.inode = n
	}
	return it
}

// number gives the next number to e.
func (c *collector) number(e *tree.Entry) item {
	slot, _ := e.Slot()
	return c.table.number(slot, e)
}

// reserve gives lost+found the number that it usually has.
func (c *collector) reserve(n *tree.Node) {
	if n != nil && n.Entry.Type == tree.Dir {
		c.inode(n.Entry)
		c.number(n.Entry)
	}
}

// sum adds a name, and with all of it what is known of the inode, to the digest.
func (c *collector) sum(name string, it item, parent uint32, all bool) {
	if c.digest == nil {
		return
	}
	e, le := it.entry, binary.LittleEndian
	text := func(b []byte, s string) []byte { return append(le.AppendUint32(b, uint32(len(s))), s...) }
	b := text(c.buf[:0], name)
	b = le.AppendUint32(le.AppendUint32(b, parent), it.ino)
	if all {
		b = append(b, byte(e.Type))
		b = le.AppendUint16(b, e.Mode)
		b = le.AppendUint32(le.AppendUint32(b, e.UID), e.GID)
		b = le.AppendUint32(le.AppendUint64(b, uint64(e.Time.Sec)), e.Time.Nsec)
		b = le.AppendUint32(le.AppendUint32(b, e.Dev.Major), e.Dev.Minor)
		b = le.AppendUint64(b, uint64(e.Size))
		b = text(b, e.Link)
		b = le.AppendUint32(b, uint32(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			b = text(text(b, x.Name), x.Value)
		}
		b = le.AppendUint32(b, uint32(len(e.Extents)))
		for _, x := range e.Extents {
			b = le.AppendUint64(le.AppendUint64(b, uint64(x.Off)), uint64(x.Len))
		}
		b = le.AppendUint64(b, it.start)
	}
	c.digest.Write(b)
	c.buf = b
}

// blocks is how many blocks of content it has.
func (it item) blocks() uint64 {
	switch e := it.entry; {
	case it.dir != nil:
		return uint64(it.dir.blocks)
	case e.Type == tree.Link && len(e.Link) > disk.FastMax:
		return 1
	case e.Type == tree.File:
		return dataBlocks(e)
	}
	return 0
}

// runs are where the content of it lies, on a disk with the areas of c taken.
func (it item) runs(c *alloc.Cursor) (list []disk.Run) {
	at := c.At(it.start)
	it.eachPart(func(logical uint32, n uint64) {
		at.Pieces(n, func(a alloc.Area) {
			if k := len(list) - 1; k >= 0 && list[k].End() == uint64(logical) && list[k].Physical+uint64(list[k].Blocks) == a.Start {
				list[k].Blocks += uint32(a.N)
			} else {
				list = append(list, disk.Run{Logical: logical, Blocks: uint32(a.N), Physical: a.Start})
			}
			logical += uint32(a.N)
		})
	})
	return list
}

// eachPart calls fn for the parts of the content that are no holes.
func (it item) eachPart(fn func(logical uint32, n uint64)) {
	if e := it.entry; e.Type == tree.File && it.dir == nil {
		eachPart(e, fn)
	} else if n := it.blocks(); n > 0 {
		fn(0, n)
	}
}

// check tells whether the format can hold the links of it.
func (it item) check(f Features) error {
	e := it.entry
	switch {
	case it.dir != nil && e.Nlink > disk.NlinkMax && !f.has(dirNlink):
		return fmt.Errorf("%d directories in it: over %d without dir_nlink", e.Nlink-2, disk.NlinkMax-2)
	case it.dir == nil && e.Nlink > disk.NlinkMax:
		return fmt.Errorf("%d names: the format ends at %d", e.Nlink, disk.NlinkMax)
	}
	return nil
}
