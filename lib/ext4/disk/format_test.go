package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"testing"

	"ocipipe/lib/tree"
)

func TestRecordSizes(t *testing.T) {
	if n := binary.Size(Superblock{}); n != SuperSize {
		t.Errorf("superblock has %d bytes, expected %d", n, SuperSize)
	}
	for name, c := range map[string]struct {
		r    interface{ Encode([]byte) }
		size int
	}{
		"extent header": {&ExtentHead{Magic: ^uint16(0), Generation: ^uint32(0)}, ExtentHeadSize},
		"extent":        {&ExtentLeaf{Physical: 1<<48 - 1}, ExtentSize},
		"dirent":        {&DirentHead{Kind: 0xFF}, DirentHeadSize},
		"htree info":    {&htreeInfo{Flags: 0xFF}, htreeInfoSize},
		"htree entry":   {&htreeEntry{Block: ^uint32(0)}, HtreeEntrySize},
		"xattr head":    {&XattrHead{}, XattrHeadSize},
		"xattr entry":   {&xattrEntry{Hash: ^uint32(0)}, xattrEntSize},
		"descriptor":    {&GroupDesc{}, GroupDescSize},
		"inode":         {&Inode{ExtraISize: ExtraISize, Project: ^uint32(0)}, InodeFixedSize},
	} {
		// The last byte of a record is written, and none behind it.
		b := bytes.Repeat([]byte{0x5A}, c.size+4)
		c.r.Encode(b)
		if b[c.size-1] == 0x5A || !bytes.Equal(b[c.size:], []byte{0x5A, 0x5A, 0x5A, 0x5A}) {
			t.Errorf("%s does not have %d bytes: % x", name, c.size, b)
		}
	}
}

// A field of every record at its place, by hand from the kernel's headers.
func TestFieldOffsets(t *testing.T) {
	s := Superblock{Magic: 0x0102, ReservedGDT: 0x0304, HashSeed: [4]uint32{0x05060708}, MakeTime: 0x090A0B0C,
		BlocksHi: 0x0D0E0F10, Flags: 0x11121314, LogGroupsPerFlex: 0x15, KBytesWritten: 0x16, Overhead: 0x17,
		ChecksumSeed: 0x18, WriteTimeHi: 0x19, OrphanIno: 0x1A, Checksum: 0x1B, ErrorCount: 0x1C, FirstIno: 0x1D,
		JournalIno: 0x1E, DescSize: 0x1F}
	b := make([]byte, SuperSize)
	s.Encode(b)
	for off, v := range map[int]byte{
		0x38: 0x02, 0xCE: 0x04, 0xEC: 0x08, 0x108: 0x0C, 0x150: 0x10, 0x160: 0x14, 0x174: 0x15, 0x178: 0x16, 0x248: 0x17,
		0x270: 0x18, 0x274: 0x19, 0x280: 0x1A, 0x3FC: 0x1B, 0x194: 0x1C, 0x54: 0x1D, 0xE0: 0x1E, 0xFE: 0x1F,
	} {
		if b[off] != v {
			t.Errorf("byte %#x of the superblock is %#x, expected %#x", off, b[off], v)
		}
	}
}

func TestRoundTrips(t *testing.T) {
	fill := func(n int) []byte { // bytes that are all different and none zero
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + 1)
		}
		return b
	}
	b := fill(SuperSize)
	var s Superblock
	s.Decode(b)
	have := make([]byte, SuperSize)
	s.Encode(have)
	if !bytes.Equal(have, b) {
		t.Error("superblock is not what it was")
	}

	for _, n := range []int{SmallGroupDescSize, GroupDescSize} {
		b := fill(n)
		if n == GroupDescSize {
			copy(b[0x3C:], []byte{0, 0, 0, 0})
		}
		var d GroupDesc
		d.Decode(b)
		have := make([]byte, n)
		d.Encode(have)
		if !bytes.Equal(have, b) {
			t.Errorf("descriptor of %d bytes\nhave %x\nwant %x", n, have, b)
		}
	}

	for _, c := range []struct{ size, extra int }{{SmallInodeSize, 0}, {InodeSize, 0}, {InodeSize, 4}, {InodeSize, 28}, {InodeSize, ExtraISize}, {InodeSize, 64}} {
		b := fill(c.size)
		copy(b[0x70:], []byte{0, 0, 0, 0}) // obsolete address of a fragment
		copy(b[0x7E:], []byte{0, 0})
		if c.size > SmallInodeSize {
			binary.LittleEndian.PutUint16(b[0x80:], uint16(c.extra))
		}
		var n Inode
		n.Decode(b)
		have := bytes.Clone(b)
		clear(have[:SmallInodeSize]) // what is behind the fields stays
		n.Encode(have)
		if !bytes.Equal(have, b) {
			t.Errorf("inode of %d bytes, %d of them extra\nhave %x\nwant %x", c.size, c.extra, have, b)
		}
	}

	records := []interface {
		Encode([]byte)
		Decode([]byte)
	}{
		&ExtentHead{1, 2, 3, 4, 5}, &ExtentLeaf{1, 2, 0xABCD12345678}, &ExtentIndex{1, 0xABCD12345678},
		&DirentHead{1, 2, 3, 4}, &htreeInfo{1, 2, 3, 4}, &htreeCount{1, 2}, &htreeEntry{1, 2},
		&XattrHead{1, 2, 3, 4, 5}, &xattrEntry{1, 2, 3, 4, 5, 6},
	}
	for _, r := range records {
		b := make([]byte, 64)
		r.Encode(b)
		have := reflect.New(reflect.TypeOf(r).Elem())
		d := have.Interface().(interface{ Decode([]byte) })
		d.Decode(b)
		if !reflect.DeepEqual(d, r) {
			t.Errorf("have %+v\nwant %+v", d, r)
		}
	}

	block := make([]byte, BlockSize)
	encodeDirTail(block, 0x01020304)
	if sum, ok := decodeDirTail(block); sum != 0x01020304 || !ok {
		t.Errorf("tail has %#x, %v", sum, ok)
	}
	block[DirTailOffset+7] = 0
	if _, ok := decodeDirTail(block); ok {
		t.Error("an entry that is no tail is taken for one")
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		sec   int64
		low   uint32
		epoch uint32
	}{
		{MinTime, 0x80000000, 0}, {-1, 0xFFFFFFFF, 0}, {0, 0, 0}, {noEpoch, 0x7FFFFFFF, 0},
		{noEpoch + 1, 0x80000000, 1}, {1<<32 - 1, 0xFFFFFFFF, 1}, {1 << 32, 0, 1}, {1<<32 + 1<<31, 0x80000000, 2},
		{MaxTime, 0x7FFFFFFF, 3},
	} {
		want := tree.Time{Sec: c.sec, Nsec: MaxNsec}
		s := EncodeTime(want)
		if s.Low != c.low || s.Extra != MaxNsec<<2|c.epoch {
			t.Errorf("%d is %#x, %#x", c.sec, s.Low, s.Extra)
		}
		if have, ok := s.Decode(); have != want || !ok {
			t.Errorf("%d comes back as %v, %v", c.sec, have, ok)
		}
	}
	if _, ok := (Timestamp{Extra: (MaxNsec + 1) << 2}).Decode(); ok {
		t.Error("a second of 1000000000 nanoseconds is taken")
	}
}

func TestDevices(t *testing.T) {
	le := binary.LittleEndian
	for d, want := range map[tree.Device][2]uint32{
		{}:                                 {},
		{Major: 1, Minor: 3}:               {0x103, 0},
		{Major: 255, Minor: 255}:           {0xFFFF, 0},
		{Major: 256, Minor: 0}:             {0, 0x10000},
		{Major: 8, Minor: 256}:             {0, 0x100800},
		{Major: 300, Minor: 70000}:         {0, 0x11112c70},
		{Major: MaxMajor, Minor: MaxMinor}: {0, 0xFFFFFFFF},
	} {
		b := EncodeDevice(d)
		if have := [2]uint32{le.Uint32(b[0:]), le.Uint32(b[4:])}; have != want {
			t.Errorf("%v is %#x, expected %#x", d, have, want)
		}
		if have := DecodeDevice(&b); have != d {
			t.Errorf("%v comes back as %v", d, have)
		}
	}
}

// testUUID has the checksums that the tests expect; they were computed by the
// kernel and e2fsprogs.
var testUUID = [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x00}

func TestChecksums(t *testing.T) {
	if sum := ^RawSum(^uint32(0), []byte("123456789")); sum != 0xE3069283 {
		t.Fatalf("CRC-32C of the digits is %08x", sum)
	}
	s := NewSeed(testUUID)
	if s != 0x569A01CB {
		t.Fatalf("seed is %08x", s)
	}
	unhex := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, make([]byte, GroupDescSize-len(b))...)
	}
	var five [GroupDescSize]byte
	(&GroupDesc{BlockBitmap: 513, InodeBitmap: 529, InodeTable: 545, FreeBlocks: 100, FreeInodes: 200, Dirs: 3, Flags: 4}).Encode(five[:])
	block := func(fill func(b []byte)) []byte {
		b := make([]byte, BlockSize)
		fill(b)
		return b
	}
	dirents := func(b []byte, list ...DirentHead) {
		for _, d := range list {
			d.Encode(b)
			copy(b[DirentHeadSize:], map[uint8]string{1: ".", 2: "..", 10: "lost+found"}[d.NameLen])
			b = b[d.RecLen:]
		}
	}
	twelve, eleven, root := s.Inode(12, 0), s.Inode(11, 0), s.Inode(RootIno, 0)
	ones := bytes.Repeat([]byte{0xFF}, BlockSize)

	for _, c := range []struct {
		name string
		have uint32
		want uint32
	}{
		{"descriptor 1", uint32(s.Group(1, unhex("020200001202000021040000ff7d002000000700000000000000000000200000"))), 0xABAB},
		{"descriptor 2", uint32(s.Group(2, unhex("0302000013020000210600000080002000000700000000000000000000200000"))), 0x895B},
		{"descriptor 5", uint32(s.Group(5, five[:])), 0xA754},
		{"block bitmap of ones", s.Bitmap(ones), 0x349ADD49},
		{"block bitmap of zeros", s.Bitmap(make([]byte, BlockSize)), 0x89A262D3},
		{"inode bitmap of ones", s.Bitmap(ones[:1024]), 0xCEBA14EE},
		{"inode bitmap of mkfs", s.Bitmap(block(func(b []byte) { b[0], b[1] = 0xFF, 7 })[:1024]), 0xC4DEF438},
		{"inode 12", twelve.Inode(block(func(b []byte) { b[0x80] = 32 })[:InodeSize]), 0x34113D07},
		{"root directory", root.DirLeaf(block(func(b []byte) {
			dirents(b, DirentHead{2, 12, 1, 2}, DirentHead{2, 12, 2, 2}, DirentHead{11, 4060, 10, 2})
		})), 0x4E007724},
		{"empty directory", twelve.DirLeaf(block(func(b []byte) {
			dirents(b, DirentHead{12, 12, 1, 2}, DirentHead{2, 4072, 2, 2})
		})), 0x1C1B5457},
		{"unused directory block", eleven.DirLeaf(block(func(b []byte) { dirents(b, DirentHead{0, 4084, 0, 0}) })), 0xF8856E6E},
		{"extent block", twelve.ExtentBlock(block(func(b []byte) {
			(&ExtentHead{Magic: ExtentMagic, Entries: 1, Max: extentBlockMax}).Encode(b)
			(&ExtentLeaf{Length: 1, Physical: 1000}).Encode(b[ExtentHeadSize:])
		})), 0x9EA2FA99},
		{"xattr block", s.XattrBlock(9000, block(func(b []byte) {
			(&XattrHead{Magic: xattrMagic, Refs: 1, Blocks: 1, Hash: 0x00610031, Checksum: 0xFFFF}).Encode(b)
			(&xattrEntry{NameLen: 1, Index: xattrUser, ValueOff: 4092, ValueSize: 1, Hash: 0x00610031}).Encode(b[XattrHeadSize:])
			b[XattrHeadSize+xattrEntSize], b[4092] = 'a', '1'
		})), 0x68918E55},
		{"orphan block", twelve.OrphanBlock(9000, block(func(b []byte) {
			binary.LittleEndian.PutUint32(b[OrphanMagicOffset:], OrphanMagic)
		})), 0x5F8E1572},
		{"htree root", twelve.Htree(block(func(b []byte) {
			dirents(b, DirentHead{12, 12, 1, 2}, DirentHead{2, 4084, 2, 2})
			(&htreeInfo{Version: HashHalfMD4, Length: htreeInfoSize}).Encode(b[HtreeInfoOffset:])
			(&htreeEntry{Block: 1}).Encode(b[HtreeRootTable:])
			(&htreeCount{Limit: uint16(htreeRootLimit), Count: 2}).Encode(b[HtreeRootTable:])
			(&htreeEntry{Hash: 0x80000000, Block: 2}).Encode(b[HtreeRootTable+HtreeEntrySize:])
		}), HtreeRootTable, 2), 0x4F49425F},
	} {
		if c.have != c.want {
			t.Errorf("%s: %08x, expected %08x", c.name, c.have, c.want)
		}
	}
	if htreeRootLimit != 507 || htreeNodeLimit != 510 {
		t.Errorf("htree limits are %d and %d", htreeRootLimit, htreeNodeLimit)
	}
}

func TestSealedInode(t *testing.T) {
	s := NewSeed(testUUID).Inode(12, 0)
	for _, extra := range []uint16{0, 2, inodeSumEnd, ExtraISize} {
		b := make([]byte, InodeSize)
		(&Inode{Mode: ModeFile, ExtraISize: extra, Checksum: 1}).Encode(b)
		s.Seal(b)
		if !s.Matches(b) {
			t.Errorf("checksum with %d extra bytes does not match what was sealed", extra)
		}
		b[0x20] ^= 1
		if s.Matches(b) {
			t.Errorf("a changed inode with %d extra bytes matches", extra)
		}
	}
}

func TestSealedSuperblock(t *testing.T) {
	b := make([]byte, SuperSize)
	s := Superblock{UUID: testUUID, RoCompat: RoCompatMetadataCsum, Checksum: 7}
	s.Seal(b)
	s.Decode(b)
	if s.Checksum != SuperChecksum(b) || s.Seed() != 0x569A01CB {
		t.Errorf("checksum %08x, seed %08x", s.Checksum, s.Seed())
	}
	s.RoCompat = 0
	s.Seal(b)
	if binary.LittleEndian.Uint32(b[SuperSumOffset:]) != 0 {
		t.Error("a checksum without metadata_csum")
	}
	s.Incompat, s.ChecksumSeed = IncompatCsumSeed, 5
	if s.Seed() != 5 {
		t.Errorf("seed %d is not that of the superblock", s.Seed())
	}
}

func TestHasMagic(t *testing.T) {
	head := make([]byte, SuperOffset+SuperSize)
	if HasMagic(head) || HasMagic(nil) {
		t.Error("zeros are taken for a file system")
	}
	s := Superblock{Magic: SuperMagic}
	s.Encode(head[SuperOffset:])
	if !HasMagic(head) || HasMagic(head[:SuperOffset+superMagicOffset+1]) {
		t.Error("the magic number is not found, or found in part of it")
	}
}
