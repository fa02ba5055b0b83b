package journal

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

const (
	Magic     = 0xC03B3998
	SuperSize = 1024
	MinBlocks = 1024 // jbd2 refuses shorter journals
	HeadSize  = 12
	TailSize  = 4 // of descriptor and revoke blocks, where there are checksums
	uuidSize  = 16

	sumOffset        = 0xFC // in the superblock
	CommitSumOffset  = 16   // in a commit block
	commitSumSize    = 4
	CommitTimeOffset = 48
	RevokeHeadSize   = 16
	sumCRC32         = 1 // ChecksumType of transactions in version 1
	SumCRC32C        = 4 // ChecksumType of the superblock
)

// Kinds of journal blocks.
const (
	KindDescriptor = 1
	KindCommit     = 2
	KindSuperV1    = 3
	KindSuperV2    = 4
	KindRevoke     = 5
)

// Features of a journal.
const (
	CompatSum = 0x01 // version 1: one checksum in the commit block

	IncompatRevokes     = 0x01
	Incompat64Bit       = 0x02
	IncompatAsyncCommit = 0x04 // refused: a commit block proves nothing there
	IncompatSumV2       = 0x08
	IncompatSumV3       = 0x10
	IncompatFastCommit  = 0x20 // a second log at the end: see fast.go
	incompatKnown       = IncompatRevokes | Incompat64Bit | IncompatSumV2 | IncompatSumV3 | IncompatFastCommit
)

// Flags of a tag.
const (
	TagEscaped  = 1 // the data began with Magic, which is stored as zero
	TagSameUUID = 2 // no UUID follows the tag
	TagLast     = 8
)

// Super is journal_superblock_t.
//
//	 off size field         meaning                              range
//	0x00    4 Magic         Magic
//	0x04    4 Type          KindSuperV1 or KindSuperV2
//	0x08    4 HeadSeq       sequence of a block header           0
//	0x0C    4 BlockSize                                          that of the file system
//	0x10    4 Length        blocks of the journal                up to those of the file
//	0x14    4 First         of the log                           1
//	0x18    4 Sequence      of the transaction at Start
//	0x1C    4 Start         block of the first transaction       0: the log is empty
//	0x20    4 Errno         left by a kernel that gave up        0
//	0x24    4 Compat        features
//	0x28    4 Incompat      features
//	0x2C    4 ROCompat      features                             0
//	0x30   16 UUID          seed of the checksums
//	0x40    4 Users         file systems that share the journal  1
//	0x44   12 -             0
//	0x50    1 SumType       SumCRC32C if there are checksums
//	0x54    4 FastBlocks    of a fast-commit area                0: 256, with IncompatFastCommit
//	0x58    4 Head          where a kernel goes on in an empty log
//	0xFC    4 Sum           CRC-32C, if there are checksums
//	0x100 768 UserUUIDs     of an external journal               0
type Super struct {
	Magic      uint32
	Type       uint32
	HeadSeq    uint32
	BlockSize  uint32
	Length     uint32
	First      uint32
	Sequence   uint32
	Start      uint32
	Errno      uint32
	Compat     uint32
	Incompat   uint32
	ROCompat   uint32
	UUID       [16]byte
	Users      uint32
	Reserved   [3]uint32
	SumType    uint8
	Pad        [3]byte
	FastBlocks uint32
	Head       uint32
	Pad2       [160]byte
	Sum        uint32
	UserUUIDs  [768]byte
}

// Empty returns the first block of an empty journal of the given number of blocks, as
// mke2fs writes it. It has no features: the first kernel that mounts it chooses them.
func Empty(blocks uint32, uuid [16]byte) []byte {
	s := Super{
		Magic: Magic, Type: KindSuperV2, BlockSize: disk.BlockSize, Length: blocks,
		First: 1, Sequence: 1, UUID: uuid, Users: 1,
	}
	b := make([]byte, disk.BlockSize)
	s.Encode(b)
	return b
}

// Encode writes s into the first bytes of b, with its checksum if it has one.
func (s *Super) Encode(b []byte) {
	s.Sum = 0
	if _, err := binary.Encode(b[:SuperSize], binary.BigEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
	if s.HasSums() {
		s.Sum = disk.RawSum(^uint32(0), b[:SuperSize])
		binary.BigEndian.PutUint32(b[sumOffset:], s.Sum)
	}
}

// Decode reads s from the first bytes of b. It checks nothing. Version 1 ends with Errno.
func (s *Super) Decode(b []byte) {
	if _, err := binary.Decode(b[:SuperSize], binary.BigEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
	if s.Type == KindSuperV1 {
		*s = Super{
			Magic: s.Magic, Type: s.Type, HeadSeq: s.HeadSeq, BlockSize: s.BlockSize, Length: s.Length, First: s.First,
			Sequence: s.Sequence, Start: s.Start, Errno: s.Errno,
		}
	}
}

// fastBlocks is how many blocks at the end of the journal are for fast commits.
func (s *Super) fastBlocks() uint32 {
	n := cmp.Or(s.FastBlocks, defaultFastBlocks)
	if s.Incompat&IncompatFastCommit == 0 || n > s.Length || s.Length-n < MinBlocks {
		return 0
	}
	return n
}

// HasSums reports whether the blocks of the log have checksums of their own.
func (s *Super) HasSums() bool { return s.Incompat&(IncompatSumV2|IncompatSumV3) != 0 }

// check checks s, which was decoded from b and belongs to a journal in a file of
// fileBlocks blocks of block bytes.
func (s *Super) check(b []byte, block int, fileBlocks int64) error {
	switch {
	case s.Magic != Magic:
		return fmt.Errorf("journal: no magic: %w", disk.ErrCorrupt)
	case s.Type != KindSuperV1 && s.Type != KindSuperV2:
		return fmt.Errorf("journal: block of type %d where the superblock belongs: %w", s.Type, disk.ErrCorrupt)
	case s.Incompat&IncompatAsyncCommit != 0:
		return fmt.Errorf("journal: asynchronous commits: %w", disk.ErrUnsupported)
	case s.Incompat&^incompatKnown != 0 || s.ROCompat != 0:
		return fmt.Errorf("journal: features %#x/%#x: %w", s.Incompat&^incompatKnown, s.ROCompat, disk.ErrUnsupported)
	case s.Incompat&IncompatSumV2 != 0 && s.Incompat&IncompatSumV3 != 0, s.HasSums() && s.Compat&CompatSum != 0:
		return fmt.Errorf("journal: two kinds of checksums at once: %w", disk.ErrCorrupt)
	case s.HasSums() && s.SumType != SumCRC32C:
		return fmt.Errorf("journal: checksums of type %d: %w", s.SumType, disk.ErrUnsupported)
	case s.HasSums() && s.Sum != superSum(b):
		return fmt.Errorf("journal: checksum of the superblock is %08x, not %08x: %w", s.Sum, superSum(b), disk.ErrCorrupt)
	case int64(s.BlockSize) != int64(block):
		return fmt.Errorf("journal: blocks of %d bytes in a file system of %d: %w", s.BlockSize, block, disk.ErrCorrupt)
	case int64(s.Length) > fileBlocks || s.First == 0 || s.First >= s.Length-s.fastBlocks():
		return fmt.Errorf("journal: blocks %d to %d of a file of %d blocks: %w", s.First, s.Length, fileBlocks, disk.ErrCorrupt)
	case s.Start != 0 && (s.Start < s.First || s.Start >= s.Length-s.fastBlocks()):
		return fmt.Errorf("journal: starts at block %d of %d: %w", s.Start, s.Length, disk.ErrCorrupt)
	}
	return nil
}

// superSum is the right value of Sum for the superblock in b.
func superSum(b []byte) uint32 {
	sum := disk.RawSum(^uint32(0), b[:sumOffset])
	sum = disk.RawSum(sum, make([]byte, 4))
	return disk.RawSum(sum, b[sumOffset+4:SuperSize])
}

// Head is the header of every block of the log except data.
type Head struct {
	Kind     uint32
	Sequence uint32
}

// Encode writes h to the first bytes of b.
func (h Head) Encode(b []byte) {
	binary.BigEndian.PutUint32(b, Magic)
	binary.BigEndian.PutUint32(b[4:], h.Kind)
	binary.BigEndian.PutUint32(b[8:], h.Sequence)
}

// DecodeHead reads the header of block b; ok is false if b does not begin with one.
func DecodeHead(b []byte) (h Head, ok bool) {
	return Head{binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])},
		binary.BigEndian.Uint32(b) == Magic
}
