package disk

import "encoding/binary"

// The blocks after the descriptors, which are reserved for more descriptors, belong to
// the file of inode 7, so that no other file takes them. Its double-indirect block lists
// those of group 0. Each of these is used as an indirect block itself, and lists its
// copies in the groups with backups (ext4_resize_begin, and ext2fs_create_resize_inode
// of e2fsprogs).
const (
	ResizeSlot       = 13 // in i_block
	PointerSize      = 4
	PointersPerBlock = BlockSize / PointerSize
)

// ReservedSectors is the right i_blocks of inode 7, in sectors of 512 bytes.
func (s *Superblock) ReservedSectors() uint64 {
	return SectorBlocks * (1 + uint64(s.ReservedGDT)*uint64(1+len(s.Backups())))
}

// Backups returns the groups with copies of the superblock, for a file system with
// sparse_super, which a resize inode requires.
func (s *Superblock) Backups() []uint32 { return BackupGroups(uint32(s.Groups()))[1:] }

// ListCopies writes the list of the copies of block, a reserved block, to b. b is a block
// of zeros, or the list of another reserved block.
func (s *Superblock) ListCopies(b []byte, block uint64) {
	for i, n := range s.Backups() {
		binary.LittleEndian.PutUint32(b[i*PointerSize:], n*s.BlocksPerGroup+uint32(block))
	}
}
