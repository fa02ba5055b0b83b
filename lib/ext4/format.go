package ext4

const (
	blockSize    = 4096 // of every file system that this package handles
	blockBits    = 12
	sectorBlocks = blockSize / 512 // i_blocks counts sectors

	superOffset = 1024 // of the primary superblock; a backup is at the start of its block
	superSize   = 1024
	superMagic  = 0xEF53

	groupDescSize      = 64
	smallGroupDescSize = 32 // without incompat64Bit
	inodeSize          = 256
	smallInodeSize     = 128 // "good old": what every inode has
	extraISize         = 32  // of the fields behind smallInodeSize that we know
	inodeFixedSize     = smallInodeSize + extraISize

	blocksPerGroup    = 8 * blockSize // as many as a bitmap of one block has bits
	inodesPerBlock    = blockSize / inodeSize
	maxInodesPerGroup = 8 * blockSize

	labelSize = 16
	nameMax   = 255
	linkMax   = 4095 // bytes of a symlink's target: the kernel's PATH_MAX less the NUL
	fastMax   = 59   // bytes of a target that fits into the inode
	nlinkMax  = 65000
)

// Inodes with a number of their own.
const (
	rootIno      = 2
	resizeIno    = 7
	journalIno   = 8
	firstIno     = 11 // of those without a fixed purpose
	lostFoundIno = firstIno
)

// lostFoundDir is the name in the root of the directory for what e2fsck finds.
const lostFoundDir = "lost+found"

func join(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

func split(v uint64) (lo, hi uint32) { return uint32(v), uint32(v >> 32) }
