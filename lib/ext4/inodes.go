package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// inode is an inode on its way into the file system. A table beside the tree has them.
type inode struct {
	entry *tree.Entry // nil until it has a number
	dir   *directory  // nil: it is none
	start uint64      // first block of the content; around taken areas it goes on
	ino   uint32      // number; 0: none yet
	nlink uint32      // as in an Entry
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
	tree.Table[inode]
	list  []*inode    // in the order of the numbers: the root, then from firstIno on
	nodes []treeStart // ascending
}

// treeStart is where the extent tree of an inode has its first block. Around taken areas
// it goes on.
type treeStart struct {
	ino   uint32
	block uint64
}

// number gives the next number to it, the inode e.
func (t *inodeTable) number(it *inode, e *tree.Entry) {
	it.entry, it.ino = e, disk.RootIno
	if n := uint32(len(t.list)); n > 0 {
		it.ino = disk.FirstIno - 1 + n
	}
	t.list = append(t.list, it)
}

// setTree notes that the extent tree of it begins in block. It is called in the order of
// the numbers.
func (t *inodeTable) setTree(it *inode, block uint64) {
	t.nodes = append(t.nodes, treeStart{it.ino, block})
}

// counts counts what the file system has.
func (t *inodeTable) counts() (c tree.Counts) {
	for _, it := range t.list {
		names := int64(1)
		if it.dir == nil {
			names = int64(it.nlink)
		}
		c.AddInode(it.entry, names)
	}
	return c
}

// tree is where the extent tree of it begins; 0: it has none but in the inode.
func (t *inodeTable) tree(it *inode) (block uint64) {
	i, ok := slices.BinarySearchFunc(t.nodes, it.ino, func(s treeStart, ino uint32) int { return cmp.Compare(s.ino, ino) })
	if !ok {
		return 0
	}
	return t.nodes[i].block
}

// collector numbers inodes: depth first, names in byte order.
type collector struct {
	table   *inodeTable
	implied tree.Time    // of directories that are only implied
	digest  *xxh3.Hasher // of names and attributes; nil: there is a UUID
	buf     []byte
}

// visit numbers n and all that is below it, each inode once, and counts links.
func (c *collector) visit(n *tree.Node, parent uint32) {
	e := n.Entry
	it := c.table.Of(e)
	if it.ino != 0 && e.Type != tree.Dir { // another name of a hard link
		it.nlink++
		c.sum(n.Name(), it, parent, false)
		return
	}
	if it.ino == 0 {
		c.table.number(it, e)
	}
	if e.NoChange {
		e.Mode, e.Time = 0o755, c.implied
	}
	if it.nlink = 1; e.Type != tree.Dir {
		c.sum(n.Name(), it, parent, true)
		return
	}
	it.dir = &directory{node: n, parent: parent}
	if it.ino == disk.RootIno {
		c.reserve(n.Child(disk.LostFoundDir))
	}
	c.sum(n.Name(), it, parent, true)
	it.nlink = 2
	for _, child := range n.SortedChildren() {
		c.visit(child, it.ino)
		if child.Entry.Type == tree.Dir {
			it.nlink++
		}
	}
}

// reserve gives lost+found the number that it usually has.
func (c *collector) reserve(n *tree.Node) {
	if n != nil && n.Entry.Type == tree.Dir {
		c.table.number(c.table.Of(n.Entry), n.Entry)
	}
}

// sum adds a name, and with all of it what is known of the inode, to the digest.
func (c *collector) sum(name string, it *inode, parent uint32, all bool) {
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
func (it *inode) blocks() uint64 {
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
func (it *inode) runs(c *alloc.Cursor) (list []disk.Run) {
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
func (it *inode) eachPart(fn func(logical uint32, n uint64)) {
	if e := it.entry; e.Type == tree.File && it.dir == nil {
		eachPart(e, fn)
	} else if n := it.blocks(); n > 0 {
		fn(0, n)
	}
}

// check tells whether the format can hold the links of it.
func (it *inode) check(f Features) error {
	switch {
	case it.dir != nil && it.nlink > disk.NlinkMax && !f.has(dirNlink):
		return fmt.Errorf("%d directories in it: over %d without dir_nlink", it.nlink-2, disk.NlinkMax-2)
	case it.dir == nil && it.nlink > disk.NlinkMax:
		return fmt.Errorf("%d names: the format ends at %d", it.nlink, disk.NlinkMax)
	}
	return nil
}
