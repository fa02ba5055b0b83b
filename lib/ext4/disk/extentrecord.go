package disk

import "encoding/binary"

// Extent trees (fs/ext4/ext4_extents.h): a node is a header and entries of one
// size. The root is in the inode; every other node is a block with a checksum
// after the room for entries.
const (
	ExtentMagic      = 0xF30A
	ExtentHeadSize   = 12
	ExtentSize       = 12
	ExtentRootMax    = 4                                         // entries in the inode
	extentBlockMax   = (BlockSize - ExtentHeadSize) / ExtentSize // 340 entries in a block
	ExtentSumOffset  = ExtentHeadSize + extentBlockMax*ExtentSize
	extentMaxBlocks  = 32768 // of one written extent
	extentMaxDepth   = 5
	ExtentMaxLogical = 1<<32 - 1 // most blocks of a file; they have numbers below this
)

// extentMax is how many entries a node in a block of size bytes has room for.
func extentMax(size int) int { return (size - ExtentHeadSize) / ExtentSize }

// extentSumOffset is where a node in a block of size bytes has its checksum.
func extentSumOffset(size int) int { return ExtentHeadSize + extentMax(size)*ExtentSize }

// StoredExtentSum is the checksum that the block b, a node of an extent tree, stores.
func StoredExtentSum(b []byte) uint32 {
	return binary.LittleEndian.Uint32(b[extentSumOffset(len(b)):])
}

// ExtentHead is struct ext4_extent_header.
//
//	off size field       meaning                        range
//	  0    2 Magic       ExtentMagic
//	  2    2 Entries     in use                         at most Max
//	  4    2 Max         entries that fit               4; in a block of 4096 bytes 340
//	  6    2 Depth       0: leaf                        at most 5
//	  8    4 Generation                                 0
type ExtentHead struct {
	Magic      uint16
	Entries    uint16
	Max        uint16
	Depth      uint16
	Generation uint32
}

func (h *ExtentHead) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], h.Magic)
	le.PutUint16(b[2:], h.Entries)
	le.PutUint16(b[4:], h.Max)
	le.PutUint16(b[6:], h.Depth)
	le.PutUint32(b[8:], h.Generation)
}

func (h *ExtentHead) Decode(b []byte) {
	le := binary.LittleEndian
	*h = ExtentHead{le.Uint16(b[0:]), le.Uint16(b[2:]), le.Uint16(b[4:]), le.Uint16(b[6:]), le.Uint32(b[8:])}
}

// ExtentLeaf is struct ext4_extent: blocks of a file that lie together.
//
//	off size field       meaning                                   range
//	  0    4 Logical     first block in the file
//	  4    2 Length      blocks; above 32768: that many more, unwritten, reads as zeros
//	  6    2 Physical    upper 16 bits, the lower 32 at 8
type ExtentLeaf struct {
	Logical  uint32
	Length   uint16
	Physical uint64
}

func (x *ExtentLeaf) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], x.Logical)
	le.PutUint16(b[4:], x.Length)
	le.PutUint16(b[6:], uint16(x.Physical>>32))
	le.PutUint32(b[8:], uint32(x.Physical))
}

func (x *ExtentLeaf) Decode(b []byte) {
	le := binary.LittleEndian
	*x = ExtentLeaf{le.Uint32(b[0:]), le.Uint16(b[4:]), join(le.Uint32(b[8:]), uint32(le.Uint16(b[6:])))}
}

// blocks returns the length of x in blocks; unwritten says that they were never written.
func (x *ExtentLeaf) blocks() (n uint32, unwritten bool) {
	if x.Length > extentMaxBlocks {
		return uint32(x.Length) - extentMaxBlocks, true
	}
	return uint32(x.Length), false
}

// ExtentIndex is struct ext4_extent_idx: it leads to a node one level down.
//
//	off size field       meaning
//	  0    4 Logical     first block in the file that it may cover
//	  4    4 Child       lower 32 bits of the node's block, the upper 16 at 8
//	 10    2 -           0
type ExtentIndex struct {
	Logical uint32
	Child   uint64
}

func (x *ExtentIndex) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], x.Logical)
	le.PutUint32(b[4:], uint32(x.Child))
	le.PutUint16(b[8:], uint16(x.Child>>32))
	le.PutUint16(b[10:], 0)
}

func (x *ExtentIndex) Decode(b []byte) {
	le := binary.LittleEndian
	*x = ExtentIndex{le.Uint32(b[0:]), join(le.Uint32(b[4:]), uint32(le.Uint16(b[8:])))}
}
