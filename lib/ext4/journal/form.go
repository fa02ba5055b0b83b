package journal

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// Form is how the blocks of a log are encoded, which the features of the log decide.
type Form struct {
	Wide bool // block numbers have 64 bits
	Sums int  // version of the checksums: 1, 2 or 3; 0: none
	size int  // length of a block
	uuid [16]byte
	seed uint32
}

// Form returns how the log with the superblock s is encoded.
func (s *Super) Form() Form {
	f := Form{Wide: s.Incompat&Incompat64Bit != 0, size: int(s.BlockSize), uuid: s.UUID, seed: disk.RawSum(^uint32(0), s.UUID[:])}
	switch {
	case s.Incompat&IncompatSumV3 != 0:
		f.Sums = 3
	case s.Incompat&IncompatSumV2 != 0:
		f.Sums = 2
	case s.Compat&CompatSum != 0:
		f.Sums = 1
	}
	return f
}

// room is the length of a descriptor or revoke block without its tail.
func (f *Form) room() int {
	if f.Sums < 2 {
		return f.size
	}
	return f.size - TailSize
}

// tagSize is the length of a tag: 16 in version 3; else 8, with 4 more for wide
// block numbers and, by a slip that became the format, 2 more in version 2.
func (f *Form) tagSize() int {
	size := 8
	switch {
	case f.Sums == 3:
		return 16
	case f.Sums == 2:
		size += 2
	}
	if f.Wide {
		size += 4
	}
	return size
}

// Tag is journal_block_tag3_t or, before version 3, journal_block_tag_t.
//
//	version 3           before
//	off size            off size  field
//	  0    4              0    4  block, low word
//	  4    4              6    2  flags
//	  8    4              8    4  block, high word, if wide
//	 12    4              4    2  checksum, low half in version 2, else 0
type Tag struct {
	Block uint64
	Flags uint32
	sum   uint32 // its low 16 bits in version 2
}

// EncodeTag writes t to b.
func (f *Form) EncodeTag(b []byte, t Tag) {
	binary.BigEndian.PutUint32(b, uint32(t.Block))
	if f.Sums == 3 {
		binary.BigEndian.PutUint32(b[4:], t.Flags)
		binary.BigEndian.PutUint32(b[8:], uint32(t.Block>>32))
		binary.BigEndian.PutUint32(b[12:], t.sum)
		return
	}
	binary.BigEndian.PutUint16(b[4:], uint16(t.sum))
	binary.BigEndian.PutUint16(b[6:], uint16(t.Flags))
	if f.Wide {
		binary.BigEndian.PutUint32(b[8:], uint32(t.Block>>32))
	}
}

func (f *Form) decodeTag(b []byte) Tag {
	t := Tag{Block: uint64(binary.BigEndian.Uint32(b))}
	if f.Sums == 3 {
		t.Flags, t.sum = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[12:])
	} else {
		t.Flags, t.sum = uint32(binary.BigEndian.Uint16(b[6:])), uint32(binary.BigEndian.Uint16(b[4:]))
	}
	if f.Wide {
		t.Block |= uint64(binary.BigEndian.Uint32(b[8:])) << 32
	}
	return t
}

// decodeTags returns the tags in the descriptor b.
func (f *Form) decodeTags(b []byte) (tags []Tag) {
	size := f.tagSize()
	for off := HeadSize; off+size <= f.room(); off += size {
		t := f.decodeTag(b[off:])
		tags = append(tags, t)
		if t.Flags&TagSameUUID == 0 {
			off += uuidSize
		}
		if t.Flags&TagLast != 0 {
			break
		}
	}
	return tags
}

// decodeRevoked returns the block numbers in the revoke block b.
func (f *Form) decodeRevoked(b []byte) (blocks []uint64, err error) {
	used := binary.BigEndian.Uint32(b[HeadSize:]) // bytes, header included
	if int64(used) > int64(f.room()) {
		return nil, fmt.Errorf("%d bytes of revoked blocks: %w", used, disk.ErrCorrupt)
	}
	size := 4
	if f.Wide {
		size = 8
	}
	for off := RevokeHeadSize; off+size <= int(used); off += size {
		if f.Wide {
			blocks = append(blocks, binary.BigEndian.Uint64(b[off:]))
		} else {
			blocks = append(blocks, uint64(binary.BigEndian.Uint32(b[off:])))
		}
	}
	return blocks, nil
}

// TailSum is the checksum that the descriptor or revoke block in b should have in its
// tail.
func (f *Form) TailSum(b []byte) uint32 {
	sum := disk.RawSum(f.seed, b[:f.size-TailSize])
	return disk.RawSum(sum, make([]byte, TailSize))
}

// tailOK reports whether the descriptor or revoke block in b has the right checksum, or
// needs none.
func (f *Form) tailOK(b []byte) bool {
	return f.Sums < 2 || binary.BigEndian.Uint32(b[f.size-TailSize:]) == f.TailSum(b)
}

// CommitSum is the checksum that the commit block in b should hold in versions 2
// and 3.
func (f *Form) CommitSum(b []byte) uint32 {
	sum := disk.RawSum(f.seed, b[:CommitSumOffset])
	sum = disk.RawSum(sum, make([]byte, commitSumSize))
	return disk.RawSum(sum, b[CommitSumOffset+commitSumSize:f.size])
}

// commitOK reports whether the commit block in b has the right checksum. In version 1 that
// is v1, the checksum over the other blocks of the transaction except revokes.
func (f *Form) commitOK(b []byte, v1 uint32) bool {
	stored := binary.BigEndian.Uint32(b[CommitSumOffset:])
	kind, size := b[HeadSize], b[HeadSize+1]
	switch f.Sums {
	case 0:
		return true
	case 1: // each transaction may store it or leave it out
		return kind == 0 && size == 0 && stored == 0 || kind == sumCRC32 && size == commitSumSize && stored == v1
	}
	return stored == f.CommitSum(b)
}

// tagSum is the checksum of data, a block in the form in which it is in the log.
func (f *Form) tagSum(sequence uint32, data []byte) uint32 {
	sum := disk.RawSum(f.seed, binary.BigEndian.AppendUint32(nil, sequence))
	return disk.RawSum(sum, data)
}

// dataOK reports whether data has the checksum in t, or t has none.
func (f *Form) dataOK(t Tag, sequence uint32, data []byte) bool {
	switch f.Sums {
	case 2:
		return t.sum == f.tagSum(sequence, data)&0xFFFF
	case 3:
		return t.sum == f.tagSum(sequence, data)
	}
	return true
}

// crc32BE continues sum, a CRC-32 with its highest bit first, over b. Only checksums of
// version 1 use it.
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
