package disk

import (
	"encoding/binary"
	"testing"

	"ocipipe/lib/tree"
)

func TestRecordSizes(t *testing.T) {
	if n := binary.Size(Superblock{}); n != SuperSize {
		t.Errorf("superblock has %d bytes, expected %d", n, SuperSize)
	}
	for _, n := range []Inode{{}, {Extended: true}} {
		b := make([]byte, n.RecordSize())
		n.Encode(b)
		if InodeSize(b) != n.RecordSize() {
			t.Errorf("inode of %d bytes is read as %d", n.RecordSize(), InodeSize(b))
		}
	}
}

func TestSuperblockRoundTrip(t *testing.T) {
	want := Superblock{
		Magic: Magic, Checksum: 1, Compat: 2, BlockBits: 3, ExtSlots: 4, RootNid: 5, Inodes: 6, Epoch: -7,
		FixedNsec: 8, Blocks: 9, MetaBlock: 10, XattrBlock: 11, UUID: [16]byte{12}, Label: [16]byte{13}, Incompat: 14,
		Algorithms: 15, ExtraDevices: 16, DeviceSlot: 17, DirBlockBits: 18, PrefixCount: 19, PrefixStart: 20,
		PackedNid: 21, FilterReserved: 22, BuildTime: 23,
	}
	var b [SuperSize]byte
	want.Encode(b[:])
	var have Superblock
	have.Decode(b[:])
	if have != want {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	for off, v := range map[int]byte{12: 3, 14: 5, 24: 0xF9, 80: 14, 86: 16, 90: 18, 92: 20, 104: 22, 108: 23} {
		if b[off] != v {
			t.Errorf("byte %d is %d, expected %d", off, b[off], v)
		}
	}
}

func TestInodeRoundTrip(t *testing.T) {
	super := Superblock{Epoch: 1000, FixedNsec: 5}
	for _, want := range []Inode{
		{Layout: FlatInline, XattrCount: 1, Mode: 0o100644, Size: 1<<32 - 1, Time: tree.Time{Sec: 1000, Nsec: 5}, Data: 4, Ino: 5, UID: 65535, GID: 65534, Nlink: 65533},
		{Extended: true, Layout: ChunkBased, XattrCount: 65535, Mode: 0o40755, Size: 1<<63 - 1, Time: tree.Time{Sec: -9, Nsec: 999999999}, Data: 1 << 31, Ino: 5, UID: 1<<32 - 1, GID: 70000, Nlink: 1 << 20},
	} {
		b := make([]byte, want.RecordSize())
		want.Encode(b)
		var have Inode
		if !have.Decode(b, &super) || have != want {
			t.Errorf("have %+v\nwant %+v", have, want)
		}
	}
}

func TestDeviceNumbers(t *testing.T) {
	for d, v := range map[tree.Device]uint32{
		{}:                             0,
		{Major: 300, Minor: 70000}:     0x11112c70,
		{Major: 10, Minor: 229}:        0xae5,
		{Major: 0xFFF, Minor: 0xFFFFF}: 0xFFFFFFFF,
	} {
		if have := DecodeDevice(EncodeDevice(d)); have != d {
			t.Errorf("%v comes back as %v", d, have)
		}
		if EncodeDevice(d) != v {
			t.Errorf("%v is %#x, expected %#x", d, EncodeDevice(d), v)
		}
	}
}

func TestFilterBits(t *testing.T) {
	for _, c := range []struct {
		index uint8
		rest  string
		bit   uint32
	}{
		{1, "mime", 18}, {4, "overlay.opaque", 20}, {4, "overlay.redirect", 17}, {6, "capability", 29},
		{6, "selinux", 11}, {2, "", 30}, {3, "", 21},
	} {
		if bit := filterBit(c.index, c.rest); bit != c.bit {
			t.Errorf("(%d, %q) is bit %d, expected %d", c.index, c.rest, bit, c.bit)
		}
	}
}

// Values of the reference implementation of xxHash.
func TestXXH32(t *testing.T) {
	for _, c := range []struct {
		s    string
		seed uint32
		sum  uint32
	}{
		{"", 0, 0x02CC5D05}, {"a", 0, 0x550D7456}, {"abc", 0, 0x32D153FF}, {"Nobody inspects the spammish repetition", 0, 0xE2293B2F},
	} {
		if sum := xxh32(c.s, c.seed); sum != c.sum {
			t.Errorf("%q: %#x, expected %#x", c.s, sum, c.sum)
		}
	}
}
