package ext4

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrCorrupt is wrapped by the errors about a file system that breaks the
	// rules of the format.
	ErrCorrupt = errors.New("corrupt ext4 file system")
	// ErrUnsupported is wrapped by the errors about what this package does not
	// handle though it may be valid.
	ErrUnsupported = errors.New("unsupported ext4 feature")
)

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

// compatFlags are compatible features: a kernel that does not know one mounts
// all the same; a checker does not go on.
type compatFlags uint32

const (
	compatDirPrealloc  compatFlags = 0x0001
	compatJournal      compatFlags = 0x0004
	compatExtAttr      compatFlags = 0x0008
	compatResizeInode  compatFlags = 0x0010
	compatDirIndex     compatFlags = 0x0020
	compatSparseSuper2 compatFlags = 0x0200 // refused: backups elsewhere
	compatFastCommit   compatFlags = 0x0400 // refused when growing: another form of journal
	compatStableInodes compatFlags = 0x0800
	compatOrphanFile   compatFlags = 0x1000 // Linux 5.15

	compatKnown = compatDirPrealloc | compatJournal | compatExtAttr | compatResizeInode | compatDirIndex |
		compatStableInodes | compatOrphanFile
)

// incompatFlags are incompatible features: an unknown one refuses the mount.
type incompatFlags uint32

const (
	incompatCompression incompatFlags = 0x0001 // refused: never was in a kernel
	incompatFiletype    incompatFlags = 0x0002
	incompatRecover     incompatFlags = 0x0004 // the journal is not empty
	incompatJournalDev  incompatFlags = 0x0008 // refused: a journal and no file system
	incompatMetaBG      incompatFlags = 0x0010 // refused: descriptors elsewhere
	incompatExtents     incompatFlags = 0x0040
	incompat64Bit       incompatFlags = 0x0080
	incompatMMP         incompatFlags = 0x0100 // refused: may be mounted elsewhere
	incompatFlexBG      incompatFlags = 0x0200
	incompatEAInode     incompatFlags = 0x0400
	incompatDirData     incompatFlags = 0x1000 // refused
	incompatCsumSeed    incompatFlags = 0x2000 // metadata_csum_seed
	incompatLargeDir    incompatFlags = 0x4000
	incompatInlineData  incompatFlags = 0x8000
	incompatEncrypt     incompatFlags = 0x10000 // refused
	incompatCasefold    incompatFlags = 0x20000 // refused

	incompatKnown = incompatFiletype | incompatRecover | incompatExtents | incompat64Bit | incompatFlexBG | incompatCsumSeed
)

// roCompatFlags are features that a kernel that does not know them can only
// read.
type roCompatFlags uint32

const (
	roCompatSparseSuper  roCompatFlags = 0x0001
	roCompatLargeFile    roCompatFlags = 0x0002
	roCompatBtreeDir     roCompatFlags = 0x0004 // never was used
	roCompatHugeFile     roCompatFlags = 0x0008
	roCompatGdtCsum      roCompatFlags = 0x0010 // older than, and in place of, metadata_csum
	roCompatDirNlink     roCompatFlags = 0x0020
	roCompatExtraISize   roCompatFlags = 0x0040
	roCompatQuota        roCompatFlags = 0x0100
	roCompatBigalloc     roCompatFlags = 0x0200 // refused: blocks come in clusters
	roCompatMetadataCsum roCompatFlags = 0x0400
	roCompatReadonly     roCompatFlags = 0x1000
	roCompatProject      roCompatFlags = 0x2000
	roCompatVerity       roCompatFlags = 0x8000
	roCompatOrphans      roCompatFlags = 0x10000 // orphan_present: the orphan file is not empty

	roCompatKnown = roCompatSparseSuper | roCompatLargeFile | roCompatHugeFile | roCompatDirNlink |
		roCompatExtraISize | roCompatMetadataCsum | roCompatOrphans
)

// Values of superblock fields.
const (
	stateClean  = 0x0001
	stateErrors = 0x0002
	stateOrphan = 0x0004 // orphans are being recovered

	errorsContinue = 1
	creatorLinux   = 0
	dynamicRev     = 1

	hashLegacy   = 0
	hashHalfMD4  = 1
	hashTea      = 2
	hashUnsigned = 3 // added to the above in an htree root where names are hashed as unsigned bytes

	signedHash   = 0x0001 // superblock Flags: names are hashed as signed bytes
	unsignedHash = 0x0002

	journalBackupBlocks = 1 // JnlBackupType: JnlBlocks is valid
	checksumCRC32C      = 1

	mountXattrUser = 0x0004
	mountACL       = 0x0008
)

// superblock is struct ext4_super_block (fs/ext4/ext4.h). Words named Hi are the
// upper halves of 64-bit numbers; blocks, reservedBlocks and freeBlocks join them.
//
//	off  size field              meaning                                       range
//	000     4 Inodes             groups * InodesPerGroup                       exactly
//	004     4 BlocksLo
//	008     4 ReservedLo         blocks that only root may take
//	00C     4 FreeBlocksLo
//	010     4 FreeInodes
//	014     4 FirstDataBlock     the block that holds the superblock           0 with blocks of 4096
//	018     4 LogBlockSize       block size is 1024 << n                       2 here
//	01C     4 LogClusterSize     the same without bigalloc
//	020     4 BlocksPerGroup                                                   32768 here
//	024     4 ClustersPerGroup   the same without bigalloc
//	028     4 InodesPerGroup     a multiple of 8                               at most 32768
//	02C     4 MountTime          seconds
//	030     4 WriteTime
//	034     2 Mounts             since the last check
//	036     2 MaxMounts          0xFFFF: no limit
//	038     2 Magic              superMagic
//	03A     2 State              1 clean, 2 errors, 4 orphans being recovered
//	03C     2 Errors             what to do about one                          1 continue, 2 ro, 3 panic
//	03E     2 MinorRev
//	040     4 LastCheck
//	044     4 CheckInterval      0: none
//	048     4 CreatorOS          0: Linux
//	04C     4 Rev                0: fixed inode size, no features              1
//	050     2 DefUID, 052 DefGID who may take reserved blocks
//	054     4 FirstIno           of those without a fixed purpose              11
//	058     2 InodeSize                                                        256; 128 read
//	05A     2 BlockGroup         the group that this copy is in
//	05C     4 Compat, 060 Incompat, 064 RoCompat
//	068    16 UUID
//	078    16 Label              NUL-padded
//	088    64 LastMounted        NUL-terminated
//	0C8     4 Algorithms         of compression                                0
//	0CC     1 Prealloc, 0CD PreallocDir                                        0
//	0CE     2 ReservedGDT        blocks behind the descriptors                 at most 1024
//	0D0    16 JournalUUID        of an external journal
//	0E0     4 JournalIno         8
//	0E4     4 JournalDev         0
//	0E8     4 LastOrphan         head of the list of inodes to delete
//	0EC    16 HashSeed           of htrees
//	0FC     1 HashVersion        for new htrees                                1: half MD4
//	0FD     1 JnlBackupType      1: JnlBlocks is valid
//	0FE     2 DescSize           0 or 32 without 64bit                         64
//	100     4 MountOptions       default mount options
//	104     4 FirstMetaBG
//	108     4 MakeTime           when it was made
//	10C    68 JnlBlocks          i_block of the journal, size hi, size lo
//	150     4 BlocksHi, 154 ReservedHi, 158 FreeBlocksHi
//	15C     2 MinExtraISize, 15E WantExtraISize                                32
//	160     4 Flags              1 signed, 2 unsigned directory hash
//	164     2 RaidStride
//	166     2 MMPInterval
//	168     8 MMPBlock
//	170     4 RaidStripe
//	174     1 LogGroupsPerFlex                                                 at most 31
//	175     1 ChecksumType       1 with metadata_csum, else 0
//	176     1 EncryptLevel
//	177     1 -                  0
//	178     8 KBytesWritten      in the life of the file system
//	180    20 Snapshot           4 numbers of a feature that never was in a kernel
//	194     4 ErrorCount
//	198    52 FirstError         time 4, inode 4, block 8, function 32, line 4
//	1CC    52 LastError          time 4, inode 4, line 4, block 8, function 32
//	200    64 MountOptText       NUL-terminated
//	240     4 UserQuotaIno, 244 GroupQuotaIno
//	248     4 Overhead           blocks of fixed metadata and journal, for statfs
//	24C     8 BackupGroups       of sparse_super2
//	254     4 EncryptAlgos
//	258    16 EncryptSalt
//	268     4 LostFoundIno       not in use
//	26C     4 ProjectQuotaIno
//	270     4 ChecksumSeed       with metadata_csum_seed
//	274     1 WriteTimeHi, 275 MountTimeHi, 276 MakeTimeHi, 277 LastCheckHi
//	278     1 FirstErrorHi, 279 LastErrorHi    upper bytes of the times
//	27A     1 FirstErrorCode, 27B LastErrorCode
//	27C     2 Encoding, 27E EncodingFlags      of casefold
//	280     4 OrphanIno          of orphan_file
//	284   376 Reserved           kept as read
//	3FC     4 Checksum           superChecksum, with metadata_csum
type superblock struct {
	Inodes           uint32
	BlocksLo         uint32
	ReservedLo       uint32
	FreeBlocksLo     uint32
	FreeInodes       uint32
	FirstDataBlock   uint32
	LogBlockSize     uint32
	LogClusterSize   uint32
	BlocksPerGroup   uint32
	ClustersPerGroup uint32
	InodesPerGroup   uint32
	MountTime        uint32
	WriteTime        uint32
	Mounts           uint16
	MaxMounts        uint16
	Magic            uint16
	State            uint16
	Errors           uint16
	MinorRev         uint16
	LastCheck        uint32
	CheckInterval    uint32
	CreatorOS        uint32
	Rev              uint32
	DefUID, DefGID   uint16
	FirstIno         uint32
	InodeSize        uint16
	BlockGroup       uint16
	Compat           compatFlags
	Incompat         incompatFlags
	RoCompat         roCompatFlags
	UUID             [16]byte
	Label            [labelSize]byte
	LastMounted      [64]byte
	Algorithms       uint32
	Prealloc         uint8
	PreallocDir      uint8
	ReservedGDT      uint16
	JournalUUID      [16]byte
	JournalIno       uint32
	JournalDev       uint32
	LastOrphan       uint32
	HashSeed         [4]uint32
	HashVersion      uint8
	JnlBackupType    uint8
	DescSize         uint16
	MountOptions     uint32
	FirstMetaBG      uint32
	MakeTime         uint32
	JnlBlocks        [68]byte
	BlocksHi         uint32
	ReservedHi       uint32
	FreeBlocksHi     uint32
	MinExtraISize    uint16
	WantExtraISize   uint16
	Flags            uint32
	RaidStride       uint16
	MMPInterval      uint16
	MMPBlock         uint64
	RaidStripe       uint32
	LogGroupsPerFlex uint8
	ChecksumType     uint8
	EncryptLevel     uint8
	Pad              uint8
	KBytesWritten    uint64
	Snapshot         [20]byte
	ErrorCount       uint32
	FirstError       [52]byte
	LastError        [52]byte
	MountOptText     [64]byte
	UserQuotaIno     uint32
	GroupQuotaIno    uint32
	Overhead         uint32
	BackupGroups     [2]uint32
	EncryptAlgos     [4]byte
	EncryptSalt      [16]byte
	LostFoundIno     uint32
	ProjectQuotaIno  uint32
	ChecksumSeed     uint32
	WriteTimeHi      uint8
	MountTimeHi      uint8
	MakeTimeHi       uint8
	LastCheckHi      uint8
	FirstErrorHi     uint8
	LastErrorHi      uint8
	FirstErrorCode   uint8
	LastErrorCode    uint8
	Encoding         uint16
	EncodingFlags    uint16
	OrphanIno        uint32
	Reserved         [376]byte
	Checksum         uint32
}

// encode writes s to the first superSize bytes of b, its Checksum as it is: see
// seal.
func (s *superblock) encode(b []byte) {
	if _, err := binary.Encode(b[:superSize], binary.LittleEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
}

func (s *superblock) decode(b []byte) {
	if _, err := binary.Decode(b[:superSize], binary.LittleEndian, s); err != nil {
		panic(err)
	}
}

// seal is encode with the right Checksum, or none without metadata_csum.
func (s *superblock) seal(b []byte) {
	s.Checksum = 0
	s.encode(b)
	if s.RoCompat&roCompatMetadataCsum != 0 {
		s.Checksum = superChecksum(b)
		s.encode(b)
	}
}

func join(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

func split(v uint64) (lo, hi uint32) { return uint32(v), uint32(v >> 32) }

func (s *superblock) blocks() uint64         { return join(s.BlocksLo, s.high(s.BlocksHi)) }
func (s *superblock) reservedBlocks() uint64 { return join(s.ReservedLo, s.high(s.ReservedHi)) }
func (s *superblock) freeBlocks() uint64     { return join(s.FreeBlocksLo, s.high(s.FreeBlocksHi)) }

// high is a Hi word, which has a meaning with 64bit only.
func (s *superblock) high(hi uint32) uint32 {
	if s.Incompat&incompat64Bit == 0 {
		return 0
	}
	return hi
}

func (s *superblock) setBlocks(n uint64)     { s.BlocksLo, s.BlocksHi = split(n) }
func (s *superblock) setFreeBlocks(n uint64) { s.FreeBlocksLo, s.FreeBlocksHi = split(n) }

// descSize is how many bytes a group descriptor has.
func (s *superblock) descSize() int {
	if s.Incompat&incompat64Bit == 0 || s.DescSize == 0 {
		return smallGroupDescSize
	}
	return int(s.DescSize)
}

// seed is what the checksums of this file system start from.
func (s *superblock) seed() seed {
	if s.Incompat&incompatCsumSeed != 0 {
		return seed(s.ChecksumSeed)
	}
	return newSeed(s.UUID)
}

// descFlags are the flags of a group.
type descFlags uint16

const (
	inodeUninit descFlags = 1 // no inode is in use, the bitmap may be anything
	blockUninit descFlags = 2 // the bitmap may be anything, the metadata tells
	tableZeroed descFlags = 4 // the unused rest of the inode table is zero
)

// groupDesc is struct ext4_group_desc. The lower halves are in the first 32
// bytes, which are all that there is without 64bit.
//
//	off  off size field             meaning
//	 00   20    4 BlockBitmap       its block
//	 04   24    4 InodeBitmap       its block
//	 08   28    4 InodeTable        its first block
//	 0C   2C    2 FreeBlocks
//	 0E   2E    2 FreeInodes
//	 10   30    2 Dirs              inodes that are directories
//	 12         2 Flags
//	 14   34    4 Exclude           bitmap of snapshots: 0
//	 18   38    2 BlockBitmapSum    seed.bitmap
//	 1A   3A    2 InodeBitmapSum    seed.bitmap
//	 1C   32    2 Unused            inodes at the end of the table, never used
//	 1E         2 Checksum          seed.group
//	      3C    4 -                 0
type groupDesc struct {
	BlockBitmap    uint64
	InodeBitmap    uint64
	InodeTable     uint64
	FreeBlocks     uint32
	FreeInodes     uint32
	Dirs           uint32
	Flags          descFlags
	Exclude        uint64
	BlockBitmapSum uint32
	InodeBitmapSum uint32
	Unused         uint32
	Checksum       uint16
}

const (
	groupSumOffset = 0x1E
	groupSumEnd    = groupSumOffset + 2
)

// encode writes d to b, which has smallGroupDescSize or at least groupDescSize
// bytes. The Checksum is d's: see seed.sealGroup.
func (d *groupDesc) encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0x00:], uint32(d.BlockBitmap))
	le.PutUint32(b[0x04:], uint32(d.InodeBitmap))
	le.PutUint32(b[0x08:], uint32(d.InodeTable))
	le.PutUint16(b[0x0C:], uint16(d.FreeBlocks))
	le.PutUint16(b[0x0E:], uint16(d.FreeInodes))
	le.PutUint16(b[0x10:], uint16(d.Dirs))
	le.PutUint16(b[0x12:], uint16(d.Flags))
	le.PutUint32(b[0x14:], uint32(d.Exclude))
	le.PutUint16(b[0x18:], uint16(d.BlockBitmapSum))
	le.PutUint16(b[0x1A:], uint16(d.InodeBitmapSum))
	le.PutUint16(b[0x1C:], uint16(d.Unused))
	le.PutUint16(b[groupSumOffset:], d.Checksum)
	if len(b) < groupDescSize {
		return
	}
	le.PutUint32(b[0x20:], uint32(d.BlockBitmap>>32))
	le.PutUint32(b[0x24:], uint32(d.InodeBitmap>>32))
	le.PutUint32(b[0x28:], uint32(d.InodeTable>>32))
	le.PutUint16(b[0x2C:], uint16(d.FreeBlocks>>16))
	le.PutUint16(b[0x2E:], uint16(d.FreeInodes>>16))
	le.PutUint16(b[0x30:], uint16(d.Dirs>>16))
	le.PutUint16(b[0x32:], uint16(d.Unused>>16))
	le.PutUint32(b[0x34:], uint32(d.Exclude>>32))
	le.PutUint16(b[0x38:], uint16(d.BlockBitmapSum>>16))
	le.PutUint16(b[0x3A:], uint16(d.InodeBitmapSum>>16))
	le.PutUint32(b[0x3C:], 0)
}

// decode reads d from b, which has smallGroupDescSize or at least groupDescSize
// bytes. Of a small one the checksums of bitmaps have 16 bits.
func (d *groupDesc) decode(b []byte) {
	le := binary.LittleEndian
	*d = groupDesc{
		BlockBitmap:    uint64(le.Uint32(b[0x00:])),
		InodeBitmap:    uint64(le.Uint32(b[0x04:])),
		InodeTable:     uint64(le.Uint32(b[0x08:])),
		FreeBlocks:     uint32(le.Uint16(b[0x0C:])),
		FreeInodes:     uint32(le.Uint16(b[0x0E:])),
		Dirs:           uint32(le.Uint16(b[0x10:])),
		Flags:          descFlags(le.Uint16(b[0x12:])),
		Exclude:        uint64(le.Uint32(b[0x14:])),
		BlockBitmapSum: uint32(le.Uint16(b[0x18:])),
		InodeBitmapSum: uint32(le.Uint16(b[0x1A:])),
		Unused:         uint32(le.Uint16(b[0x1C:])),
		Checksum:       le.Uint16(b[groupSumOffset:]),
	}
	if len(b) < groupDescSize {
		return
	}
	d.BlockBitmap |= uint64(le.Uint32(b[0x20:])) << 32
	d.InodeBitmap |= uint64(le.Uint32(b[0x24:])) << 32
	d.InodeTable |= uint64(le.Uint32(b[0x28:])) << 32
	d.FreeBlocks |= uint32(le.Uint16(b[0x2C:])) << 16
	d.FreeInodes |= uint32(le.Uint16(b[0x2E:])) << 16
	d.Dirs |= uint32(le.Uint16(b[0x30:])) << 16
	d.Unused |= uint32(le.Uint16(b[0x32:])) << 16
	d.Exclude |= uint64(le.Uint32(b[0x34:])) << 32
	d.BlockBitmapSum |= uint32(le.Uint16(b[0x38:])) << 16
	d.InodeBitmapSum |= uint32(le.Uint16(b[0x3A:])) << 16
}
