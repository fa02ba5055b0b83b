package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// The journal is jbd2's (fs/jbd2, include/linux/jbd2.h): a log of whole blocks in
// the file of inode 8, in which everything is big endian. Each transaction is
//
//	descriptor  tags of the blocks that follow it, one each
//	data        the blocks, as many as tags; then maybe another descriptor
//	revoke      blocks that transactions up to this one must not bring back
//	commit      without it the transaction has not happened
//
// Block 0 of the file is the superblock; the log runs from First to Length and
// goes on at First.

const (
	journalMagic     = 0xC03B3998
	journalSuperSize = 1024
	journalMinBlocks = 1024 // jbd2 mounts nothing shorter
	journalHeadSize  = 12
	journalTailSize  = 4 // of descriptor and revoke blocks, where there are checksums
	journalUUIDSize  = 16

	journalSumOffset = 0xFC // in the superblock
	commitSumOffset  = 16   // in a commit block
	commitSumSize    = 4
	commitTimeOffset = 48
	revokeHeadSize   = 16
	sumCRC32         = 1 // ChecksumType of transactions in version 1
	sumCRC32C        = 4 // ChecksumType of the superblock
)

// Kinds of journal blocks.
const (
	journalDescriptor = 1
	journalCommit     = 2
	journalSuperV1    = 3
	journalSuperV2    = 4
	journalRevoke     = 5
)

// Features of a journal.
const (
	journalCompatSum = 0x01 // version 1: one checksum in the commit block

	journalHasRevokes  = 0x01
	journal64Bit       = 0x02
	journalAsyncCommit = 0x04 // refused: a commit block proves nothing there
	journalSumV2       = 0x08
	journalSumV3       = 0x10
	journalFastCommit  = 0x20 // refused: a second log with records of its own
	journalKnown       = journalHasRevokes | journal64Bit | journalSumV2 | journalSumV3
)

// Flags of a tag.
const (
	tagEscaped  = 1 // the data began with journalMagic, which is stored as zero
	tagSameUUID = 2 // no UUID follows the tag
	tagLast     = 8
)

// journalSuper is journal_superblock_t.
//
//	 off size field         meaning                              range
//	0x00    4 Magic         journalMagic
//	0x04    4 Type          journalSuperV2
//	0x08    4 -             sequence of a block header           0
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
//	0x50    1 SumType       sumCRC32C if there are checksums
//	0x54    4 FastBlocks    of a fast-commit area                0 here
//	0x58    4 Head          where a kernel goes on in an empty log
//	0xFC    4 Sum           CRC-32C, if there are checksums
//	0x100 768 UserUUIDs     of an external journal               0
type journalSuper struct {
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

// journalSuperblock returns the first block of an empty journal of that many
// blocks of 4096 bytes, as mke2fs writes it: the first kernel that mounts it
// chooses its features.
func journalSuperblock(blocks uint32, uuid [16]byte) []byte {
	s := journalSuper{
		Magic: journalMagic, Type: journalSuperV2, BlockSize: disk.BlockSize, Length: blocks,
		First: 1, Sequence: 1, UUID: uuid, Users: 1,
	}
	b := make([]byte, disk.BlockSize)
	s.encode(b)
	return b
}

// encode writes s into the first bytes of b, with its checksum if it has one.
func (s *journalSuper) encode(b []byte) {
	s.Sum = 0
	if _, err := binary.Encode(b[:journalSuperSize], binary.BigEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
	if s.hasSums() {
		s.Sum = disk.RawSum(^uint32(0), b[:journalSuperSize])
		binary.BigEndian.PutUint32(b[journalSumOffset:], s.Sum)
	}
}

// decode takes s from the first bytes of b without judging it.
func (s *journalSuper) decode(b []byte) {
	if _, err := binary.Decode(b[:journalSuperSize], binary.BigEndian, s); err != nil {
		panic(err) // the struct has a fixed size
	}
}

// HasSums reports whether the blocks of the log have checksums of their own.
func (s *journalSuper) hasSums() bool { return s.Incompat&(journalSumV2|journalSumV3) != 0 }

// check returns what is wrong with s, which was decoded from b and belongs to a
// file of fileBlocks blocks.
func (s *journalSuper) check(b []byte, fileBlocks int64) error {
	switch {
	case s.Magic != journalMagic:
		return fmt.Errorf("journal: no magic: %w", disk.ErrCorrupt)
	case s.Type == journalSuperV1:
		return fmt.Errorf("journal: superblock of version 1: %w", disk.ErrUnsupported)
	case s.Type != journalSuperV2:
		return fmt.Errorf("journal: block of type %d where the superblock belongs: %w", s.Type, disk.ErrCorrupt)
	case s.Incompat&journalFastCommit != 0 || s.FastBlocks != 0:
		return fmt.Errorf("journal: fast commits: %w", disk.ErrUnsupported)
	case s.Incompat&journalAsyncCommit != 0:
		return fmt.Errorf("journal: asynchronous commits: %w", disk.ErrUnsupported)
	case s.Incompat&^journalKnown != 0 || s.ROCompat != 0:
		return fmt.Errorf("journal: features %#x/%#x: %w", s.Incompat&^journalKnown, s.ROCompat, disk.ErrUnsupported)
	case s.Incompat&journalSumV2 != 0 && s.Incompat&journalSumV3 != 0, s.hasSums() && s.Compat&journalCompatSum != 0:
		return fmt.Errorf("journal: two kinds of checksums at once: %w", disk.ErrCorrupt)
	case s.hasSums() && s.SumType != sumCRC32C:
		return fmt.Errorf("journal: checksums of type %d: %w", s.SumType, disk.ErrUnsupported)
	case s.hasSums() && s.Sum != journalSuperSum(b):
		return fmt.Errorf("journal: checksum of the superblock is %08x, not %08x: %w", s.Sum, journalSuperSum(b), disk.ErrCorrupt)
	case s.BlockSize != disk.BlockSize:
		return fmt.Errorf("journal: blocks of %d bytes in a file system of %d: %w", s.BlockSize, disk.BlockSize, disk.ErrCorrupt)
	case int64(s.Length) > fileBlocks || s.First == 0 || s.First >= s.Length:
		return fmt.Errorf("journal: blocks %d to %d of a file of %d blocks: %w", s.First, s.Length, fileBlocks, disk.ErrCorrupt)
	case s.Start != 0 && (s.Start < s.First || s.Start >= s.Length):
		return fmt.Errorf("journal: starts at block %d of %d: %w", s.Start, s.Length, disk.ErrCorrupt)
	}
	return nil
}

// journalSuperSum is what Sum of the superblock in b should be.
func journalSuperSum(b []byte) uint32 {
	sum := disk.RawSum(^uint32(0), b[:journalSumOffset])
	sum = disk.RawSum(sum, make([]byte, 4))
	return disk.RawSum(sum, b[journalSumOffset+4:journalSuperSize])
}

// journalHead is what every block of the log but data begins with.
type journalHead struct {
	kind     uint32
	sequence uint32
}

func (h journalHead) encode(b []byte) {
	binary.BigEndian.PutUint32(b, journalMagic)
	binary.BigEndian.PutUint32(b[4:], h.kind)
	binary.BigEndian.PutUint32(b[8:], h.sequence)
}

// decodeJournalHead reports false for a block that has no header.
func decodeJournalHead(b []byte) (h journalHead, ok bool) {
	return journalHead{binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])},
		binary.BigEndian.Uint32(b) == journalMagic
}

// logForm is how the blocks of one log are encoded, which its features decide.
type logForm struct {
	wide bool // blocks have 64 bits
	sums int  // 0, or the version of the checksums: 1, 2, 3
	uuid [16]byte
	seed uint32
}

func (s *journalSuper) form() logForm {
	f := logForm{wide: s.Incompat&journal64Bit != 0, uuid: s.UUID, seed: disk.RawSum(^uint32(0), s.UUID[:])}
	switch {
	case s.Incompat&journalSumV3 != 0:
		f.sums = 3
	case s.Incompat&journalSumV2 != 0:
		f.sums = 2
	case s.Compat&journalCompatSum != 0:
		f.sums = 1
	}
	return f
}

// room is the length of a descriptor or revoke block without its tail.
func (f *logForm) room() int {
	if f.sums < 2 {
		return disk.BlockSize
	}
	return disk.BlockSize - journalTailSize
}

// tagSize is the length of a tag: 16 in version 3; else 8, with 4 more for wide
// block numbers and, by a slip that became the format, 2 more in version 2.
func (f *logForm) tagSize() int {
	size := 8
	switch {
	case f.sums == 3:
		return 16
	case f.sums == 2:
		size += 2
	}
	if f.wide {
		size += 4
	}
	return size
}

// logTag is journal_block_tag3_t or, before version 3, journal_block_tag_t.
//
//	version 3           before
//	off size            off size  field
//	  0    4              0    4  block, low word
//	  4    4              6    2  flags
//	  8    4              8    4  block, high word, if wide
//	 12    4              4    2  checksum, low half in version 2, else 0
type logTag struct {
	block uint64
	flags uint32
	sum   uint32 // its low 16 bits in version 2
}

func (f *logForm) encodeTag(b []byte, t logTag) {
	binary.BigEndian.PutUint32(b, uint32(t.block))
	if f.sums == 3 {
		binary.BigEndian.PutUint32(b[4:], t.flags)
		binary.BigEndian.PutUint32(b[8:], uint32(t.block>>32))
		binary.BigEndian.PutUint32(b[12:], t.sum)
		return
	}
	binary.BigEndian.PutUint16(b[4:], uint16(t.sum))
	binary.BigEndian.PutUint16(b[6:], uint16(t.flags))
	if f.wide {
		binary.BigEndian.PutUint32(b[8:], uint32(t.block>>32))
	}
}

func (f *logForm) decodeTag(b []byte) logTag {
	t := logTag{block: uint64(binary.BigEndian.Uint32(b))}
	if f.sums == 3 {
		t.flags, t.sum = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[12:])
	} else {
		t.flags, t.sum = uint32(binary.BigEndian.Uint16(b[6:])), uint32(binary.BigEndian.Uint16(b[4:]))
	}
	if f.wide {
		t.block |= uint64(binary.BigEndian.Uint32(b[8:])) << 32
	}
	return t
}

// decodeTags takes the tags out of the descriptor in b.
func (f *logForm) decodeTags(b []byte) (tags []logTag) {
	size := f.tagSize()
	for off := journalHeadSize; off+size <= f.room(); off += size {
		t := f.decodeTag(b[off:])
		tags = append(tags, t)
		if t.flags&tagSameUUID == 0 {
			off += journalUUIDSize
		}
		if t.flags&tagLast != 0 {
			break
		}
	}
	return tags
}

// decodeRevoked takes the block numbers out of the revoke block in b.
func (f *logForm) decodeRevoked(b []byte) (blocks []uint64, err error) {
	used := binary.BigEndian.Uint32(b[journalHeadSize:]) // with the header
	if int64(used) > int64(f.room()) {
		return nil, fmt.Errorf("%d bytes of revoked blocks: %w", used, disk.ErrCorrupt)
	}
	size := 4
	if f.wide {
		size = 8
	}
	for off := revokeHeadSize; off+size <= int(used); off += size {
		if f.wide {
			blocks = append(blocks, binary.BigEndian.Uint64(b[off:]))
		} else {
			blocks = append(blocks, uint64(binary.BigEndian.Uint32(b[off:])))
		}
	}
	return blocks, nil
}

// tailSum is the checksum that the descriptor or revoke block in b should end
// with.
func (f *logForm) tailSum(b []byte) uint32 {
	sum := disk.RawSum(f.seed, b[:disk.BlockSize-journalTailSize])
	return disk.RawSum(sum, make([]byte, journalTailSize))
}

// tailOK reports whether the descriptor or revoke block in b is what was written.
func (f *logForm) tailOK(b []byte) bool {
	return f.sums < 2 || binary.BigEndian.Uint32(b[disk.BlockSize-journalTailSize:]) == f.tailSum(b)
}

// commitSum is the checksum that the commit block in b should hold in versions 2
// and 3.
func (f *logForm) commitSum(b []byte) uint32 {
	sum := disk.RawSum(f.seed, b[:commitSumOffset])
	sum = disk.RawSum(sum, make([]byte, commitSumSize))
	return disk.RawSum(sum, b[commitSumOffset+commitSumSize:disk.BlockSize])
}

// commitOK reports whether the commit block in b is whole and, in version 1, the
// transaction that it ends, whose other blocks but revokes have the checksum v1.
func (f *logForm) commitOK(b []byte, v1 uint32) bool {
	stored := binary.BigEndian.Uint32(b[commitSumOffset:])
	kind, size := b[journalHeadSize], b[journalHeadSize+1]
	switch f.sums {
	case 0:
		return true
	case 1: // may be left out by one transaction and stored by the next
		return kind == 0 && size == 0 && stored == 0 || kind == sumCRC32 && size == commitSumSize && stored == v1
	}
	return stored == f.commitSum(b)
}

// tagSum is the checksum of a data block as it is stored in the log.
func (f *logForm) tagSum(sequence uint32, data []byte) uint32 {
	sum := disk.RawSum(f.seed, binary.BigEndian.AppendUint32(nil, sequence))
	return disk.RawSum(sum, data)
}

// dataOK reports whether data is the block that t was written for.
func (f *logForm) dataOK(t logTag, sequence uint32, data []byte) bool {
	switch f.sums {
	case 2:
		return t.sum == f.tagSum(sequence, data)&0xFFFF
	case 3:
		return t.sum == f.tagSum(sequence, data)
	}
	return true
}

// logBlock is a block of the file system as a transaction has it.
type logBlock struct {
	number uint64
	data   []byte
}

// tagsPerDescriptor is how many blocks one descriptor has room for.
func (f *logForm) tagsPerDescriptor() int {
	return (f.room() - journalHeadSize - journalUUIDSize) / f.tagSize()
}

// transactionLength is how many blocks of the log a transaction of n blocks takes.
func (f *logForm) transactionLength(n int) int {
	per := f.tagsPerDescriptor()
	return (n+per-1)/per + n + 1
}

// transaction encodes one: blocks of the log, in order.
func (f *logForm) transaction(sequence uint32, blocks []logBlock) (log [][]byte) {
	v1 := ^uint32(0)
	for len(blocks) > 0 {
		n := min(len(blocks), f.tagsPerDescriptor())
		for _, b := range f.descriptor(sequence, blocks[:n]) {
			if f.sums == 1 {
				v1 = crc32BE(v1, b)
			}
			log = append(log, b)
		}
		blocks = blocks[n:]
	}
	commit := make([]byte, disk.BlockSize)
	journalHead{journalCommit, sequence}.encode(commit)
	switch {
	case f.sums == 1:
		commit[journalHeadSize], commit[journalHeadSize+1] = sumCRC32, commitSumSize
		binary.BigEndian.PutUint32(commit[commitSumOffset:], v1)
	case f.sums > 1:
		binary.BigEndian.PutUint32(commit[commitSumOffset:], f.commitSum(commit))
	}
	return append(log, commit)
}

// descriptor encodes a descriptor of the blocks, followed by them.
func (f *logForm) descriptor(sequence uint32, blocks []logBlock) (log [][]byte) {
	head := make([]byte, disk.BlockSize)
	journalHead{journalDescriptor, sequence}.encode(head)
	log = append(log, head)
	off := journalHeadSize
	for i, b := range blocks {
		data, escaped := escape(b.data)
		t := logTag{block: b.number, sum: f.tagSum(sequence, data)}
		if f.sums < 2 {
			t.sum = 0
		}
		if escaped {
			t.flags |= tagEscaped
		}
		if i > 0 {
			t.flags |= tagSameUUID
		}
		if i == len(blocks)-1 {
			t.flags |= tagLast
		}
		f.encodeTag(head[off:], t)
		off += f.tagSize()
		if i == 0 {
			off += copy(head[off:], f.uuid[:])
		}
		log = append(log, data)
	}
	if f.sums > 1 {
		binary.BigEndian.PutUint32(head[disk.BlockSize-journalTailSize:], f.tailSum(head))
	}
	return log
}

// escape returns data as the log stores it, which must not look like a header.
func escape(data []byte) (stored []byte, escaped bool) {
	if binary.BigEndian.Uint32(data) != journalMagic {
		return data, false
	}
	stored = bytes.Clone(data)
	clear(stored[:4])
	return stored, true
}

// unescape undoes escape in place.
func unescape(data []byte) { binary.BigEndian.PutUint32(data, journalMagic) }

// crc32BE is CRC-32 with its highest bit first, which only journals of version 1
// have.
func crc32BE(sum uint32, b []byte) uint32 {
	for _, c := range b {
		sum = sum<<8 ^ crc32BETable[byte(sum>>24)^c]
	}
	return sum
}

var crc32BETable = func() (t [256]uint32) {
	for i := range t {
		sum := uint32(i) << 24
		for range 8 {
			sum = sum<<1 ^ 0x04C11DB7*(sum>>31)
		}
		t[i] = sum
	}
	return t
}()
