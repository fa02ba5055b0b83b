package disk

import (
	"encoding/binary"

	"ocipipe/lib/tree"
)

// InodeFlags say how an inode is stored and what may be done to it.
type InodeFlags uint32

const (
	flagImmutable  InodeFlags = 0x10
	flagAppend     InodeFlags = 0x20
	FlagEncrypt    InodeFlags = 0x800
	FlagIndex      InodeFlags = 0x1000     // directory with an htree
	FlagHugeFile   InodeFlags = 0x40000    // Blocks counts blocks
	FlagExtents    InodeFlags = 0x80000    // Block holds an extent tree
	FlagVerity     InodeFlags = 0x100000   // a Merkle tree follows the content
	FlagEAInode    InodeFlags = 0x200000   // the content is the value of an xattr
	FlagInlineData InodeFlags = 0x10000000 // Block and an xattr hold the content
	FlagCasefold   InodeFlags = 0x40000000
)

// Kinds of files as Mode has them.
const (
	ModeKind   = 0o170000
	ModeFifo   = 0o010000
	ModeChar   = 0o020000
	ModeDir    = 0o040000
	ModeBlock  = 0o060000
	ModeFile   = 0o100000
	ModeLink   = 0o120000
	ModeSocket = 0o140000
	ModePerm   = 0o7777
)

// Inode is struct ext4_inode (fs/ext4/ext4.h). An inode of 128 bytes ends before
// ExtraISize; in a longer one only the fields within ExtraISize are valid.
//
//	off size field        meaning                                     range
//	 00    2 Mode         kind and permissions
//	 02    2 UID          lower half, the upper at 78
//	 04    4 Size         in bytes, lower half, the upper at 6C
//	 08    4 Atime, 0C Ctime, 10 Mtime      seconds, more at 8C, 84, 88
//	 14    4 Dtime        when deleted; next in the list of orphans   0 in use
//	 18    2 GID          lower half, the upper at 7A
//	 1A    2 Links        names; of a directory 2 + subdirectories    1: more than 64998 subdirectories
//	 1C    4 Blocks       sectors, lower part, the upper 16 bits at 74
//	 20    4 Flags
//	 24    4 Version      lower half of a counter, the upper at 98    0
//	 28   60 Block        extent tree, target, device or block map
//	 64    4 Generation   for NFS; part of checksums                  0
//	 68    4 FileACL      block of xattrs, the upper 16 bits at 76    0: none
//	 7C    2 Checksum     InodeSeed.Inode, lower half, the upper at 82
//	 80    2 ExtraISize   bytes of the fields from here on            32
//	 84    4 ctime, 88 mtime, 8C atime      extra: nanoseconds << 2 | epoch
//	 90    4 Crtime       when made, extra at 94
//	 98    4 version, upper half
//	 9C    4 Project
//	 A0      xattrs
type Inode struct {
	Mode       uint16
	UID, GID   uint32
	Size       uint64
	Atime      Timestamp
	Ctime      Timestamp
	Mtime      Timestamp
	Crtime     Timestamp
	Dtime      uint32
	Links      uint16
	Blocks     uint64 // 48 bits
	Flags      InodeFlags
	Version    uint64
	Block      [60]byte
	Generation uint32
	FileACL    uint64 // 48 bits
	ExtraISize uint16
	Project    uint32
	Checksum   uint32
}

const (
	InodeSumLo  = 0x7C
	InodeSumHi  = 0x82
	inodeSumEnd = 4 // the smallest ExtraISize with the upper half of the checksum
	BlockOffset = 0x28
)

// Encode writes n to b, an inode of SmallInodeSize or more bytes. It does not change the
// bytes after ExtraISize, and does not compute the Checksum: see InodeSeed.Seal.
func (n *Inode) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint16(b[0x00:], n.Mode)
	le.PutUint16(b[0x02:], uint16(n.UID))
	le.PutUint32(b[0x04:], uint32(n.Size))
	le.PutUint32(b[0x08:], n.Atime.Low)
	le.PutUint32(b[0x0C:], n.Ctime.Low)
	le.PutUint32(b[0x10:], n.Mtime.Low)
	le.PutUint32(b[0x14:], n.Dtime)
	le.PutUint16(b[0x18:], uint16(n.GID))
	le.PutUint16(b[0x1A:], n.Links)
	le.PutUint32(b[0x1C:], uint32(n.Blocks))
	le.PutUint32(b[0x20:], uint32(n.Flags))
	le.PutUint32(b[0x24:], uint32(n.Version))
	copy(b[BlockOffset:], n.Block[:])
	le.PutUint32(b[0x64:], n.Generation)
	le.PutUint32(b[0x68:], uint32(n.FileACL))
	le.PutUint32(b[0x6C:], uint32(n.Size>>32))
	le.PutUint16(b[0x74:], uint16(n.Blocks>>32))
	le.PutUint16(b[0x76:], uint16(n.FileACL>>32))
	le.PutUint16(b[0x78:], uint16(n.UID>>16))
	le.PutUint16(b[0x7A:], uint16(n.GID>>16))
	le.PutUint16(b[InodeSumLo:], uint16(n.Checksum))
	if len(b) <= SmallInodeSize {
		return
	}
	le.PutUint16(b[0x80:], n.ExtraISize)
	var extra [ExtraISize]byte
	le.PutUint16(extra[0x02:], uint16(n.Checksum>>16))
	le.PutUint32(extra[0x04:], n.Ctime.Extra)
	le.PutUint32(extra[0x08:], n.Mtime.Extra)
	le.PutUint32(extra[0x0C:], n.Atime.Extra)
	le.PutUint32(extra[0x10:], n.Crtime.Low)
	le.PutUint32(extra[0x14:], n.Crtime.Extra)
	le.PutUint32(extra[0x18:], uint32(n.Version>>32))
	le.PutUint32(extra[0x1C:], n.Project)
	if end := min(int(n.ExtraISize), ExtraISize); end > 2 {
		copy(b[0x82:0x80+end], extra[2:])
	}
}

// Decode reads n from b, an inode of SmallInodeSize or more bytes.
func (n *Inode) Decode(b []byte) {
	le := binary.LittleEndian
	*n = Inode{
		Mode:       le.Uint16(b[0x00:]),
		UID:        uint32(le.Uint16(b[0x78:]))<<16 | uint32(le.Uint16(b[0x02:])),
		GID:        uint32(le.Uint16(b[0x7A:]))<<16 | uint32(le.Uint16(b[0x18:])),
		Size:       join(le.Uint32(b[0x04:]), le.Uint32(b[0x6C:])),
		Atime:      Timestamp{Low: le.Uint32(b[0x08:])},
		Ctime:      Timestamp{Low: le.Uint32(b[0x0C:])},
		Mtime:      Timestamp{Low: le.Uint32(b[0x10:])},
		Dtime:      le.Uint32(b[0x14:]),
		Links:      le.Uint16(b[0x1A:]),
		Blocks:     join(le.Uint32(b[0x1C:]), uint32(le.Uint16(b[0x74:]))),
		Flags:      InodeFlags(le.Uint32(b[0x20:])),
		Version:    uint64(le.Uint32(b[0x24:])),
		Block:      [60]byte(b[BlockOffset:]),
		Generation: le.Uint32(b[0x64:]),
		FileACL:    join(le.Uint32(b[0x68:]), uint32(le.Uint16(b[0x76:]))),
		Checksum:   uint32(le.Uint16(b[InodeSumLo:])),
	}
	if len(b) <= SmallInodeSize {
		return
	}
	n.ExtraISize = le.Uint16(b[0x80:])
	var extra [ExtraISize]byte
	end := min(int(n.ExtraISize), ExtraISize, len(b)-SmallInodeSize)
	copy(extra[:end], b[SmallInodeSize:])
	n.Checksum |= uint32(le.Uint16(extra[0x02:])) << 16
	n.Ctime.Extra = le.Uint32(extra[0x04:])
	n.Mtime.Extra = le.Uint32(extra[0x08:])
	n.Atime.Extra = le.Uint32(extra[0x0C:])
	n.Crtime = Timestamp{Low: le.Uint32(extra[0x10:]), Extra: le.Uint32(extra[0x14:])}
	n.Version |= uint64(le.Uint32(extra[0x18:])) << 32
	n.Project = le.Uint32(extra[0x1C:])
}

// Timestamp is a time as an inode stores it: seconds in Low, which is signed; and in Extra,
// if the inode has room for it, the nanoseconds << 2 and two more bits, which are a number
// of 2^32 seconds to be added (ext4_decode_extra_time).
type Timestamp struct {
	Low, Extra uint32
}

// Limits of a Timestamp.
const (
	MinTime = -1 << 31          // 1901-12-13 20:45:52
	MaxTime = 3<<32 + 1<<31 - 1 // 2446-05-10 22:38:55
	noEpoch = 1<<31 - 1         // latest time without Extra: 2038-01-19 03:14:07
	MaxNsec = 1_000_000_000 - 1 // Extra has room for more, and the kernel does not check
	epochs  = 1<<2 - 1          // the bits of Extra that belong to the seconds
)

// EncodeTime returns the Timestamp of t, which is in the range from MinTime to MaxTime.
func EncodeTime(t tree.Time) Timestamp {
	epoch := uint32((t.Sec-int64(int32(t.Sec)))>>32) & epochs
	return Timestamp{Low: uint32(t.Sec), Extra: t.Nsec<<2 | epoch}
}

// Decode returns the time of s; ok is false if the nanoseconds exceed MaxNsec.
func (s Timestamp) Decode() (t tree.Time, ok bool) {
	t.Sec = int64(int32(s.Low)) + int64(s.Extra&epochs)<<32
	t.Nsec = s.Extra >> 2
	return t, t.Nsec <= MaxNsec
}

// The largest device numbers that an inode can hold, which are also those of the kernel.
const (
	MaxMajor = 1<<12 - 1
	MaxMinor = 1<<20 - 1
)

// EncodeDevice returns i_block of a device: small numbers are in the first word, others
// in the second (old_encode_dev and new_encode_dev in linux/kdev_t.h).
func EncodeDevice(d tree.Device) (block [60]byte) {
	le := binary.LittleEndian
	if d.Major < 256 && d.Minor < 256 {
		le.PutUint32(block[0:], d.Major<<8|d.Minor)
	} else {
		le.PutUint32(block[4:], d.Minor&0xFF|d.Major<<8|d.Minor&^0xFF<<12)
	}
	return block
}

// DecodeDevice is the inverse of EncodeDevice.
func DecodeDevice(block *[60]byte) tree.Device {
	le := binary.LittleEndian
	if v := le.Uint32(block[0:]); v != 0 {
		return tree.Device{Major: v >> 8 & 0xFF, Minor: v & 0xFF}
	}
	v := le.Uint32(block[4:])
	return tree.Device{Major: v >> 8 & 0xFFF, Minor: v&0xFF | v>>12&0xFFF00}
}
