package disk

import "encoding/binary"

// DescFlags are the flags of a group.
type DescFlags uint16

const (
	InodeUninit DescFlags = 1 // no inode is in use; the inode bitmap is not valid
	BlockUninit DescFlags = 2 // only metadata is in use; the block bitmap is not valid
	TableZeroed DescFlags = 4 // the unused part of the inode table is zero
)

// GroupDesc is struct ext4_group_desc. The lower halves are in the first 32 bytes. Without
// 64bit a descriptor has only these.
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
//	 18   38    2 BlockBitmapSum    Seed.Bitmap
//	 1A   3A    2 InodeBitmapSum    Seed.Bitmap
//	 1C   32    2 Unused            inodes at the end of the table, never used
//	 1E         2 Checksum          Seed.Group
//	      3C    4 -                 0
type GroupDesc struct {
	BlockBitmap    uint64
	InodeBitmap    uint64
	InodeTable     uint64
	FreeBlocks     uint32
	FreeInodes     uint32
	Dirs           uint32
	Flags          DescFlags
	Exclude        uint64
	BlockBitmapSum uint32
	InodeBitmapSum uint32
	Unused         uint32
	Checksum       uint16
}

const (
	GroupSumOffset = 0x1E
	groupSumEnd    = GroupSumOffset + 2
)

// Encode writes d to b, which has SmallGroupDescSize or at least GroupDescSize
// bytes. It does not compute the Checksum: see Seed.SealGroup.
func (d *GroupDesc) Encode(b []byte) {
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
	le.PutUint16(b[GroupSumOffset:], d.Checksum)
	if len(b) < GroupDescSize {
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

// Decode reads d from b, which has SmallGroupDescSize or at least GroupDescSize
// bytes. In a small descriptor the checksums of bitmaps have 16 bits.
func (d *GroupDesc) Decode(b []byte) {
	le := binary.LittleEndian
	*d = GroupDesc{
		BlockBitmap:    uint64(le.Uint32(b[0x00:])),
		InodeBitmap:    uint64(le.Uint32(b[0x04:])),
		InodeTable:     uint64(le.Uint32(b[0x08:])),
		FreeBlocks:     uint32(le.Uint16(b[0x0C:])),
		FreeInodes:     uint32(le.Uint16(b[0x0E:])),
		Dirs:           uint32(le.Uint16(b[0x10:])),
		Flags:          DescFlags(le.Uint16(b[0x12:])),
		Exclude:        uint64(le.Uint32(b[0x14:])),
		BlockBitmapSum: uint32(le.Uint16(b[0x18:])),
		InodeBitmapSum: uint32(le.Uint16(b[0x1A:])),
		Unused:         uint32(le.Uint16(b[0x1C:])),
		Checksum:       le.Uint16(b[GroupSumOffset:]),
	}
	if len(b) < GroupDescSize {
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
