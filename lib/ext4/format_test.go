package ext4

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"testing"

	"ocipipe/lib/tree"
)

func TestRecordSizes(t *testing.T) {
	if n := binary.Size(superblock{}); n != superSize {
		t.Errorf("superblock has %d bytes, expected %d", n, superSize)
	}
	for name, c := range map[string]struct {
		r    interface{ encode([]byte) }
		size int
	}{
		"extent header": {&extentHead{Magic: ^uint16(0), Generation: ^uint32(0)}, extentHeadSize},
		"extent":        {&extentLeaf{Physical: 1<<48 - 1}, extentSize},
		"dirent":        {&direntHead{Kind: 0xFF}, direntHeadSize},
		"htree info":    {&htreeInfo{Flags: 0xFF}, htreeInfoSize},
		"htree entry":   {&htreeEntry{Block: ^uint32(0)}, htreeEntrySize},
		"xattr head":    {&xattrHead{}, xattrHeadSize},
		"xattr entry":   {&xattrEntry{Hash: ^uint32(0)}, xattrEntSize},
		"descriptor":    {&groupDesc{}, groupDescSize},
		"inode":         {&inode{ExtraISize: extraISize, Project: ^uint32(0)}, inodeFixedSize},
	} {
		// The last byte of a record is written, and none behind it.
		b := bytes.Repeat([]byte{0x5A}, c.size+4)
		c.r.encode(b)
		if b[c.size-1] == 0x5A || !bytes.Equal(b[c.size:], []byte{0x5A, 0x5A, 0x5A, 0x5A}) {
			t.Errorf("%s does not have %d bytes: % x", name, c.size, b)
		}
	}
}

// A field of every record at its place, by hand from the kernel's headers.
func TestFieldOffsets(t *testing.T) {
	s := superblock{Magic: 0x0102, ReservedGDT: 0x0304, HashSeed: [4]uint32{0x05060708}, MakeTime: 0x090A0B0C,
		BlocksHi: 0x0D0E0F10, Flags: 0x11121314, LogGroupsPerFlex: 0x15, KBytesWritten: 0x16, Overhead: 0x17,
		ChecksumSeed: 0x18, WriteTimeHi: 0x19, OrphanIno: 0x1A, Checksum: 0x1B, ErrorCount: 0x1C, FirstIno: 0x1D,
		JournalIno: 0x1E, DescSize: 0x1F}
	b := make([]byte, superSize)
	s.encode(b)
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
	b := fill(superSize)
	var s superblock
	s.decode(b)
	have := make([]byte, superSize)
	s.encode(have)
	if !bytes.Equal(have, b) {
		t.Error("superblock is not what it was")
	}

	for _, n := range []int{smallGroupDescSize, groupDescSize} {
		b := fill(n)
		if n == groupDescSize {
			copy(b[0x3C:], []byte{0, 0, 0, 0})
		}
		var d groupDesc
		d.decode(b)
		have := make([]byte, n)
		d.encode(have)
		if !bytes.Equal(have, b) {
			t.Errorf("descriptor of %d bytes\nhave %x\nwant %x", n, have, b)
		}
	}

	for _, c := range []struct{ size, extra int }{{smallInodeSize, 0}, {inodeSize, 0}, {inodeSize, 4}, {inodeSize, 28}, {inodeSize, extraISize}, {inodeSize, 64}} {
		b := fill(c.size)
		copy(b[0x70:], []byte{0, 0, 0, 0}) // obsolete address of a fragment
		copy(b[0x7E:], []byte{0, 0})
		if c.size > smallInodeSize {
			binary.LittleEndian.PutUint16(b[0x80:], uint16(c.extra))
		}
		var n inode
		n.decode(b)
		have := bytes.Clone(b)
		clear(have[:smallInodeSize]) // what is behind the fields stays
		n.encode(have)
		if !bytes.Equal(have, b) {
			t.Errorf("inode of %d bytes, %d of them extra\nhave %x\nwant %x", c.size, c.extra, have, b)
		}
	}

	records := []interface {
		encode([]byte)
		decode([]byte)
	}{
		&extentHead{1, 2, 3, 4, 5}, &extentLeaf{1, 2, 0xABCD12345678}, &extentIndex{1, 0xABCD12345678},
		&direntHead{1, 2, 3, 4}, &htreeInfo{1, 2, 3, 4}, &htreeCount{1, 2}, &htreeEntry{1, 2},
		&xattrHead{1, 2, 3, 4, 5}, &xattrEntry{1, 2, 3, 4, 5, 6},
	}
	for _, r := range records {
		b := make([]byte, 64)
		r.encode(b)
		have := reflect.New(reflect.TypeOf(r).Elem())
		d := have.Interface().(interface{ decode([]byte) })
		d.decode(b)
		if !reflect.DeepEqual(d, r) {
			t.Errorf("have %+v\nwant %+v", d, r)
		}
	}

	block := make([]byte, blockSize)
	encodeDirTail(block, 0x01020304)
	if sum, ok := decodeDirTail(block); sum != 0x01020304 || !ok {
		t.Errorf("tail has %#x, %v", sum, ok)
	}
	block[dirTailOffset+7] = 0
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
		{minTime, 0x80000000, 0}, {-1, 0xFFFFFFFF, 0}, {0, 0, 0}, {noEpoch, 0x7FFFFFFF, 0},
		{noEpoch + 1, 0x80000000, 1}, {1<<32 - 1, 0xFFFFFFFF, 1}, {1 << 32, 0, 1}, {1<<32 + 1<<31, 0x80000000, 2},
		{maxTime, 0x7FFFFFFF, 3},
	} {
		want := tree.Time{Sec: c.sec, Nsec: maxNsec}
		s := encodeTime(want)
		if s.Low != c.low || s.Extra != maxNsec<<2|c.epoch {
			t.Errorf("%d is %#x, %#x", c.sec, s.Low, s.Extra)
		}
		if have, ok := s.decode(); have != want || !ok {
			t.Errorf("%d comes back as %v, %v", c.sec, have, ok)
		}
	}
	if _, ok := (stamp{Extra: (maxNsec + 1) << 2}).decode(); ok {
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
		{Major: maxMajor, Minor: maxMinor}: {0, 0xFFFFFFFF},
	} {
		b := encodeDevice(d)
		if have := [2]uint32{le.Uint32(b[0:]), le.Uint32(b[4:])}; have != want {
			t.Errorf("%v is %#x, expected %#x", d, have, want)
		}
		if have := decodeDevice(&b); have != d {
			t.Errorf("%v comes back as %v", d, have)
		}
	}
}

// testUUID has the checksums that the tests expect; they were computed by the
// kernel and e2fsprogs.
var testUUID = [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x00}

func TestChecksums(t *testing.T) {
	if sum := ^rawSum(^uint32(0), []byte("123456789")); sum != 0xE3069283 {
		t.Fatalf("CRC-32C of the digits is %08x", sum)
	}
	s := newSeed(testUUID)
	if s != 0x569A01CB {
		t.Fatalf("seed is %08x", s)
	}
	unhex := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, make([]byte, groupDescSize-len(b))...)
	}
	var five [groupDescSize]byte
	(&groupDesc{BlockBitmap: 513, InodeBitmap: 529, InodeTable: 545, FreeBlocks: 100, FreeInodes: 200, Dirs: 3, Flags: 4}).encode(five[:])
	block := func(fill func(b []byte)) []byte {
		b := make([]byte, blockSize)
		fill(b)
		return b
	}
	dirents := func(b []byte, list ...direntHead) {
		for _, d := range list {
			d.encode(b)
			copy(b[direntHeadSize:], map[uint8]string{1: ".", 2: "..", 10: "lost+found"}[d.NameLen])
			b = b[d.RecLen:]
		}
	}
	twelve, eleven, root := s.inode(12, 0), s.inode(11, 0), s.inode(rootIno, 0)
	ones := bytes.Repeat([]byte{0xFF}, blockSize)

	for _, c := range []struct {
		name string
		have uint32
		want uint32
	}{
		{"descriptor 1", uint32(s.group(1, unhex("020200001202000021040000ff7d002000000700000000000000000000200000"))), 0xABAB},
		{"descriptor 2", uint32(s.group(2, unhex("0302000013020000210600000080002000000700000000000000000000200000"))), 0x895B},
		{"descriptor 5", uint32(s.group(5, five[:])), 0xA754},
		{"block bitmap of ones", s.bitmap(ones), 0x349ADD49},
		{"block bitmap of zeros", s.bitmap(make([]byte, blockSize)), 0x89A262D3},
		{"inode bitmap of ones", s.bitmap(ones[:1024]), 0xCEBA14EE},
		{"inode bitmap of mkfs", s.bitmap(block(func(b []byte) { b[0], b[1] = 0xFF, 7 })[:1024]), 0xC4DEF438},
		{"inode 12", twelve.inode(block(func(b []byte) { b[0x80] = 32 })[:inodeSize]), 0x34113D07},
		{"root directory", root.dirLeaf(block(func(b []byte) {
			dirents(b, direntHead{2, 12, 1, 2}, direntHead{2, 12, 2, 2}, direntHead{11, 4060, 10, 2})
		})), 0x4E007724},
		{"empty directory", twelve.dirLeaf(block(func(b []byte) {
			dirents(b, direntHead{12, 12, 1, 2}, direntHead{2, 4072, 2, 2})
		})), 0x1C1B5457},
		{"unused directory block", eleven.dirLeaf(block(func(b []byte) { dirents(b, direntHead{0, 4084, 0, 0}) })), 0xF8856E6E},
		{"extent block", twelve.extentBlock(block(func(b []byte) {
			(&extentHead{Magic: extentMagic, Entries: 1, Max: extentBlockMax}).encode(b)
			(&extentLeaf{Length: 1, Physical: 1000}).encode(b[extentHeadSize:])
		})), 0x9EA2FA99},
		{"xattr block", s.xattrBlock(9000, block(func(b []byte) {
			(&xattrHead{Magic: xattrMagic, Refs: 1, Blocks: 1, Hash: 0x00610031, Checksum: 0xFFFF}).encode(b)
			(&xattrEntry{NameLen: 1, Index: xattrUser, ValueOff: 4092, ValueSize: 1, Hash: 0x00610031}).encode(b[xattrHeadSize:])
			b[xattrHeadSize+xattrEntSize], b[4092] = 'a', '1'
		})), 0x68918E55},
		{"orphan block", twelve.orphanBlock(9000, block(func(b []byte) {
			binary.LittleEndian.PutUint32(b[orphanMagicOffset:], orphanMagic)
		})), 0x5F8E1572},
		{"htree root", twelve.htree(block(func(b []byte) {
			dirents(b, direntHead{12, 12, 1, 2}, direntHead{2, 4084, 2, 2})
			(&htreeInfo{Version: hashHalfMD4, Length: htreeInfoSize}).encode(b[htreeInfoOffset:])
			(&htreeEntry{Block: 1}).encode(b[htreeRootTable:])
			(&htreeCount{Limit: htreeRootLimit, Count: 2}).encode(b[htreeRootTable:])
			(&htreeEntry{Hash: 0x80000000, Block: 2}).encode(b[htreeRootTable+htreeEntrySize:])
		}), htreeRootTable, 2), 0x4F49425F},
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
	s := newSeed(testUUID).inode(12, 0)
	for _, extra := range []uint16{0, 2, inodeSumEnd, extraISize} {
		b := make([]byte, inodeSize)
		(&inode{Mode: modeFile, ExtraISize: extra, Checksum: 1}).encode(b)
		s.seal(b)
		if !s.matches(b) {
			t.Errorf("checksum with %d extra bytes does not match what was sealed", extra)
		}
		b[0x20] ^= 1
		if s.matches(b) {
			t.Errorf("a changed inode with %d extra bytes matches", extra)
		}
	}
}

func TestSealedSuperblock(t *testing.T) {
	b := make([]byte, superSize)
	s := superblock{UUID: testUUID, RoCompat: roCompatMetadataCsum, Checksum: 7}
	s.seal(b)
	s.decode(b)
	if s.Checksum != superChecksum(b) || s.seed() != 0x569A01CB {
		t.Errorf("checksum %08x, seed %08x", s.Checksum, s.seed())
	}
	s.RoCompat = 0
	s.seal(b)
	if binary.LittleEndian.Uint32(b[superSumOffset:]) != 0 {
		t.Error("a checksum without metadata_csum")
	}
	s.Incompat, s.ChecksumSeed = incompatCsumSeed, 5
	if s.seed() != 5 {
		t.Errorf("seed %d is not that of the superblock", s.seed())
	}
}
