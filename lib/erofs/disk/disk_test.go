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

func TestClearUUID(t *testing.T) {
	want := Superblock{Magic: Magic, Compat: ^Compat(0), XattrBlock: ^uint32(0), Label: [16]byte{0xFF}}
	s := want
	s.Checksum = ^uint32(0)
	for i := range s.UUID {
		s.UUID[i] = 0xFF
	}
	var b [SuperSize]byte
	s.Encode(b[:])
	ClearUUID(b[:])
	if s.Decode(b[:]); s != want {
		t.Errorf("have %+v\nwant %+v", s, want)
	}
}

func TestDeviceSumRoundTrip(t *testing.T) {
	want := DeviceSum{Blocks: 0x01020304, Sum: [16]byte{5, 15: 6}}
	b := make([]byte, DeviceSumSize)
	if _, ok := DecodeDeviceSum(b); ok {
		t.Error("zeros are taken for one")
	}
	want.Encode(b)
	if have, ok := DecodeDeviceSum(b); !ok || have != want {
		t.Errorf("have %+v (%v)\nwant %+v", have, ok, want)
	}
	for off, v := range map[int]byte{0: 0xFF, 7: 'e', 8: 4, 11: 1, 16: 5, 31: 6} {
		if b[off] != v {
			t.Errorf("byte %d is %d, expected %d", off, b[off], v)
		}
	}
	for _, extended := range []bool{false, true} { // no inode is taken for one
		b := make([]byte, ExtendedSize)
		(&Inode{Extended: extended, Layout: 7}).Encode(b)
		if b[0] == 0xFF {
			t.Errorf("an inode begins with %#x", b[0])
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

func TestFindSuperblock(t *testing.T) {
	whole := make([]byte, 4096)
	(&Superblock{Magic: Magic, BlockBits: 12, RootNid: 7}).Encode(whole[SuperOffset:])
	other := make([]byte, 4096)
	for _, c := range []struct {
		name         string
		head         []byte
		magic, found bool
	}{
		{"whole", whole, true, true},
		{"as long as it must be", whole[:SuperOffset+SuperSize], true, true},
		{"cut short", whole[:SuperOffset+SuperSize-1], true, false},
		{"the magic number alone", whole[:SuperOffset+magicSize], true, false},
		{"not even that", whole[:SuperOffset+magicSize-1], false, false},
		{"nothing", nil, false, false},
		{"something else", other, false, false},
	} {
		super, found := FindSuperblock(c.head)
		if magic := HasMagic(c.head); magic != c.magic || found != c.found || found && super.RootNid != 7 {
			t.Errorf("%s: magic %v, found %v: %+v", c.name, magic, found, super)
		}
	}
	for bits, want := range map[uint8]int64{8: 0, 9: 512, 12: 4096, 16: 65536, 17: 0, 255: 0} {
		if bs, ok := (&Superblock{BlockBits: bits}).BlockSize(); bs != want || ok != (want > 0) {
			t.Errorf("2^%d: blocks of %d bytes, %v", bits, bs, ok)
		}
	}
}

func TestDeviceUUID(t *testing.T) {
	id := [16]byte{0xC1, 0xB9, 15: 0x16}
	short := TagOf(id)
	short[31] = 0
	long := TagOf(id)
	long[32] = 'a'
	for _, c := range []struct {
		name string
		tag  [DeviceTagSize]byte
		ok   bool
	}{
		{"UUID", TagOf(id), true}, {"nothing", [DeviceTagSize]byte{}, false},
		{"text", [DeviceTagSize]byte([]byte("layer.erofs is a tag of 32 bytes" + string(make([]byte, 32)))), false},
		{"a digit less", short, false}, {"a digit more", long, false},
	} {
		slot := DeviceSlot{Tag: c.tag, Blocks: 5, First: 6}
		b := make([]byte, DeviceSlotSize)
		slot.Encode(b)
		again := DecodeDeviceSlot(b)
		if have, ok := again.UUID(); again != slot || ok != c.ok || ok && have != id {
			t.Errorf("%s: %v, %x, %+v", c.name, ok, have, again)
		}
	}
}
