package erofs

import (
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// item is an inode on its way into the image: where things are, and in which form.
type item struct {
	entry     *tree.Entry // nil before collect
	dir       *dirItem    // of a directory
	tail      int64       // of a file whose end is inline: where that is in the spool
	nid       uint64
	start     uint32 // first block of the data
	ino       uint32 // 1 and up, as they are collected; 0: not yet
	nlink     uint32
	xattrs    int32 // bytes
	layout    disk.Layout
	chunkBits uint8
	extended  bool
}

// dirItem is what a directory needs more.
type dirItem struct {
	node      *tree.Node
	parent    *item
	size      int64
	whiteouts bool // it holds some
}

// itemTable is the table of items beside the tree. Until the image is complete, Nlink of
// an Entry in the tree is the number of its item there, 1 and up, or 0: the links of an
// inode are counted in its item.
type itemTable struct {
	slabs [][]item
	count uint32
}

const itemSlab = 256

// add makes the item of e.
func (t *itemTable) add(e *tree.Entry) *item {
	if t.count%itemSlab == 0 {
		t.slabs = append(t.slabs, make([]item, itemSlab))
	}
	t.count++
	e.Nlink = t.count
	return t.at(t.count)
}

// at is the item with this number.
func (t *itemTable) at(number uint32) *item {
	return &t.slabs[(number-1)/itemSlab][(number-1)%itemSlab]
}

// of is the item of e, or nil.
func (t *itemTable) of(e *tree.Entry) *item {
	if e.Nlink == 0 {
		return nil
	}
	return t.at(e.Nlink)
}

// lower is the content of a file whose data is in another image; nil if there is none.
func (it *item) lower() *read.Content {
	c, _ := it.entry.Content.(*read.Content)
	return c
}

// size is the length of the inode's data in bytes.
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

// inlineSize is the number of bytes of data that follow the inode: those in the last
// block, or none.
func (it *item) inlineSize(bs int64) int64 {
	if it.layout != disk.FlatInline {
		return 0
	}
	return it.size() % bs
}
