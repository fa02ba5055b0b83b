package disk

// Limits that mke2fs has, too.
const (
	LastGroupRoom  = 50   // blocks for data that a last, shorter group has at least
	MaxReservedGDT = 1024 // the number of block numbers in a block

	maxLogBlockSize   = 6  // 64 KiB, which kernels with pages of that size mount
	maxLogClusterSize = 19 // 512 MiB
)

// CheckGeometry checks the fields from which addresses are computed, for a file system in
// the first size bytes of a disk.
func (s *Superblock) CheckGeometry(size int64) error {
	bits := uint32(8 * s.BlockSize()) // of a bitmap
	bad := func(format string, args ...any) error { return Corrupt(SuperOffset, format, args...) }
	switch {
	case s.LogBlockSize > maxLogBlockSize:
		return bad("block size of 2^%d bytes", 10+uint64(s.LogBlockSize))
	case s.LogClusterSize != s.LogBlockSize && s.RoCompat&RoCompatBigalloc == 0,
		s.LogClusterSize < s.LogBlockSize || s.LogClusterSize > maxLogClusterSize,
		uint64(s.ClustersPerGroup)<<(s.LogClusterSize-s.LogBlockSize) != uint64(s.BlocksPerGroup):
		return bad("%d clusters of 2^%d bytes in groups of %d blocks", s.ClustersPerGroup, 10+uint64(s.LogClusterSize), s.BlocksPerGroup)
	case s.FirstDataBlock != s.firstBlock():
		return bad("first data block is %d", s.FirstDataBlock)
	case s.ClustersPerGroup < 8 || s.ClustersPerGroup > bits || s.ClustersPerGroup%8 != 0:
		return bad("%d blocks in a group", s.BlocksPerGroup)
	case s.InodeSize < SmallInodeSize || int(s.InodeSize) > s.BlockSize() || s.InodeSize&(s.InodeSize-1) != 0:
		return bad("inodes of %d bytes", s.InodeSize)
	case s.InodesPerGroup < s.inodesPerBlock() || s.InodesPerGroup > bits || s.InodesPerGroup%8 != 0:
		return bad("%d inodes in a group", s.InodesPerGroup)
	case s.GroupDescSize() < SmallGroupDescSize || s.GroupDescSize() > 1024 || s.GroupDescSize()&(s.GroupDescSize()-1) != 0,
		s.Incompat&Incompat64Bit != 0 && s.GroupDescSize() < GroupDescSize:
		return bad("group descriptors of %d bytes", s.DescSize)
	case s.Blocks() < 2:
		return bad("%d blocks", s.Blocks())
	case s.Blocks() > uint64(size)/uint64(s.BlockSize()):
		return bad("cut short: %d blocks in a file of %d bytes", s.Blocks(), size)
	case uint64(s.Inodes) != s.Groups()*uint64(s.InodesPerGroup):
		return bad("%d inodes in %d groups of %d", s.Inodes, s.Groups(), s.InodesPerGroup)
	case s.FirstIno < FirstIno || s.FirstIno > s.Inodes:
		return bad("first inode is %d of %d", s.FirstIno, s.Inodes)
	}
	return nil
}

// CheckWritten refuses what the reader handles and what writes or audits does not: blocks
// that do not have the length BlockSize, clusters, and file systems of revision 0.
func (s *Superblock) CheckWritten() error {
	switch {
	case s.Rev != DynamicRev:
		return Unsupported(SuperOffset, "revision %d", s.Rev)
	case s.RoCompat&RoCompatBigalloc != 0:
		return Unsupported(SuperOffset, "bigalloc")
	case s.LogBlockSize != blockBits-10:
		return Unsupported(SuperOffset, "blocks of %d bytes, only those of %d can be changed and checked", uint64(1024)<<s.LogBlockSize, BlockSize)
	}
	return nil
}

// BlockSize is the length of a block in bytes. It is valid if CheckGeometry has nothing to
// say.
func (s *Superblock) BlockSize() int { return 1024 << s.LogBlockSize }

// firstBlock is the right FirstDataBlock: that of the primary superblock if it has a block,
// of 1024 bytes, for itself. With clusters of several blocks mke2fs counts from 0.
func (s *Superblock) firstBlock() uint32 {
	if s.LogBlockSize == 0 && s.LogClusterSize == 0 {
		return 1
	}
	return 0
}

// GroupStart is the first block of group g.
func (s *Superblock) GroupStart(g uint64) uint64 {
	return uint64(s.FirstDataBlock) + g*uint64(s.BlocksPerGroup)
}

// Groups is the number of groups.
func (s *Superblock) Groups() uint64 {
	return DivUp(s.Blocks()-uint64(s.FirstDataBlock), uint64(s.BlocksPerGroup))
}

// inodesPerBlock is how many inodes a block of an inode table holds.
func (s *Superblock) inodesPerBlock() uint32 { return uint32(s.BlockSize()) / uint32(s.InodeSize) }

// TableBlocks is the length of a group's inode table in blocks.
func (s *Superblock) TableBlocks() uint64 {
	n := uint64(s.inodesPerBlock())
	return (uint64(s.InodesPerGroup) + n - 1) / n
}

// HasBackup reports whether group g has the superblock and the descriptors: copies, or in
// group 0 the originals.
func (s *Superblock) HasBackup(g uint64) bool {
	if s.Compat&CompatSparseSuper2 != 0 {
		return g == 0 || g == uint64(s.BackupGroups[0]) || g == uint64(s.BackupGroups[1])
	}
	return s.RoCompat&RoCompatSparseSuper == 0 || IsBackupGroup(uint32(g))
}

// DescOffset is where the descriptor of group g is in the file system, in bytes.
func (s *Superblock) DescOffset(g uint64) int64 {
	size := uint64(s.GroupDescSize())
	perBlock := uint64(s.BlockSize()) / size
	block := SuperOffset/uint64(s.BlockSize()) + 1 + g/perBlock
	if meta := g / perBlock; s.Incompat&IncompatMetaBG != 0 && meta >= uint64(s.FirstMetaBG) {
		// Each run of perBlock groups has its descriptors at its own start.
		first := meta * perBlock
		switch {
		case first == 0: // as without meta_bg
		case s.HasBackup(first):
			block = s.GroupStart(first) + 1
		default:
			block = s.GroupStart(first)
		}
	}
	return int64(block*uint64(s.BlockSize()) + g%perBlock*size)
}

// GroupSize is how many blocks a group has. The last group may have fewer.
func (s *Superblock) GroupSize() uint64 { return uint64(s.BlocksPerGroup) }

// DescBlocks is how many blocks the descriptors take.
func (s *Superblock) DescBlocks() uint64 {
	return DivUp(s.Groups(), DescsPerBlock(uint32(s.GroupDescSize())))
}

// HeadBlocks is how many blocks at the start of group g hold the superblock, the
// descriptors and the blocks reserved for descriptors: 0 in a group without copies.
// Growing does not change it.
func (s *Superblock) HeadBlocks(g uint64) uint64 {
	if !s.HasBackup(g) {
		return 0
	}
	return 1 + s.DescBlocks() + uint64(s.ReservedGDT)
}

// GroupBlocks is how many blocks group n has.
func (s *Superblock) GroupBlocks(n uint64) uint64 {
	return min(s.Blocks()-s.GroupStart(n), s.GroupSize())
}

// IsBackupGroup reports whether group g has the superblock and the descriptors, in file
// systems with sparse_super (ext4_bg_has_super): copies, or in group 0 the originals.
func IsBackupGroup(g uint32) bool {
	if g <= 1 {
		return true
	}
	if g&1 == 0 {
		return false
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < uint64(g) {
			n *= base
		}
		if n == uint64(g) {
			return true
		}
	}
	return false
}

// BackupGroups returns those of the first groups groups that have the superblock, group 0
// included, in ascending order.
func BackupGroups(groups uint32) []uint32 {
	var list []uint32
	for g := uint32(0); g < min(groups, 2); g++ {
		list = append(list, g)
	}
	three, five, seven := uint64(3), uint64(5), uint64(7)
	for {
		g := min(three, five, seven)
		if g >= uint64(groups) {
			return list
		}
		list = append(list, uint32(g))
		switch g {
		case three:
			three *= 3
		case five:
			five *= 5
		default:
			seven *= 7
		}
	}
}

// DivUp is n/by, rounded up.
func DivUp(n, by uint64) uint64 { return n/by + min(n%by, 1) }

// DescsPerBlock is how many group descriptors of descSize bytes a block holds.
func DescsPerBlock(descSize uint32) uint64 { return BlockSize / uint64(descSize) }

// DescBlocks is how many blocks the descriptors, of descSize bytes, of a file system of
// the given number of blocks take.
func DescBlocks(blocks uint64, descSize uint32) uint64 {
	return DivUp(DivUp(blocks, BlocksPerGroup), DescsPerBlock(descSize))
}
