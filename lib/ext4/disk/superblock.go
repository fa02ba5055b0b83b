package disk

import "encoding/binary"

// Values of superblock fields.
const (
	StateClean  = 0x0001
	StateErrors = 0x0002
	stateOrphan = 0x0004 // orphans are being recovered

	ErrorsContinue = 1
	CreatorLinux   = 0
	DynamicRev     = 1

	hashLegacy   = 0
	HashHalfMD4  = 1
	hashTea      = 2
	hashUnsigned = 3 // added to the above in an htree root where names are hashed as unsigned bytes

	SignedHash   = 0x0001 // superblock Flags: names are hashed as signed bytes
	UnsignedHash = 0x0002

	JournalBackupBlocks = 1 // JnlBackupType: JnlBlocks is valid
	ChecksumCRC32C      = 1

	mountXattrUser = 0x0004
	mountACL       = 0x0008
)

// Superblock is struct ext4_super_block (fs/ext4/ext4.h). Words named Hi are the
// upper halves of 64-bit numbers; Blocks, ReservedBlocks and FreeBlocks join them.
//
//	off  size field              meaning                                       range
//	000     4 Inodes             groups * InodesPerGroup                       exactly
//	004     4 BlocksLo
//	008     4 ReservedLo         blocks that only root may take
//	00C     4 FreeBlocksLo
//	010     4 FreeInodes
//	014     4 FirstDataBlock     the block that holds the superblock           1 with blocks of 1024, else 0
//	018     4 LogBlockSize       block size is 1024 << n                       at most 6; 2 where we write
//	01C     4 LogClusterSize     the same without bigalloc
//	020     4 BlocksPerGroup                                                   8 to 8 * block size
//	024     4 ClustersPerGroup   the same without bigalloc
//	028     4 InodesPerGroup     a multiple of 8                               at most 8 * block size
//	02C     4 MountTime          seconds
//	030     4 WriteTime
//	034     2 Mounts             since the last check
//	036     2 MaxMounts          0xFFFF: no limit
//	038     2 Magic              SuperMagic
//	03A     2 State              1 clean, 2 errors, 4 orphans being recovered
//	03C     2 Errors             what to do about one                          1 continue, 2 ro, 3 panic
//	03E     2 MinorRev
//	040     4 LastCheck
//	044     4 CheckInterval      0: none
//	048     4 CreatorOS          0: Linux
//	04C     4 Rev                0: fixed inode size, no features              1
//	050     2 DefUID, 052 DefGID who may take reserved blocks
//	054     4 FirstIno           the first without a fixed purpose             11
//	058     2 InodeSize                                                        256; 128 read
//	05A     2 BlockGroup         the group that this copy is in
//	05C     4 Compat, 060 Incompat, 064 RoCompat
//	068    16 UUID
//	078    16 Label              NUL-padded
//	088    64 LastMounted        NUL-terminated
//	0C8     4 Algorithms         of compression                                0
//	0CC     1 Prealloc, 0CD PreallocDir                                        0
//	0CE     2 ReservedGDT        blocks reserved after the descriptors         at most 1024
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
//	3FC     4 Checksum           SuperChecksum, with metadata_csum
type Superblock struct {
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
	Compat           CompatFlags
	Incompat         IncompatFlags
	RoCompat         RoCompatFlags
	UUID             [16]byte
	Label            [LabelSize]byte
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

// Encode writes s to the first SuperSize bytes of b. It does not compute the Checksum: see
// Seal.
func (s *Superblock) Encode(b []byte) {
	if _, err := binary.Encode(b[:SuperSize], binary.LittleEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
}

// Decode reads s from the first SuperSize bytes of b. It checks nothing.
func (s *Superblock) Decode(b []byte) {
	if _, err := binary.Decode(b[:SuperSize], binary.LittleEndian, s); err != nil {
		panic(err)
	}
}

// Seal is Encode with the right Checksum, which is 0 without metadata_csum.
func (s *Superblock) Seal(b []byte) {
	s.Checksum = 0
	s.Encode(b)
	if s.HasSums() {
		s.Checksum = SuperChecksum(b)
		s.Encode(b)
	}
}

// Blocks is how many blocks the file system has.
func (s *Superblock) Blocks() uint64 { return join(s.BlocksLo, s.high(s.BlocksHi)) }

// ReservedBlocks is how many blocks only root may take.
func (s *Superblock) ReservedBlocks() uint64 { return join(s.ReservedLo, s.high(s.ReservedHi)) }

// FreeBlocks is how many blocks are free.
func (s *Superblock) FreeBlocks() uint64 { return join(s.FreeBlocksLo, s.high(s.FreeBlocksHi)) }

// high returns hi, a word named Hi, or 0 without 64bit, where such words have no meaning.
func (s *Superblock) high(hi uint32) uint32 {
	if s.Incompat&Incompat64Bit == 0 {
		return 0
	}
	return hi
}

// SetBlocks sets what Blocks returns.
func (s *Superblock) SetBlocks(n uint64) { s.BlocksLo, s.BlocksHi = Split(n) }

// SetFreeBlocks sets what FreeBlocks returns.
func (s *Superblock) SetFreeBlocks(n uint64) { s.FreeBlocksLo, s.FreeBlocksHi = Split(n) }

// HasSums reports whether the file system has checksums of metadata.
func (s *Superblock) HasSums() bool { return s.RoCompat&RoCompatMetadataCsum != 0 }

// HasOrphans reports whether there are inodes that the next kernel to mount the file system
// will delete or truncate, as it does after a crash.
func (s *Superblock) HasOrphans() bool {
	return s.LastOrphan != 0 || s.RoCompat&RoCompatOrphans != 0
}

// GroupDescSize is how many bytes a group descriptor has.
func (s *Superblock) GroupDescSize() int {
	if s.Incompat&Incompat64Bit == 0 || s.DescSize == 0 {
		return SmallGroupDescSize
	}
	return int(s.DescSize)
}

// Seed returns the seed of the checksums of this file system.
func (s *Superblock) Seed() Seed {
	if s.Incompat&IncompatCsumSeed != 0 {
		return Seed(s.ChecksumSeed)
	}
	return NewSeed(s.UUID)
}

// superMagicOffset is where a superblock has its magic number.
const superMagicOffset = 0x38

// HasMagic reports whether head, the beginning of a file or disk, has the magic number of
// an ext2, ext3 or ext4 file system in its place.
func HasMagic(head []byte) bool {
	const at = SuperOffset + superMagicOffset
	return len(head) >= at+2 && binary.LittleEndian.Uint16(head[at:]) == SuperMagic
}
