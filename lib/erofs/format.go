package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ocipipe/lib/tree"
)

var (
	// ErrCorrupt is wrapped by the errors about an image that breaks the rules
	// of the format.
	ErrCorrupt = errors.New("corrupt EROFS image")
	// ErrUnsupported is wrapped by the errors about what this package does not
	// read though it may be valid.
	ErrUnsupported = errors.New("unsupported EROFS feature")
	// ErrNoDevice is wrapped by the errors about content on a device that was not
	// given to Open.
	ErrNoDevice = fmt.Errorf("the device is not at hand: %w", ErrUnsupported)
)

const (
	superOffset    = 1024
	superSize      = 128
	superExtSlot   = 16 // superblocks grow in steps of this
	superMagic     = 0xE0F5E1E2
	magicSize      = 4 // followed by the checksum, which counts as zero in itself
	slotSize       = 32
	compactSize    = 32
	extendedSize   = 64
	direntSize     = 12
	chunkIndexSize = 8
	chunkEntrySize = 4 // of a chunk map without device ids
	deviceSlotSize = 128
	deviceTagSize  = 64
	xattrHeadSize  = 12
	xattrEntSize   = 4
	xattrIDSize    = 4

	minBlockBits = 9
	maxBlockBits = 16
	imageAlign   = 4096 // the kernel mounts files in units of pages

	labelMax = 15 // the 16th byte is NUL: kernels before 6.16 insist
	nameMax  = 255
	linkMax  = 4095
	rootMax  = 0xFFFF // the root's nid has 16 bits

	nullBlock     = 0xFFFFFFFF // no block: a hole in a chunk map
	maxBlocks     = nullBlock  // blocks are addressed with 32 bits, the last value is taken
	chunkBitsMask = 0x1F
	chunkIndexes  = 0x20 // in a chunk format: entries are 8 bytes
)

// Compatible features: a kernel that does not know one mounts all the same.
type compatFlags uint32

const (
	compatChecksum    compatFlags = 0x01
	compatMtime       compatFlags = 0x02 // informational, mkfs.erofs always sets it
	compatXattrFilter compatFlags = 0x04
	compatPlainPrefix compatFlags = 0x10 // long prefixes lie at a plain offset
)

// Incompatible features: an unknown one refuses the image.
type incompatFlags uint32

const (
	incompatLZ4         incompatFlags = 0x001
	incompatCompression incompatFlags = 0x002
	incompatChunked     incompatFlags = 0x004 // Linux 5.15
	incompatDevices     incompatFlags = 0x008 // Linux 5.16
	incompatTailPacking incompatFlags = 0x010
	incompatFragments   incompatFlags = 0x020
	incompatPrefixes    incompatFlags = 0x040 // long xattr prefixes, Linux 6.4
	incompat48Bit       incompatFlags = 0x080 // refused: other addresses and directories
	incompatMetabox     incompatFlags = 0x100 // refused: compressed metadata

	// Compression shows in the inodes that use it, each of which is refused.
	incompatKnown = incompatLZ4 | incompatCompression | incompatChunked | incompatDevices |
		incompatTailPacking | incompatFragments | incompatPrefixes
)

// superblock is struct erofs_super_block (fs/erofs/erofs_fs.h).
//
//	off size field            meaning                                range
//	  0    4 Magic            superMagic
//	  4    4 Checksum         CRC-32C, see superChecksum             if compatChecksum
//	  8    4 Compat           compatible features
//	 12    1 BlockBits        log2 of the block size                 9 to 16
//	 13    1 ExtSlots         superblock is 128+16*n bytes long
//	 14    2 RootNid
//	 16    8 Inodes           number of inodes, for statfs
//	 24    8 Epoch            seconds: mtime of compact inodes       signed
//	 32    4 FixedNsec        nanoseconds of the same
//	 36    4 Blocks           blocks of the image, for statfs
//	 40    4 MetaBlock        nid 0 is at this block
//	 44    4 XattrBlock       shared xattrs count from this block
//	 48   16 UUID
//	 64   16 Label            NUL-terminated
//	 80    4 Incompat         incompatible features
//	 84    2 Algorithms       of compression                         0 here
//	 86    2 ExtraDevices
//	 88    2 DeviceSlot       device table at 128*n
//	 90    1 DirBlockBits     must be 0
//	 91    1 PrefixCount      long xattr prefixes
//	 92    4 PrefixStart      their table, at 4*n
//	 96    8 PackedNid        inode of fragments
//	104    1 FilterReserved   must be 0 for the name filter to be used
//	105    3 -                0
//	108    4 BuildTime        seconds after Epoch when it was built  information
//	112   16 -                0 without 48-bit addresses
type superblock struct {
	Magic          uint32
	Checksum       uint32
	Compat         compatFlags
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
	Incompat       incompatFlags
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
	_              [16]byte
}

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

// size is the length of the superblock with its extensions.
func (s *superblock) size() int64 { return superSize + superExtSlot*int64(s.ExtSlots) }

// checksumLen is how many bytes from superOffset on the checksum covers: the rest
// of block 0 or, where that is nothing, one block (erofs_superblock_csum_verify).
func checksumLen(bs int64) int64 {
	if bs > superOffset {
		return bs - superOffset
	}
	return bs
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// superChecksum is the checksum of b, the checksumLen bytes at superOffset. It is
// CRC-32C without the final inversion, its own four bytes counting as zero.
func superChecksum(b []byte) uint32 {
	crc := crc32.Update(0, castagnoli, b[:magicSize])
	crc = crc32.Update(crc, castagnoli, make([]byte, magicSize))
	return ^crc32.Update(crc, castagnoli, b[2*magicSize:])
}

// layout says where the data of an inode is.
type layout uint8

const (
	flatPlain         layout = 0 // whole blocks, one after the other
	compressedFull    layout = 1
	flatInline        layout = 2 // the last block's bytes follow the inode and its xattrs
	compressedCompact layout = 3
	chunkBased        layout = 4 // a map from chunks to blocks follows the inode and its xattrs
)

const (
	formatExtended    = 0x01
	formatLayoutShift = 1
	formatLayoutMask  = 0x07
	formatKnown       = formatExtended | formatLayoutMask<<formatLayoutShift
)

// inode is struct erofs_inode_compact or erofs_inode_extended. A compact one has
// no time of its own but the superblock's.
//
//	compact extended
//	off size off size field       meaning                      range
//	  0    2   0    2 format      bit 0 extended, 1-3 layout
//	  2    2   2    2 xattrCount  see xattrBodySize
//	  4    2   4    2 mode        type and permissions
//	  6    2  44    4 nlink
//	  -    -   6    2 high                                     0, or 0xFFFF with data 0xFFFFFFFF: a hole
//	  8    4   8    8 size        bytes                        below 2^63
//	 12    4  32    8 seconds     mtime; compact: after Epoch  compact: 0, as Linux before 6.15 ignores it
//	  -    -  40    4 nsec
//	 16    4  16    4 data        flat: first block; chunked: chunk format; device: number
//	 20    4  20    4 ino         a serial number, for 32-bit stat; unused by the kernel
//	 24    2  24    4 uid
//	 26    2  28    4 gid
//	 28    4   -    - -           0
//	  -    -  48   16 -           0
type inode struct {
	extended   bool
	layout     layout
	xattrCount uint16
	mode       uint16
	size       int64
	time       tree.Time
	data       uint32
	high       uint16 // high bits of the first block: 0, or 0xFFFF for a hole
	ino        uint32
	uid, gid   uint32
	nlink      uint32
}

func (n *inode) recordSize() int64 {
	if n.extended {
		return extendedSize
	}
	return compactSize
}

// encode writes n to b, which is recordSize zero bytes. The caller has seen to it
// that all fields of a compact inode fit.
func (n *inode) encode(b []byte) {
	format := uint16(n.layout) << formatLayoutShift
	le := binary.LittleEndian
	le.PutUint16(b[2:], n.xattrCount)
	le.PutUint16(b[4:], n.mode)
	le.PutUint32(b[16:], n.data)
	le.PutUint32(b[20:], n.ino)
	if n.extended {
		le.PutUint16(b, format|formatExtended)
		le.PutUint64(b[8:], uint64(n.size))
		le.PutUint32(b[24:], n.uid)
		le.PutUint32(b[28:], n.gid)
		le.PutUint64(b[32:], uint64(n.time.Sec))
		le.PutUint32(b[40:], n.time.Nsec)
		le.PutUint32(b[44:], n.nlink)
		return
	}
	le.PutUint16(b, format)
	le.PutUint16(b[6:], uint16(n.nlink))
	le.PutUint32(b[8:], uint32(n.size))
	le.PutUint16(b[24:], uint16(n.uid))
	le.PutUint16(b[26:], uint16(n.gid))
}

// inodeSize is the size of the record that begins with the bytes b.
func inodeSize(b []byte) int64 {
	if b[0]&formatExtended != 0 {
		return extendedSize
	}
	return compactSize
}

// decode reads the inodeSize bytes of b. It reports false for a format with bits
// that no kernel below 48-bit addresses knows, and for a negative size.
func (n *inode) decode(b []byte, super *superblock) bool {
	le := binary.LittleEndian
	format := le.Uint16(b)
	*n = inode{
		extended:   format&formatExtended != 0,
		layout:     layout(format >> formatLayoutShift & formatLayoutMask),
		xattrCount: le.Uint16(b[2:]),
		mode:       le.Uint16(b[4:]),
		data:       le.Uint32(b[16:]),
		ino:        le.Uint32(b[20:]),
	}
	if format&^formatKnown != 0 || n.layout > chunkBased {
		return false
	}
	if n.extended {
		n.high = le.Uint16(b[6:])
		n.size = int64(le.Uint64(b[8:]))
		n.uid, n.gid = le.Uint32(b[24:]), le.Uint32(b[28:])
		n.time = tree.Time{Sec: int64(le.Uint64(b[32:])), Nsec: le.Uint32(b[40:])}
		n.nlink = le.Uint32(b[44:])
		return n.size >= 0
	}
	n.nlink = uint32(le.Uint16(b[6:]))
	n.size = int64(le.Uint32(b[8:]))
	n.time = tree.Time{Sec: super.Epoch + int64(le.Uint32(b[12:])), Nsec: super.FixedNsec}
	n.uid, n.gid = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
	return true
}

// The type bits of a mode, and of a directory entry.
var fileTypes = [...]struct {
	mode   uint16
	dirent uint8
}{
	tree.File:   {0o100000, 1},
	tree.Dir:    {0o040000, 2},
	tree.Char:   {0o020000, 3},
	tree.Block:  {0o060000, 4},
	tree.Fifo:   {0o010000, 5},
	tree.Socket: {0o140000, 6},
	tree.Link:   {0o120000, 7},
}

const (
	modeTypeMask  = 0o170000
	modePermMask  = 0o007777
	maxDirentType = 7
)

// typeOfMode is the type in a mode, or 0.
func typeOfMode(mode uint16) tree.Type {
	for t, f := range fileTypes {
		if t != 0 && f.mode == mode&modeTypeMask {
			return tree.Type(t)
		}
	}
	return 0
}

// Device numbers are packed as the kernel's new_encode_dev does:
// bits 0-7 and 20-31 minor, 8-19 major.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

func encodeDevice(d tree.Device) uint32 {
	return d.Minor&0xFF | d.Major<<8 | d.Minor&^0xFF<<12
}

func decodeDevice(v uint32) tree.Device {
	return tree.Device{Major: v >> 8 & maxMajor, Minor: v&0xFF | v>>12&^0xFF}
}

// dirent is struct erofs_dirent, 12 bytes: nid (8), offset of the name in the
// block (2), file type (1), 0.
type dirent struct {
	nid  uint64
	name uint16
	kind uint8
}

func (d dirent) encode(b []byte) {
	binary.LittleEndian.PutUint64(b, d.nid)
	binary.LittleEndian.PutUint16(b[8:], d.name)
	b[10] = d.kind
}

func decodeDirent(b []byte) dirent {
	return dirent{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]}
}

// A chunk index is struct erofs_inode_chunk_index, 8 bytes: high bits of the block
// (2, unused here), device id (2), block (4).
func encodeChunkIndex(b []byte, block uint32) {
	binary.LittleEndian.PutUint64(b, uint64(block)<<32)
}

func decodeChunkIndex(b []byte) (device uint16, block uint32) {
	return binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])
}

// Without device ids, an entry of a chunk map is the block alone.
func decodeChunkEntry(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// deviceSlot is struct erofs_deviceslot: where more of the data is. Device n has
// slot n-1.
//
//	off size field   meaning                                          range
//	  0   64 tag     what it is: a UUID as hex digits, or any text    NUL-padded
//	 64    4 blocks  length of the device
//	 68    4 first   block at which it begins if all devices are      0: nowhere
//	                 one behind the other
//	 72   56 -       0 without 48-bit addresses
type deviceSlot struct {
	tag    [deviceTagSize]byte
	blocks uint32
	first  uint32
}

func (s *deviceSlot) encode(b []byte) {
	copy(b, s.tag[:])
	binary.LittleEndian.PutUint32(b[deviceTagSize:], s.blocks)
	binary.LittleEndian.PutUint32(b[deviceTagSize+4:], s.first)
}

func decodeDeviceSlot(b []byte) deviceSlot {
	return deviceSlot{
		tag:    [deviceTagSize]byte(b),
		blocks: binary.LittleEndian.Uint32(b[deviceTagSize:]),
		first:  binary.LittleEndian.Uint32(b[deviceTagSize+4:]),
	}
}

// end is the block behind the device, by the addresses that all devices have
// together.
func (s *deviceSlot) end() int64 { return int64(s.first) + int64(s.blocks) }

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// blocks is how many blocks of bs bytes n bytes take.
func blocks(n, bs int64) int64 {
	if n == 0 {
		return 0
	}
	return (n-1)/bs + 1
}
