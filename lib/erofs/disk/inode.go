package disk

import (
	"encoding/binary"

	"ocipipe/lib/tree"
)

// NidUnit is the distance in bytes between inodes whose numbers (nids) differ by 1.
const NidUnit = 32

// Lengths of an inode in bytes, by its form.
const (
	CompactSize  = 32
	ExtendedSize = 64
)

// Layout says where the data of an inode is.
type Layout uint8

// The layouts.
const (
	FlatPlain         Layout = 0 // whole blocks, one after the other
	CompressedFull    Layout = 1 // an index of 8 bytes for each block
	FlatInline        Layout = 2 // the last block's bytes follow the inode and its xattrs
	CompressedCompact Layout = 3 // indexes packed into 2 or 4 bytes
	ChunkBased        Layout = 4 // a map from chunks to blocks follows the inode and its xattrs
)

const (
	formatExtended    = 0x01
	formatLayoutShift = 1
	formatLayoutMask  = 0x07
	format48Bit       = 0x10 // directories: without "."; others: one name, and High if compact
	formatKnown       = formatExtended | formatLayoutMask<<formatLayoutShift
)

// Inode is struct erofs_inode_compact or erofs_inode_extended. A compact one has no time of
// its own: it has that of the superblock.
//
//	compact extended
//	off size off size field       meaning                      range
//	  0    2   0    2 -           bit 0 extended, 1-3 layout;    bit 4: 0 without 48-bit addresses
//	                              bit 4 dir: "." is left out,
//	                              other: Nlink is 1, High in
//	                              its place if compact
//	  2    2   2    2 XattrCount  see XattrBodySize
//	  4    2   4    2 Mode        type and permissions
//	  6    2  44    4 Nlink
//	  -    -   6    2 High                                     0, or 0xFFFF with Data 0xFFFFFFFF: a hole
//	  8    4   8    8 Size        bytes                        below 2^63
//	 12    4  32    8 Time.Sec    mtime; compact: after Epoch  compact: 0, as Linux before 6.15 ignores it
//	  -    -  40    4 Time.Nsec
//	 16    4  16    4 Data        flat: first block; chunked: chunk format; device: number
//	 20    4  20    4 Ino         a serial number, for 32-bit stat; unused by the kernel
//	 24    2  24    4 UID
//	 26    2  28    4 GID
//	 28    4   -    - -           0
//	  -    -  48   16 -           0
type Inode struct {
	Extended   bool
	Layout     Layout
	XattrCount uint16
	Mode       uint16
	Size       int64
	Time       tree.Time
	Data       uint32
	High       uint16 // high bits of the first block: 0, or 0xFFFF for a hole
	HasHigh    bool   // a compact record has High, too, with 48-bit addresses
	Ino        uint32
	UID, GID   uint32
	Nlink      uint32
}

// RecordSize is the length of the record in bytes, without the xattrs and data that follow.
func (n *Inode) RecordSize() int64 {
	if n.Extended {
		return ExtendedSize
	}
	return CompactSize
}

// IsCompressed reports whether n has data that is compressed, or may be.
func (n *Inode) IsCompressed() bool {
	return n.Layout == CompressedFull || n.Layout == CompressedCompact
}

// Encode writes n to b, which is RecordSize zero bytes. The fields of a compact inode
// must fit: the caller decides which form an inode has.
func (n *Inode) Encode(b []byte) {
	format := uint16(n.Layout) << formatLayoutShift
	le := binary.LittleEndian
	le.PutUint16(b[2:], n.XattrCount)
	le.PutUint16(b[4:], n.Mode)
	le.PutUint32(b[16:], n.Data)
	le.PutUint32(b[20:], n.Ino)
	if n.Extended {
		le.PutUint16(b, format|formatExtended)
		le.PutUint64(b[8:], uint64(n.Size))
		le.PutUint32(b[24:], n.UID)
		le.PutUint32(b[28:], n.GID)
		le.PutUint64(b[32:], uint64(n.Time.Sec))
		le.PutUint32(b[40:], n.Time.Nsec)
		le.PutUint32(b[44:], n.Nlink)
		return
	}
	le.PutUint16(b, format)
	le.PutUint16(b[6:], uint16(n.Nlink))
	le.PutUint32(b[8:], uint32(n.Size))
	le.PutUint16(b[24:], uint16(n.UID))
	le.PutUint16(b[26:], uint16(n.GID))
}

// InodeSize is the length in bytes of the record that begins with b.
func InodeSize(b []byte) int64 {
	if b[0]&formatExtended != 0 {
		return ExtendedSize
	}
	return CompactSize
}

// Decode reads the InodeSize bytes of b. It returns false for format bits that only images
// with 48-bit addresses have, and for a negative size.
func (n *Inode) Decode(b []byte, super *Superblock) bool {
	le := binary.LittleEndian
	format := le.Uint16(b)
	*n = Inode{
		Extended:   format&formatExtended != 0,
		Layout:     Layout(format >> formatLayoutShift & formatLayoutMask),
		XattrCount: le.Uint16(b[2:]),
		Mode:       le.Uint16(b[4:]),
		Data:       le.Uint32(b[16:]),
		Ino:        le.Uint32(b[20:]),
	}
	known := uint16(formatKnown)
	if super.Incompat&Incompat48Bit != 0 {
		known |= format48Bit
	}
	if format&^known != 0 || n.Layout > ChunkBased {
		return false
	}
	if n.Extended {
		n.High = le.Uint16(b[6:])
		n.Size = int64(le.Uint64(b[8:]))
		n.UID, n.GID = le.Uint32(b[24:]), le.Uint32(b[28:])
		n.Time = tree.Time{Sec: int64(le.Uint64(b[32:])), Nsec: le.Uint32(b[40:])}
		n.Nlink = le.Uint32(b[44:])
		return n.Size >= 0
	}
	n.Nlink = uint32(le.Uint16(b[6:]))
	if format&format48Bit != 0 && n.Mode&modeTypeMask != fileTypes[tree.Dir].mode {
		n.Nlink, n.HasHigh, n.High = 1, true, le.Uint16(b[6:])
	}
	n.Size = int64(le.Uint32(b[8:]))
	n.Time = tree.Time{Sec: super.Epoch + int64(le.Uint32(b[12:])), Nsec: super.FixedNsec}
	n.UID, n.GID = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
	return true
}

// fileTypes has, for each type of file, its bits in a mode and its code in a directory
// entry.
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

const modeTypeMask = 0o170000

// ModePermMask has the permission bits of a mode.
const ModePermMask = 0o007777

// ModeOf is the mode of a file of type t, without permission bits.
func ModeOf(t tree.Type) uint16 { return fileTypes[t].mode }

// DirentType is the code for a file of type t in a directory entry.
func DirentType(t tree.Type) uint8 { return fileTypes[t].dirent }

// TypeOfMode is the type of file in a mode, or 0 if the mode has no valid one.
func TypeOfMode(mode uint16) tree.Type {
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
	MaxMajor = 1<<12 - 1
	MaxMinor = 1<<20 - 1
)

// EncodeDevice packs d, whose numbers must fit.
func EncodeDevice(d tree.Device) uint32 {
	return d.Minor&0xFF | d.Major<<8 | d.Minor&^0xFF<<12
}

// DecodeDevice is the inverse of EncodeDevice.
func DecodeDevice(v uint32) tree.Device {
	return tree.Device{Major: v >> 8 & MaxMajor, Minor: v&0xFF | v>>12&^0xFF}
}
