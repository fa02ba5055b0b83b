package disk

const (
	BlockSize    = 4096 // of every file system that we write; see Superblock.BlockSize
	blockBits    = 12
	SectorBlocks = BlockSize / 512 // i_blocks counts sectors

	SuperOffset = 1024 // of the primary superblock; a backup is at the start of its block
	SuperSize   = 1024
	SuperMagic  = 0xEF53

	GroupDescSize      = 64
	SmallGroupDescSize = 32 // without Incompat64Bit
	InodeSize          = 256
	SmallInodeSize     = 128 // "good old": what every inode has
	ExtraISize         = 32  // bytes of the fields after SmallInodeSize that we know
	InodeFixedSize     = SmallInodeSize + ExtraISize

	BlocksPerGroup    = 8 * BlockSize // as many as a bitmap of one block has bits
	InodesPerBlock    = BlockSize / InodeSize
	MaxInodesPerGroup = 8 * BlockSize

	LabelSize = 16
	nameMax   = 255
	LinkMax   = 4095 // bytes of a symlink's target: the kernel's PATH_MAX less the NUL
	FastMax   = 59   // bytes of a target that fits into the inode
	NlinkMax  = 65000
)

// Inodes with a fixed number.
const (
	RootIno      = 2
	ResizeIno    = 7
	JournalIno   = 8
	FirstIno     = 11 // the first inode without a fixed purpose
	LostFoundIno = FirstIno
)

// LostFoundDir is the name of the directory in the root to which e2fsck moves lost files.
const LostFoundDir = "lost+found"

func join(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

// Split returns the lower and upper half of v.
func Split(v uint64) (lo, hi uint32) { return uint32(v), uint32(v >> 32) }
