package disk

import (
	"encoding/binary"
	"math"
)

// Kinds of files as directory entries have them.
const (
	KindUnknown uint8 = 0
	KindFile    uint8 = 1
	KindDir     uint8 = 2
	KindChar    uint8 = 3
	KindBlock   uint8 = 4
	KindFifo    uint8 = 5
	KindSocket  uint8 = 6
	KindLink    uint8 = 7
	kindTail    uint8 = 0xDE // not an entry, but the checksum at the end of a block
)

const (
	DirentHeadSize = 8
	direntAlign    = 4
	dirTailSize    = 12
	DirTailOffset  = BlockSize - dirTailSize
	DotSize        = 12 // of the entries . and ..
)

// DirentHead begins a directory entry, struct ext4_dir_entry_2; the name follows.
//
//	off size field     meaning                                        range
//	  0    4 Ino       0: not in use
//	  4    2 RecLen    to the next entry                              multiple of 4, within the block
//	  6    1 NameLen                                                  1 to 255 in use
//	  7    1 Kind      KindFile to KindLink                           0 without filetype
type DirentHead struct {
	Ino     uint32
	RecLen  uint16
	NameLen uint8
	Kind    uint8
}

func (d *DirentHead) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], d.Ino)
	le.PutUint16(b[4:], d.RecLen)
	b[6], b[7] = d.NameLen, d.Kind
}

func (d *DirentHead) Decode(b []byte) {
	le := binary.LittleEndian
	*d = DirentHead{le.Uint32(b[0:]), le.Uint16(b[4:]), b[6], b[7]}
}

// size is RecLen in a block of the given length. One of 64 KiB has two ways to say that an
// entry takes all of it (ext4_rec_len_from_disk).
func (d *DirentHead) size(block int) int {
	if block > math.MaxUint16 && (d.RecLen == 0 || d.RecLen == math.MaxUint16) {
		return block
	}
	return int(d.RecLen)
}

// direntSize is how many bytes an entry with a name of n bytes takes.
func direntSize(n int) int {
	return (DirentHeadSize + n + direntAlign - 1) &^ (direntAlign - 1)
}

// encodeDirTail writes the tail of a leaf block, struct ext4_dir_entry_tail: the head of an
// unused entry without a name, of kind kindTail, then the checksum; dirTailSize bytes
// together.
func encodeDirTail(block []byte, sum uint32) {
	tail := block[len(block)-dirTailSize:]
	(&DirentHead{RecLen: dirTailSize, Kind: kindTail}).Encode(tail)
	binary.LittleEndian.PutUint32(tail[DirentHeadSize:], sum)
}

// decodeDirTail returns the checksum in the tail of a leaf block; ok is false if the block
// has no tail.
func decodeDirTail(block []byte) (sum uint32, ok bool) {
	var d DirentHead
	tail := block[len(block)-dirTailSize:]
	d.Decode(tail)
	return binary.LittleEndian.Uint32(tail[DirentHeadSize:]), d == DirentHead{RecLen: dirTailSize, Kind: kindTail}
}

// htrees (fs/ext4/namei.c, struct dx_root and dx_node). The root is block 0 of
// the directory: the entries . and .., the second with the rest of the block for
// its record, then htreeInfo, then a table. A node is a block with one unused
// entry of its whole size, then a table. Entry 0 of a table has no hash: that
// word holds the table's limit and count. At the end is a tail with a checksum.
const (
	HtreeInfoOffset = 24 // in the root
	htreeInfoSize   = 8
	HtreeRootTable  = HtreeInfoOffset + htreeInfoSize
	htreeNodeTable  = DirentHeadSize
	HtreeEntrySize  = 8
	htreeTailSize   = 8
	htreeTailOffset = BlockSize - htreeTailSize // reserved word, checksum
	HtreeSumOffset  = htreeTailOffset + htreeTailSize/2

	htreeMaxLevels = 1 // of nodes between root and leaves; 2 with largedir (dx_probe)
)

// htreeInfo is struct dx_root_info.
//
//	off size field      meaning                              range
//	  0    4 -          0
//	  4    1 Version    of the hash; see hashUnsigned        hashLegacy to hashTea
//	  5    1 Length     of this record                       8
//	  6    1 Levels     of nodes between root and leaves     at most htreeMaxLevels
//	  7    1 Flags                                           0
type htreeInfo struct {
	Version uint8
	Length  uint8
	Levels  uint8
	Flags   uint8
}

func (h *htreeInfo) Encode(b []byte) {
	binary.LittleEndian.PutUint32(b, 0)
	b[4], b[5], b[6], b[7] = h.Version, h.Length, h.Levels, h.Flags
}

func (h *htreeInfo) Decode(b []byte) {
	*h = htreeInfo{b[4], b[5], b[6], b[7]}
}

// htreeCount is struct dx_countlimit, in place of the hash of a table's entry 0.
//
//	off size field      meaning                        range
//	  0    2 Limit      entries that the table has room for
//	  2    2 Count      entries in use, with entry 0   1 to Limit
type htreeCount struct {
	Limit, Count uint16
}

func (c *htreeCount) Encode(b []byte) {
	binary.LittleEndian.PutUint16(b[0:], c.Limit)
	binary.LittleEndian.PutUint16(b[2:], c.Count)
}

func (c *htreeCount) Decode(b []byte) {
	*c = htreeCount{binary.LittleEndian.Uint16(b[0:]), binary.LittleEndian.Uint16(b[2:])}
}

// htreeEntry is struct dx_entry.
//
//	off size field      meaning
//	  0    4 Hash       the first in Block; bit 0: names with it are in the block before, too
//	  4    4 Block      of the directory, not of the disk
type htreeEntry struct {
	Hash, Block uint32
}

func (e *htreeEntry) Encode(b []byte) {
	binary.LittleEndian.PutUint32(b[0:], e.Hash)
	binary.LittleEndian.PutUint32(b[4:], e.Block)
}

func (e *htreeEntry) Decode(b []byte) {
	*e = htreeEntry{binary.LittleEndian.Uint32(b[0:]), binary.LittleEndian.Uint32(b[4:])}
}
