package disk

import "encoding/binary"

// The blocks behind the descriptors that are reserved for more of them belong to
// the file of inode 7, so that nobody else takes them. Its double-indirect block
// lists those of group 0; these are used as indirect blocks themselves, and list
// their copies in the groups with backups (ext4_resize_begin, and
// ext2fs_create_resize_inode of e2fsprogs).
const (
	ResizeSlot       = 13 // in i_block
	PointerSize      = 4
	PointersPerBlock = BlockSize / PointerSize
)

// ReservedSectors is what inode 7 counts.
func (s *Superblock) ReservedSectors() uint64 {
	return SectorBlocks * (1 + uint64(s.ReservedGDT)*uint64(1+len(s.Backups())))
}

// Backups are the groups with copies of the superblock: there is a resize inode only
// with sparse_super.
func (s *Superblock) Backups() []uint32 { return BackupGroups(uint32(s.Groups()))[1:] }

// ListCopies fills b, a zeroed block or the list of another reserved block, with the
// copies of a reserved block.
func (s *Superblock) ListCopies(b []byte, block uint64) {
	for i, n := range s.Backups() {
		binary.LittleEndian.PutUint32(b[i*PointerSize:], n*s.BlocksPerGroup+uint32(block))
	}
}
