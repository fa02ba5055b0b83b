package erofs

import (
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// item is an inode on its way into the image: where things are, and in which form. A table
// beside the tree has them.
type item struct {
	entry     *tree.Entry // nil before collect
	dir       *dirItem    // of a directory
	tail      int64       // of a file whose end is inline: where that is in tails, or in a tailLot; of a compressed one: its number in packedFiles
	nid       uint64
	full      int64  // bytes of the inode and everything that follows it
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

// lower is the content of a file whose data is in another image; nil if there is none.
func (it *item) lower() *read.Content {
	c, _ := it.entry.Content.(*read.Content)
	return c
}

// compressed reports whether it has extents in packedFiles.
func (it *item) compressed() bool {
	return it.layout == disk.CompressedFull || it.layout == disk.CompressedCompact
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
