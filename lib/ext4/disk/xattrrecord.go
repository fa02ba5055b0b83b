package disk

import "encoding/binary"

// Extended attributes (fs/ext4/xattr.h). In an inode they begin with xattrMagic alone, and
// offsets of values count from the end of that; in a block of their own they begin
// with XattrHead, and offsets count from the start of the block. Entries follow each
// other up to four zero bytes; values are at the end.
const (
	xattrMagic     = 0xEA020000
	XattrMagicSize = 4
	XattrHeadSize  = 32
	xattrEntSize   = 16
	xattrAlign     = 4
	xattrEndSize   = 4
	XattrSumOffset = 16
	XattrMaxRefs   = 1024     // inodes that share a block (EXT4_XATTR_REFCOUNT_MAX)
	XattrMaxValue  = 64 << 10 // bytes that Linux shows (XATTR_SIZE_MAX)

	InlineMin  = 60     // bytes of inline data in i_block
	inlineName = "data" // with the prefix xattrSystem: the rest of them
)

// Numbers for the prefixes of names.
const (
	xattrUser       uint8 = 1
	xattrACLAccess  uint8 = 2 // the whole name system.posix_acl_access
	xattrACLDefault uint8 = 3 // the whole name system.posix_acl_default
	xattrTrusted    uint8 = 4
	xattrSecurity   uint8 = 6
	xattrSystem     uint8 = 7
)

// XattrHead is struct ext4_xattr_header.
//
//	off size field      meaning                              range
//	  0    4 Magic      xattrMagic
//	  4    4 Refs       inodes that have this block          1 to 1024
//	  8    4 Blocks                                          1
//	 12    4 Hash       of all entries
//	 16    4 Checksum   Seed.XattrBlock
//	 20   12 -          0
type XattrHead struct {
	Magic    uint32
	Refs     uint32
	Blocks   uint32
	Hash     uint32
	Checksum uint32
}

func (h *XattrHead) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], h.Magic)
	le.PutUint32(b[4:], h.Refs)
	le.PutUint32(b[8:], h.Blocks)
	le.PutUint32(b[12:], h.Hash)
	le.PutUint32(b[XattrSumOffset:], h.Checksum)
	clear(b[20:XattrHeadSize])
}

func (h *XattrHead) Decode(b []byte) {
	le := binary.LittleEndian
	*h = XattrHead{le.Uint32(b[0:]), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint32(b[XattrSumOffset:])}
}

// xattrEntry is struct ext4_xattr_entry; the name follows, padded to xattrAlign.
//
//	off size field      meaning                              range
//	  0    1 NameLen    without the prefix
//	  1    1 Index      number of the prefix
//	  2    2 ValueOff   where the value is
//	  4    4 ValueIno   inode that has the value             0 without ea_inode
//	  8    4 ValueSize
//	 12    4 Hash       of name and value                    0 in an inode
type xattrEntry struct {
	NameLen   uint8
	Index     uint8
	ValueOff  uint16
	ValueIno  uint32
	ValueSize uint32
	Hash      uint32
}

func (e *xattrEntry) Encode(b []byte) {
	le := binary.LittleEndian
	b[0], b[1] = e.NameLen, e.Index
	le.PutUint16(b[2:], e.ValueOff)
	le.PutUint32(b[4:], e.ValueIno)
	le.PutUint32(b[8:], e.ValueSize)
	le.PutUint32(b[12:], e.Hash)
}

func (e *xattrEntry) Decode(b []byte) {
	le := binary.LittleEndian
	*e = xattrEntry{b[0], b[1], le.Uint16(b[2:]), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])}
}
