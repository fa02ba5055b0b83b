package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"ocipipe/lib/tree"
)

// item is an inode on its way into the file system. It stands as Content in the
// Entry that the tree holds.
type item struct {
	entry *tree.Entry
	dir   *dirItem
	start uint64 // first block of the content; around taken areas it goes on
	nodes uint64 // first block of the extent tree, likewise
	acl   uint64 // block of xattrs; 0: none
	ino   uint32 // 0: none yet
}

// dirItem is what a directory needs more.
type dirItem struct {
	node    *tree.Node
	blocks  uint32
	parent  uint32
	subdirs uint32
	indexed bool
}

// WriteTo is there because Contents have it.
func (it *item) WriteTo(io.Writer) (int64, error) {
	return 0, errors.New("content has gone into the file system")
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

// inodeTypes are what the types of entries are in the format.
var inodeTypes = [...]struct {
	mode uint16
	kind uint8
}{
	tree.File:   {modeFile, kindFile},
	tree.Dir:    {modeDir, kindDir},
	tree.Link:   {modeLink, kindLink},
	tree.Char:   {modeChar, kindChar},
	tree.Block:  {modeBlock, kindBlock},
	tree.Fifo:   {modeFifo, kindFifo},
	tree.Socket: {modeSocket, kindSocket},
}

// collector numbers inodes: depth first, names in byte order.
type collector struct {
	slab    *itemSlab
	items   []*item // the root, and from items[1] on inode firstIno and those behind it
	root    *item
	implied tree.Time      // of directories that are only implied
	digest  *blake3.Hasher // of names and attributes; nil: nobody wants it
	buf     []byte
}

// visit numbers n and all that is below it, each inode once, and counts links.
func (c *collector) visit(n *tree.Node, parent uint32) {
	it, _ := n.Entry.Content.(*item)
	if it == nil {
		it = c.slab.next()
		it.entry = n.Entry
		n.Entry.Content = it
	}
	if it.ino != 0 && n.Entry.Type != tree.Dir { // another name of a hard link
		it.entry.Nlink++
		c.sum(n.Name(), it, parent, false)
		return
	}
	if it.ino == 0 {
		c.number(it)
	}
	if n.Entry.NoChange {
		n.Entry.Mode, n.Entry.Time = 0o755, c.implied
	}
	if n.Entry.Nlink = 1; n.Entry.Type != tree.Dir {
		c.sum(n.Name(), it, parent, true)
		return
	}
	it.dir = &dirItem{node: n, parent: parent}
	if it == c.root {
		c.reserve(n.Child(lostFoundDir))
	}
	c.sum(n.Name(), it, parent, true)
	for _, child := range n.Settle() {
		c.visit(child, it.ino)
		if child.Entry.Type == tree.Dir {
			it.dir.subdirs++
		}
	}
	n.Entry.Nlink = 2 + it.dir.subdirs
}

// reserve gives lost+found the number that it usually has.
func (c *collector) reserve(n *tree.Node) {
	if n != nil && n.Entry.Type == tree.Dir {
		it := c.slab.next()
		it.entry = n.Entry
		n.Entry.Content = it
		c.number(it)
	}
}

func (c *collector) number(it *item) {
	if c.root == nil {
		c.root, it.ino = it, rootIno
	} else {
		it.ino = firstIno + uint32(len(c.items)-1)
	}
	c.items = append(c.items, it)
}

// sum adds a name, and with all of it what is known of the inode, to the digest.
func (c *collector) sum(name string, it *item, parent uint32, all bool) {
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
func (it *item) blocks() uint64 {
	switch e := it.entry; {
	case it.dir != nil:
		return uint64(it.dir.blocks)
	case e.Type == tree.Link && len(e.Link) > fastMax:
		return 1
	case e.Type == tree.File:
		return dataBlocks(e)
	}
	return 0
}

// runs are where the content of it lies, on a disk with the areas of c taken.
func (it *item) runs(c *cursor) (list []run) {
	at := c.at(it.start)
	it.eachPart(func(logical uint32, n uint64) {
		at.pieces(n, func(a area) {
			if k := len(list) - 1; k >= 0 && list[k].end() == uint64(logical) && list[k].physical+uint64(list[k].blocks) == a.start {
				list[k].blocks += uint32(a.n)
			} else {
				list = append(list, run{logical, uint32(a.n), a.start})
			}
			logical += uint32(a.n)
		})
	})
	return list
}

// eachPart calls fn for the parts of the content that are no holes.
func (it *item) eachPart(fn func(logical uint32, n uint64)) {
	if e := it.entry; e.Type == tree.File && it.dir == nil {
		eachPart(e, fn)
	} else if n := it.blocks(); n > 0 {
		fn(0, n)
	}
}

// check tells whether the format can hold the links of it.
func (it *item) check(f Features) error {
	e := it.entry
	switch {
	case it.dir != nil && e.Nlink > nlinkMax && !f.has(dirNlink):
		return fmt.Errorf("%d directories in it: over %d without dir_nlink", it.dir.subdirs, nlinkMax-2)
	case it.dir == nil && e.Nlink > nlinkMax:
		return fmt.Errorf("%d names: the format ends at %d", e.Nlink, nlinkMax)
	}
	return nil
}
