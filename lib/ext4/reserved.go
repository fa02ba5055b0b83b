package ext4

import "encoding/binary"

// The blocks behind the descriptors that are reserved for more of them belong to
// the file of inode 7, so that nobody else takes them. Its double-indirect block
// lists those of group 0; these are used as indirect blocks themselves, and list
// their copies in the groups with backups (ext4_resize_begin, and
// ext2fs_create_resize_inode of e2fsprogs).
const (
	resizeSlot = 13 // in i_block
	wordSize   = 4
	wordsBlock = blockSize / wordSize
)

// reservedSectors is what inode 7 counts.
func (s *superblock) reservedSectors() uint64 {
	return sectorBlocks * (1 + uint64(s.ReservedGDT)*uint64(1+len(s.backups())))
}

// backups are the groups with copies of the superblock: there is a resize inode only
// with sparse_super.
func (s *superblock) backups() []uint32 { return backupGroups(uint32(s.groups()))[1:] }

// listCopies fills b, a zeroed block or the list of another reserved block, with the
// copies of a reserved block.
func (s *superblock) listCopies(b []byte, block uint64) {
	for i, n := range s.backups() {
		binary.LittleEndian.PutUint32(b[i*wordSize:], n*s.BlocksPerGroup+uint32(block))
	}
}
