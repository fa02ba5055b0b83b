package disk

import (
	"encoding/binary"
	"hash/crc32"
)

// Place and size of the superblock, in bytes.
const (
	SuperOffset  = 1024
	SuperSize    = 128 // without extensions
	superExtSlot = 16  // of one slot of extensions
	Magic        = 0xE0F5E1E2
	magicSize    = 4 // followed by the checksum, which counts as zero in itself
	uuidOffset   = 48
)

// Limits of the format.
const (
	MinBlockBits = 9    // log2 of the block size
	MaxBlockBits = 16   // the same
	ImageAlign   = 4096 // bytes; the kernel mounts files in units of pages

	MaxLabel   = 15     // bytes; kernels before 6.16 insist that the 16th is NUL
	MaxName    = 255    // bytes, of a file or an xattr
	MaxLink    = 4095   // bytes
	MaxRootNid = 0xFFFF // the number of the root has 16 bits

	NullBlock = 0xFFFFFFFF // no block: a hole
	MaxBlocks = NullBlock  // addresses have 32 bits, and the last value is NullBlock
)

// Compat are compatible features: a kernel that does not know one mounts the image
// nevertheless.
type Compat uint32

// The compatible features that this project knows.
const (
	CompatChecksum    Compat = 0x01
	CompatMtime       Compat = 0x02 // informational; mkfs.erofs always sets it
	CompatXattrFilter Compat = 0x04
	CompatPlainPrefix Compat = 0x10 // the long prefixes are at a plain offset
)

// Incompat are incompatible features: a kernel that does not know one refuses the image.
type Incompat uint32

// The incompatible features that this project knows.
const (
	IncompatLZ4         Incompat = 0x001
	IncompatCompression Incompat = 0x002
	IncompatChunked     Incompat = 0x004 // Linux 5.15
	IncompatDevices     Incompat = 0x008 // Linux 5.16
	IncompatTailPacking Incompat = 0x010
	IncompatFragments   Incompat = 0x020
	IncompatPrefixes    Incompat = 0x040 // long xattr prefixes, Linux 6.4
	Incompat48Bit       Incompat = 0x080 // other addresses and directories, encoded extents; Linux 6.15
	IncompatMetabox     Incompat = 0x100 // compressed metadata

	// IncompatKnown are the features of images whose records this package decodes. Whether
	// a file is compressed shows in its inode. Of 48-bit addresses it decodes those that have
	// 32 bits.
	IncompatKnown = IncompatLZ4 | IncompatCompression | IncompatChunked | IncompatDevices |
		IncompatTailPacking | IncompatFragments | IncompatPrefixes | Incompat48Bit
)

// Superblock is struct erofs_super_block (fs/erofs/erofs_fs.h).
//
//	off size field            meaning                                range
//	  0    4 Magic                                                   Magic
//	  4    4 Checksum         CRC-32C, see [Checksum]             if CompatChecksum
//	  8    4 Compat           compatible features
//	 12    1 BlockBits        log2 of the block size                 9 to 16
//	 13    1 ExtSlots         superblock is 128+16*n bytes long
//	 14    2 RootNid                                                 see Root
//	 16    8 Inodes           number of inodes, for statfs
//	 24    8 Epoch            seconds: mtime of compact inodes       signed
//	 32    4 FixedNsec        nanoseconds of the same
//	 36    4 Blocks           blocks of the image, for statfs
//	 40    4 MetaBlock        nid 0 is at this block
//	 44    4 XattrBlock       shared xattrs count from this block
//	 48   16 UUID
//	 64   16 Label            NUL-terminated
//	 80    4 Incompat         incompatible features
//	 84    2 Algorithms       of compression, a bit for each; without
//	                          IncompatCompression distance of LZ4
//	 86    2 ExtraDevices
//	 88    2 DeviceSlot       device table at 128*n
//	 90    1 DirBlockBits     must be 0
//	 91    1 PrefixCount      long xattr prefixes
//	 92    4 PrefixStart      their table, at 4*n
//	 96    8 PackedNid        inode of fragments
//	104    1 FilterReserved   must be 0 for the name filter to be used
//	105    3 -                0
//	108    4 BuildTime        seconds after Epoch when it was built  information
//	112    8 RootNid8         see Root                               0 without 48-bit addresses
//	120    8 -                0
type Superblock struct {
	Magic          uint32
	Checksum       uint32
	Compat         Compat
	BlockBits      uint8
	ExtSlots       uint8
	RootNid        uint16
	Inodes         uint64
	Epoch          int64
	FixedNsec      uint32
	Blocks         uint32
	MetaBlock      uint32
	XattrBlock     uint32
	UUID           [16]byte
	Label          [16]byte
	Incompat       Incompat
	Algorithms     uint16
	ExtraDevices   uint16
	DeviceSlot     uint16
	DirBlockBits   uint8
	PrefixCount    uint8
	PrefixStart    uint32
	PackedNid      uint64
	FilterReserved uint8
	_              [3]byte
	BuildTime      uint32
	RootNid8       uint64
	_              [8]byte
}

// Root is the number of the root.
func (s *Superblock) Root() uint64 {
	if s.wide() {
		return s.RootNid8
	}
	return uint64(s.RootNid)
}

// BlocksHigh are the bits of the number of blocks above those of Blocks.
func (s *Superblock) BlocksHigh() uint16 {
	if s.wide() {
		return s.RootNid
	}
	return 0
}

// wide reports whether RootNid8 has the root, and RootNid the high bits of the number of blocks.
func (s *Superblock) wide() bool { return s.Incompat&Incompat48Bit != 0 && s.RootNid8 != 0 }

// Encode writes s to the first SuperSize bytes of b. It does not compute the Checksum.
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

// ClearUUID clears in b, an encoded superblock, the UUID and the checksum: what cannot be
// part of that from which the UUID derives.
func ClearUUID(b []byte) {
	clear(b[magicSize : 2*magicSize])
	clear(b[uuidOffset : uuidOffset+len(Superblock{}.UUID)])
}

// HasMagic reports whether head, the beginning of a file or disk, has the magic number of
// an EROFS image in its place.
func HasMagic(head []byte) bool {
	return len(head) >= SuperOffset+magicSize && binary.LittleEndian.Uint32(head[SuperOffset:]) == Magic
}

// FindSuperblock decodes the superblock of the image that begins with head; ok is false if
// head is too short or has no magic number. It checks no other field.
func FindSuperblock(head []byte) (s Superblock, ok bool) {
	if len(head) < SuperOffset+SuperSize {
		return s, false
	}
	s.Decode(head[SuperOffset:])
	return s, s.Magic == Magic
}

// BlockSize returns the block size of the image in bytes; ok is false if the format does not
// allow it.
func (s *Superblock) BlockSize() (bs int64, ok bool) {
	if s.BlockBits < MinBlockBits || s.BlockBits > MaxBlockBits {
		return 0, false
	}
	return 1 << s.BlockBits, true
}

// DeviceTable is the offset of the table of devices in bytes.
func (s *Superblock) DeviceTable() int64 { return int64(s.DeviceSlot) * DeviceSlotSize }

// Size is the length of the superblock with its extensions, in bytes.
func (s *Superblock) Size() int64 { return SuperSize + superExtSlot*int64(s.ExtSlots) }

// ChecksumLen is how many bytes from SuperOffset on the checksum covers, with blocks of bs
// bytes: the rest of block 0, or a whole block if block 0 ends before SuperOffset
// (erofs_superblock_csum_verify).
func ChecksumLen(bs int64) int64 {
	if bs > SuperOffset {
		return bs - SuperOffset
	}
	return bs
}

// Checksum is the checksum of b, the ChecksumLen bytes at SuperOffset: CRC-32C without the
// final inversion. The four bytes of the stored checksum count as zero.
func Checksum(b []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // not at the start: not every tool needs it
	crc := crc32.Update(0, castagnoli, b[:magicSize])
	crc = crc32.Update(crc, castagnoli, make([]byte, magicSize))
	return ^crc32.Update(crc, castagnoli, b[2*magicSize:])
}

// RoundUp is n rounded up to a multiple of unit.
func RoundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// Blocks is the number of blocks of bs bytes that n bytes take.
func Blocks(n, bs int64) int64 {
	if n == 0 {
		return 0
	}
	return (n-1)/bs + 1
}
