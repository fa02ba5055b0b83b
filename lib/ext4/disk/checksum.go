package disk

import (
	"encoding/binary"
	"hash/crc32"
)

// Checksums of metadata_csum are CRC-32C without the inversion at the end. They
// start from the seed of the file system, and those of an inode's blocks from the seed of
// that inode, so that a block in the wrong place is noticed. Functions named after a
// record compute its checksum; those whose name begins with Seal store it. The journal
// has checksums of its own: see lib/ext4/journal.

// RawSum continues the checksum sum over p.
func RawSum(sum uint32, p []byte) uint32 {
	return ^crc32.Update(^sum, crc32.MakeTable(crc32.Castagnoli), p)
}

func rawSum32(sum, v uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return RawSum(sum, b[:])
}

func rawSum64(sum uint32, v uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return RawSum(sum, b[:])
}

// SuperSumOffset is the offset of the checksum in the superblock.
const SuperSumOffset = 0x3FC

// SuperChecksum is the checksum of the superblock in b. It starts from ones, not from the
// seed, because the superblock itself holds the seed.
func SuperChecksum(b []byte) uint32 {
	return RawSum(^uint32(0), b[:SuperSumOffset])
}

// Seed is what the checksums of a file system start from.
type Seed uint32

// NewSeed is the seed of a file system without metadata_csum_seed.
func NewSeed(uuid [16]byte) Seed {
	return Seed(RawSum(^uint32(0), uuid[:]))
}

// Group is the checksum of the descriptor of group g. b is the whole descriptor; the bytes
// of the stored checksum count as zero.
func (s Seed) Group(g uint32, b []byte) uint16 {
	sum := rawSum32(uint32(s), g)
	sum = RawSum(sum, b[:GroupSumOffset])
	sum = RawSum(sum, []byte{0, 0})
	return uint16(RawSum(sum, b[groupSumEnd:]))
}

// SealGroup stores the checksum of the descriptor of group g in b.
func (s Seed) SealGroup(g uint32, b []byte) {
	binary.LittleEndian.PutUint16(b[GroupSumOffset:], s.Group(g, b))
}

// Bitmap is the checksum of the bitmap b: a block bitmap is a whole block, an inode bitmap
// only the bits of the group's inodes. A small descriptor stores the lower 16 bits.
func (s Seed) Bitmap(b []byte) uint32 {
	return RawSum(uint32(s), b)
}

// XattrBlock is the checksum of the block of xattrs b. at is the number of the block.
func (s Seed) XattrBlock(at uint64, b []byte) uint32 {
	sum := rawSum64(uint32(s), at)
	sum = RawSum(sum, b[:XattrSumOffset])
	sum = rawSum32(sum, 0)
	return RawSum(sum, b[XattrSumOffset+4:])
}

// Inode is the seed of the inode ino.
func (s Seed) Inode(ino, generation uint32) InodeSeed {
	return InodeSeed(rawSum32(rawSum32(uint32(s), ino), generation))
}

// InodeSeed is what the checksums of an inode and its blocks start from.
type InodeSeed uint32

// Inode is the checksum of the inode in b. b is the whole inode; the bytes of the stored
// checksum count as zero. An inode that has no room for the upper half stores 16 bits.
func (s InodeSeed) Inode(b []byte) uint32 {
	sum := RawSum(uint32(s), b[:InodeSumLo])
	sum = RawSum(sum, []byte{0, 0})
	if !hasInodeSumHi(b) {
		return RawSum(sum, b[InodeSumLo+2:])
	}
	sum = RawSum(sum, b[InodeSumLo+2:InodeSumHi])
	sum = RawSum(sum, []byte{0, 0})
	return RawSum(sum, b[InodeSumHi+2:])
}

// hasInodeSumHi reports whether the inode in b has room for the upper half of a checksum.
func hasInodeSumHi(b []byte) bool {
	return len(b) > SmallInodeSize && binary.LittleEndian.Uint16(b[SmallInodeSize:]) >= inodeSumEnd
}

// Seal stores the checksum of the inode in b.
func (s InodeSeed) Seal(b []byte) {
	sum := s.Inode(b)
	binary.LittleEndian.PutUint16(b[InodeSumLo:], uint16(sum))
	if hasInodeSumHi(b) {
		binary.LittleEndian.PutUint16(b[InodeSumHi:], uint16(sum>>16))
	}
}

// Matches reports whether the inode in b stores the right checksum.
func (s InodeSeed) Matches(b []byte) bool {
	sum := s.Inode(b)
	le := binary.LittleEndian
	return le.Uint16(b[InodeSumLo:]) == uint16(sum) &&
		(!hasInodeSumHi(b) || le.Uint16(b[InodeSumHi:]) == uint16(sum>>16))
}

// ExtentBlock is the checksum of the block b, a node of an extent tree. It is stored after
// the room for entries.
func (s InodeSeed) ExtentBlock(b []byte) uint32 {
	return RawSum(uint32(s), b[:extentSumOffset(len(b))])
}

// DirLeaf is the checksum of the block b of directory entries, stored in its tail:
// see encodeDirTail.
func (s InodeSeed) DirLeaf(b []byte) uint32 {
	return RawSum(uint32(s), b[:len(b)-dirTailSize])
}

// Htree is the checksum of the block b, a root or node of an htree with count entries in the
// table at byte table. It is stored in the last four bytes. It covers the block up to the
// last entry in use, the reserved word of the tail, and zeros in place of itself
// (ext4_dx_csum).
func (s InodeSeed) Htree(b []byte, table, count int) uint32 {
	sum := RawSum(uint32(s), b[:table+count*HtreeEntrySize])
	sum = RawSum(sum, b[len(b)-htreeTailSize:len(b)-htreeTailSize/2])
	return rawSum32(sum, 0)
}

// Orphan files: blocks of inode numbers, then a magic word and a checksum.
const (
	OrphanMagic       = 0x0B10CA04
	orphanTailSize    = 8
	OrphanMagicOffset = BlockSize - orphanTailSize
	OrphanSumOffset   = BlockSize - orphanTailSize/2
	OrphanSlots       = OrphanMagicOffset / 4
)

// OrphanBlock is the checksum of b, a block of an orphan file. at is the number of the
// block.
func (s InodeSeed) OrphanBlock(at uint64, b []byte) uint32 {
	return RawSum(rawSum64(uint32(s), at), b[:len(b)-orphanTailSize])
}
