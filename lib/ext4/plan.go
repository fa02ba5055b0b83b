package ext4

import (
	"math"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
)

// geometry is the part of a layout that follows from size and features.
type geometry struct {
	blocks   uint64
	groups   uint32
	ipg      uint32 // inodes per group, a multiple of disk.InodesPerBlock
	descSize uint32
	gdt      uint32 // blocks of group descriptors
	reserved uint32 // blocks after them, reserved for more
	logFlex  uint8  // groups whose metadata lies together
}

// Numbers that mke2fs uses.
const (
	maxResizeBlock = math.MaxUint32
	journalMin     = 1024
	defaultLogFlex = 4
)

// tableBlocks is the length of a group's inode table in blocks.
func (g *geometry) tableBlocks() uint64 { return uint64(g.ipg) / disk.InodesPerBlock }

// inodes is the number of inodes in all groups.
func (g *geometry) inodes() uint64 { return uint64(g.ipg) * uint64(g.groups) }

// superArea is how many blocks at the start of group i are for the superblock and the
// descriptors.
func (g *geometry) superArea(i uint32) uint64 {
	if !disk.IsBackupGroup(i) {
		return 0
	}
	return 1 + uint64(g.gdt) + uint64(g.reserved)
}

// groupBlocks is how many blocks group i has.
func (g *geometry) groupBlocks(i uint32) uint64 {
	return min(disk.BlocksPerGroup, g.blocks-uint64(i)*disk.BlocksPerGroup)
}

// groupOverhead is how many blocks of group i its own metadata takes.
func (g *geometry) groupOverhead(i uint32) uint64 {
	return 2 + g.tableBlocks() + g.superArea(i)
}

// fixed is how many blocks of metadata the groups need, whatever files there are.
func (g *geometry) fixed() uint64 {
	n := uint64(g.groups) * (2 + g.tableBlocks())
	return n + uint64(len(disk.BackupGroups(g.groups)))*g.superArea(0)
}

// setGroups divides g.blocks into groups, with at least the given number of inodes in all,
// or as many as possible.
func (g *geometry) setGroups(inodes uint64) {
	groups := disk.DivUp(g.blocks, disk.BlocksPerGroup)
	g.groups = uint32(groups) // at most MaxSize
	g.gdt = uint32(disk.DescBlocks(g.blocks, g.descSize))
	ipg := disk.DivUp(disk.DivUp(max(inodes, disk.FirstIno), groups), disk.InodesPerBlock) * disk.InodesPerBlock
	limit := min(disk.MaxInodesPerGroup, math.MaxUint32/groups/disk.InodesPerBlock*disk.InodesPerBlock)
	g.ipg = uint32(min(ipg, limit))
}

// lastGroupShort is how many blocks the last group lacks to be of use; 0: none.
func (g *geometry) lastGroupShort() uint64 {
	last := g.groups - 1
	need := g.groupOverhead(last) + disk.LastGroupRoom
	if have := g.groupBlocks(last); have < min(need, disk.BlocksPerGroup) {
		return need - have
	}
	return 0
}

// superAreas returns the areas of superblocks and descriptors.
func (g *geometry) superAreas() []alloc.Area {
	var list []alloc.Area
	for _, i := range disk.BackupGroups(g.groups) {
		list = append(list, alloc.Area{Start: uint64(i) * disk.BlocksPerGroup, N: g.superArea(i)})
	}
	return list
}

// groupPlace has the places of the metadata of a group.
type groupPlace struct {
	blockBitmap, inodeBitmap, inodeTable uint64
}

// place lays out bitmaps and inode tables. Those of a flex run are together at the start of
// its first group, or from block from on if that is later. place returns the place for each
// group, the areas of all, and the first block after the last.
func (g *geometry) place(from uint64) (places []groupPlace, areas []alloc.Area, end uint64) {
	places = make([]groupPlace, g.groups)
	all := alloc.Cursor{Taken: g.superAreas()}
	note := func(start, n uint64) {
		if k := len(areas); k > 0 && areas[k-1].End() == start {
			areas[k-1].N += n
		} else {
			areas = append(areas, alloc.Area{Start: start, N: n})
		}
	}
	flex := uint32(1) << g.logFlex
	for first := uint32(0); first < g.groups; first += flex {
		run := places[first:min(first+flex, g.groups)]
		c := all.At(max(from, uint64(first)*disk.BlocksPerGroup))
		for i := range run {
			run[i].blockBitmap = c.Whole(1)
			note(run[i].blockBitmap, 1)
		}
		for i := range run {
			run[i].inodeBitmap = c.Whole(1)
			note(run[i].inodeBitmap, 1)
		}
		for i := range run {
			run[i].inodeTable = c.Whole(g.tableBlocks())
			note(run[i].inodeTable, g.tableBlocks())
		}
		from = c.Next
	}
	return places, areas, from
}

// journalBlocks is the length in blocks of the journal that mke2fs makes; 0: none.
func journalBlocks(blocks uint64) uint64 {
	for _, t := range []struct{ below, journal uint64 }{
		{2048, 0}, {32768, 1024}, {256 << 10, 4096}, {512 << 10, 8192}, {4096 << 10, 16384},
		{8192 << 10, 32768}, {16384 << 10, 65536}, {32768 << 10, 131072},
	} {
		if blocks < t.below {
			return t.journal
		}
	}
	return 262144
}

// bytesPerInode is the number of bytes for each of which mke2fs makes an inode.
func bytesPerInode(blocks uint64) uint64 {
	switch mib := blocks * disk.BlockSize >> 20; {
	case mib < 512:
		return 4096
	case mib < 4<<20:
		return 16384
	case mib < 16<<20:
		return 32768
	}
	return 65536
}
