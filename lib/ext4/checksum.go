package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

// Checksums of metadata_csum are CRC-32C without the inversion at the end. They
// start from the seed of the file system, and those of an inode's blocks from
// the seed of that inode, so that a block that strays is noticed. Functions named
// after a record compute; those named seal store it, too. The journal has its own:
// see journal.go.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rawSum continues the checksum sum over p.
func rawSum(sum uint32, p []byte) uint32 {
	return ^crc32.Update(^sum, castagnoli, p)
}

func rawSum32(sum, v uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return rawSum(sum, b[:])
}

func rawSum64(sum uint32, v uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return rawSum(sum, b[:])
}

const superSumOffset = 0x3FC

// superChecksum is that of the superblock in b. It starts from ones, not from a
// seed: the seed is in it.
func superChecksum(b []byte) uint32 {
	return rawSum(^uint32(0), b[:superSumOffset])
}

// seed is what the checksums of a file system start from.
type seed uint32

func newSeed(uuid [16]byte) seed {
	return seed(rawSum(^uint32(0), uuid[:]))
}

// group is the checksum of the descriptor of group g in b, all of its bytes. Its
// own two count as zero.
func (s seed) group(g uint32, b []byte) uint16 {
	sum := rawSum32(uint32(s), g)
	sum = rawSum(sum, b[:groupSumOffset])
	sum = rawSum(sum, []byte{0, 0})
	return uint16(rawSum(sum, b[groupSumEnd:]))
}

// sealGroup stores the checksum of the descriptor of group g in b.
func (s seed) sealGroup(g uint32, b []byte) {
	binary.LittleEndian.PutUint16(b[groupSumOffset:], s.group(g, b))
}

// bitmap is the checksum of a bitmap: of blocks over all of its block, of inodes
// over as many bits as a group has inodes. A small descriptor stores 16 bits.
func (s seed) bitmap(b []byte) uint32 {
	return rawSum(uint32(s), b)
}

// xattrBlock is the checksum of the block of xattrs b, which lies at block at.
func (s seed) xattrBlock(at uint64, b []byte) uint32 {
	sum := rawSum64(uint32(s), at)
	sum = rawSum(sum, b[:xattrSumOffset])
	sum = rawSum32(sum, 0)
	return rawSum(sum, b[xattrSumOffset+4:blockSize])
}

// inode is the seed of inode ino.
func (s seed) inode(ino, generation uint32) inodeSeed {
	return inodeSeed(rawSum32(rawSum32(uint32(s), ino), generation))
}

// inodeSeed is what the checksums of an inode and its blocks start from.
type inodeSeed uint32

// inode is the checksum of the inode in b, all of its bytes. Its own count as
// zero. Of an inode without the upper half only 16 bits are stored.
func (s inodeSeed) inode(b []byte) uint32 {
	sum := rawSum(uint32(s), b[:inodeSumLo])
	sum = rawSum(sum, []byte{0, 0})
	if !hasInodeSumHi(b) {
		return rawSum(sum, b[inodeSumLo+2:])
	}
	sum = rawSum(sum, b[inodeSumLo+2:inodeSumHi])
	sum = rawSum(sum, []byte{0, 0})
	return rawSum(sum, b[inodeSumHi+2:])
}

// hasInodeSumHi reports whether the inode in b has the upper half of a checksum.
func hasInodeSumHi(b []byte) bool {
	return len(b) > smallInodeSize && binary.LittleEndian.Uint16(b[smallInodeSize:]) >= inodeSumEnd
}

// seal stores the checksum of the inode in b.
func (s inodeSeed) seal(b []byte) {
	sum := s.inode(b)
	binary.LittleEndian.PutUint16(b[inodeSumLo:], uint16(sum))
	if hasInodeSumHi(b) {
		binary.LittleEndian.PutUint16(b[inodeSumHi:], uint16(sum>>16))
	}
}

// matches reports whether the inode in b has its checksum.
func (s inodeSeed) matches(b []byte) bool {
	sum := s.inode(b)
	le := binary.LittleEndian
	return le.Uint16(b[inodeSumLo:]) == uint16(sum) &&
		(!hasInodeSumHi(b) || le.Uint16(b[inodeSumHi:]) == uint16(sum>>16))
}

// extentBlock is the checksum of a node of an extent tree, stored at
// extentSumOffset, behind the last entry that has room.
func (s inodeSeed) extentBlock(b []byte) uint32 {
	return rawSum(uint32(s), b[:extentSumOffset])
}

// dirLeaf is the checksum of a block of directory entries, stored in its tail:
// see encodeDirTail.
func (s inodeSeed) dirLeaf(b []byte) uint32 {
	return rawSum(uint32(s), b[:dirTailOffset])
}

// htree is the checksum of a root or node of an htree with count entries in the
// table at table, stored at htreeSumOffset. It leaves out what is not in use, and
// has the reserved word of the tail, and zeros for itself (ext4_dx_csum).
func (s inodeSeed) htree(b []byte, table, count int) uint32 {
	sum := rawSum(uint32(s), b[:table+count*htreeEntrySize])
	sum = rawSum(sum, b[htreeTailOffset:htreeSumOffset])
	return rawSum32(sum, 0)
}

// Orphan files: blocks of inode numbers, then a magic word and a checksum.
const (
	orphanMagic       = 0x0B10CA04
	orphanMagicOffset = blockSize - 8
	orphanSumOffset   = blockSize - 4
	orphanSlots       = orphanMagicOffset / 4
)

// orphanBlock is the checksum of the block at of an orphan file.
func (s inodeSeed) orphanBlock(at uint64, b []byte) uint32 {
	return rawSum(rawSum64(uint32(s), at), b[:orphanMagicOffset])
}
