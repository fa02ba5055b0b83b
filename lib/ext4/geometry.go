package ext4

import "math"

// Numbers of mke2fs.
const (
	lastGroupRoom  = 50   // blocks that a last, shorter group must have for data
	maxReservedGDT = 1024 // as many as a block has numbers of blocks
)

// checkGeometry checks all that addresses are computed from.
func (s *superblock) checkGeometry(size int64) error {
	bad := func(format string, args ...any) error { return corrupt(superOffset, format, args...) }
	switch {
	case s.LogBlockSize > 6:
		return bad("block size of 2^%d bytes", 10+uint64(s.LogBlockSize))
	case 1024<<s.LogBlockSize != blockSize:
		return unsupported(superOffset, "blocks of %d bytes, only %d are read", 1024<<s.LogBlockSize, blockSize)
	case s.LogClusterSize != s.LogBlockSize, s.ClustersPerGroup != s.BlocksPerGroup:
		return bad("clusters of 2^%d bytes without bigalloc", 10+uint64(s.LogClusterSize))
	case s.FirstDataBlock != 0:
		return bad("first data block is %d", s.FirstDataBlock)
	case s.BlocksPerGroup < 8 || s.BlocksPerGroup > blocksPerGroup || s.BlocksPerGroup%8 != 0:
		return bad("%d blocks in a group", s.BlocksPerGroup)
	case s.InodeSize < smallInodeSize || s.InodeSize > blockSize || s.InodeSize&(s.InodeSize-1) != 0:
		return bad("inodes of %d bytes", s.InodeSize)
	case s.InodesPerGroup < blockSize/uint32(s.InodeSize) || s.InodesPerGroup > maxInodesPerGroup || s.InodesPerGroup%8 != 0:
		return bad("%d inodes in a group", s.InodesPerGroup)
	case s.descSize() < smallGroupDescSize || s.descSize() > 1024 || s.descSize()&(s.descSize()-1) != 0,
		s.Incompat&incompat64Bit != 0 && s.descSize() < groupDescSize:
		return bad("group descriptors of %d bytes", s.DescSize)
	case s.blocks() < 2:
		return bad("%d blocks", s.blocks())
	case s.blocks() > math.MaxInt64/blockSize || int64(s.blocks())*blockSize > size:
		return bad("cut short: %d blocks in a file of %d bytes", s.blocks(), size)
	case uint64(s.Inodes) != s.groups()*uint64(s.InodesPerGroup):
		return bad("%d inodes in %d groups of %d", s.Inodes, s.groups(), s.InodesPerGroup)
	case s.FirstIno < firstIno || s.FirstIno > s.Inodes:
		return bad("first inode is %d of %d", s.FirstIno, s.Inodes)
	}
	return nil
}

// groups is how many groups there are.
func (s *superblock) groups() uint64 {
	n := uint64(s.BlocksPerGroup)
	return (s.blocks() + n - 1) / n
}

// inodesPerBlock is how many inodes a block of a table holds.
func (s *superblock) inodesPerBlock() uint32 { return blockSize / uint32(s.InodeSize) }

// tableBlocks is the length of a group's inode table.
func (s *superblock) tableBlocks() uint64 {
	n := uint64(s.inodesPerBlock())
	return (uint64(s.InodesPerGroup) + n - 1) / n
}

// hasBackup reports whether group g has copies of the superblock and of the
// descriptors, or with 0 the first.
func (s *superblock) hasBackup(g uint64) bool {
	if s.Compat&compatSparseSuper2 != 0 {
		return g == 0 || g == uint64(s.BackupGroups[0]) || g == uint64(s.BackupGroups[1])
	}
	return s.RoCompat&roCompatSparseSuper == 0 || isBackupGroup(uint32(g))
}

// descOffset is where the descriptor of group g is.
func (s *superblock) descOffset(g uint64) int64 {
	size := uint64(s.descSize())
	perBlock := blockSize / size
	block := 1 + g/perBlock
	if meta := g / perBlock; s.Incompat&incompatMetaBG != 0 && meta >= uint64(s.FirstMetaBG) {
		// Each run of perBlock groups has its descriptors at its own start.
		first := meta * perBlock
		block = first * uint64(s.BlocksPerGroup)
		if first == 0 || s.hasBackup(first) {
			block++
		}
	}
	return int64(block*blockSize + g%perBlock*size)
}

// perGroup is how many blocks a group has, but for the last one.
func (s *superblock) perGroup() uint64 { return uint64(s.BlocksPerGroup) }

// descBlocks is how many blocks the descriptors take.
func (s *superblock) descBlocks() uint64 {
	return divUp(s.groups(), descsPerBlock(uint32(s.descSize())))
}

// superBlocks is what group g begins with: superblock, descriptors and their
// reserve, or nothing. Growing does not change it.
func (s *superblock) superBlocks(g uint64) uint64 {
	if !s.hasBackup(g) {
		return 0
	}
	return 1 + s.descBlocks() + uint64(s.ReservedGDT)
}

// groupBlocks is how many blocks group n has.
func (s *superblock) groupBlocks(n uint64) uint64 {
	return min(s.blocks()-n*s.perGroup(), s.perGroup())
}

// isBackupGroup reports whether group g has a copy of the superblock and the
// descriptors, or with 0 the first: sparse_super, ext4_bg_has_super.
func isBackupGroup(g uint32) bool {
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

// backupGroups are all groups with copies among the first groups, 0 included, in
// ascending order.
func backupGroups(groups uint32) []uint32 {
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

func divUp(n, by uint64) uint64 { return n/by + min(n%by, 1) }

// descsPerBlock is how many group descriptors a block has.
func descsPerBlock(descSize uint32) uint64 { return blockSize / uint64(descSize) }

// gdtBlocks is how many blocks the descriptors of a file system take.
func gdtBlocks(blocks uint64, descSize uint32) uint64 {
	return divUp(divUp(blocks, blocksPerGroup), descsPerBlock(descSize))
}
