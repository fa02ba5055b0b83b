package erofs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

func TestRecordSizes(t *testing.T) {
	if n := binary.Size(superblock{}); n != superSize {
		t.Errorf("superblock has %d bytes, expected %d", n, superSize)
	}
	for _, n := range []inode{{}, {extended: true}} {
		b := make([]byte, n.recordSize())
		n.encode(b)
		if inodeSize(b) != n.recordSize() {
			t.Errorf("inode of %d bytes is read as %d", n.recordSize(), inodeSize(b))
		}
	}
}

func TestSuperblockRoundTrip(t *testing.T) {
	want := superblock{
		Magic: superMagic, Checksum: 1, Compat: 2, BlockBits: 3, ExtSlots: 4, RootNid: 5, Inodes: 6, Epoch: -7,
		FixedNsec: 8, Blocks: 9, MetaBlock: 10, XattrBlock: 11, UUID: [16]byte{12}, Label: [16]byte{13}, Incompat: 14,
		Algorithms: 15, ExtraDevices: 16, DeviceSlot: 17, DirBlockBits: 18, PrefixCount: 19, PrefixStart: 20,
		PackedNid: 21, FilterReserved: 22, BuildTime: 23,
	}
	var b [superSize]byte
	want.encode(b[:])
	var have superblock
	have.decode(b[:])
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
	super := superblock{Epoch: 1000, FixedNsec: 5}
	for _, want := range []inode{
		{layout: flatInline, xattrCount: 1, mode: 0o100644, size: 1<<32 - 1, time: tree.Time{Sec: 1000, Nsec: 5}, data: 4, ino: 5, uid: 65535, gid: 65534, nlink: 65533},
		{extended: true, layout: chunkBased, xattrCount: 65535, mode: 0o40755, size: 1<<63 - 1, time: tree.Time{Sec: -9, Nsec: 999999999}, data: 1 << 31, ino: 5, uid: 1<<32 - 1, gid: 70000, nlink: 1 << 20},
	} {
		b := make([]byte, want.recordSize())
		want.encode(b)
		var have inode
		if !have.decode(b, &super) || have != want {
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
		if have := decodeDevice(encodeDevice(d)); have != d {
			t.Errorf("%v comes back as %v", d, have)
		}
		if encodeDevice(d) != v {
			t.Errorf("%v is %#x, expected %#x", d, encodeDevice(d), v)
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

// goldenImage is what mkfs.erofs 1.9.3 made of one file "hello" with
// --all-root -T1700000000 -Uc1b9d5a2-f162-11cf-9ece-0020afc76f16.
func goldenImage(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 4096)
	for off, s := range map[int]string{
		0x400: "e2e1f5e0b2493933030000000c002400" + "020000000000000000f1536500000000" + "00000000010000000000000000000000" + "c1b9d5a2f16211cf9ece0020afc76f16",
		0x480: "04000000ed4102002c00000000000000" + "ffffffff010000000000000000000000" +
			"240000000000000024000200" + "240000000000000025000200" + "270000000000000027000100" + "2e2e2e68656c6c6f",
		0x4e0: "04000000a48101000600000000000000" + "ffffffff020000000000000000000000" + "68656c6c6f0a",
	} {
		x, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[off:], x)
	}
	if sum := hex.EncodeToString(sum256(b)); sum != "cd89d7df0b2c3d6af298d9cf97525a521dff577513668e2f9aba396738d119b7" {
		t.Fatalf("the golden image has SHA-256 %s", sum)
	}
	return b
}

func sum256(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func TestGoldenOfMkfs(t *testing.T) {
	b := goldenImage(t)
	if sum := superChecksum(b[superOffset:]); sum != 0x333949b2 {
		t.Errorf("checksum %#x", sum)
	}
	files := list(t, open(t, b))
	if len(files) != 2 || files["."].Mode != 0o755 || files["."].Nlink != 2 {
		t.Errorf("have %+v", files)
	}
	var content bytes.Buffer
	e := files["hello"]
	if _, err := e.Content.WriteTo(&content); err != nil || content.String() != "hello\n" {
		t.Errorf("content %q, %v", content.String(), err)
	}
	if e.Time != (tree.Time{Sec: 1700000000}) || e.Mode != 0o644 || e.Size != 6 {
		t.Errorf("have %+v", e)
	}
}

// Of so small a tree this package makes the very image of mkfs.erofs.
func TestGolden(t *testing.T) {
	at := tree.Time{Sec: 1700000000}
	hello := with(file("hello", data("hello\n")), func(e *tree.Entry) { e.Time = at })
	root := with(dir("."), func(e *tree.Entry) { e.Time = at })
	b := build(t, Options{}, root, hello)
	const want = "e9cd7caa"
	if len(b) != 4096 || hex.EncodeToString(sum256(b))[:8] != want {
		t.Errorf("image of %d bytes with SHA-256 %x, expected %s", len(b), sum256(b), want)
	}
	uuid := [16]byte(goldenImage(t)[superOffset+48:])
	b = build(t, Options{UUID: &uuid}, root, hello)
	if !bytes.Equal(b, goldenImage(t)) {
		t.Error("this is not what mkfs.erofs makes of it")
	}
}

// goldenFile has the SHA-256 of the images of all that the other tests use. A
// digest there changes only with a commit that says why.
const goldenFile = "testdata/golden.sha256"

func TestGoldenImages(t *testing.T) {
	built := int64(1700000000)
	var have strings.Builder
	for _, c := range []struct {
		name string
		opts Options
		es   []tree.Entry
	}{
		{"flat", Options{}, corpus()},
		{"layer", Options{Layer: true}, append(corpus(), layer()...)},
		{"flat-512", Options{BlockSize: 512, Label: "label", BuildTime: &built}, corpus()},
		{"flat-65536", Options{BlockSize: 65536}, corpus()},
		{"small-files", Options{}, smallFiles(5000)},
		{"empty", Options{}, nil},
	} {
		fmt.Fprintf(&have, "%x  %s\n", sum256(build(t, c.opts, c.es...)), c.name)
	}
	if os.Getenv("GOLDEN") == "update" {
		if err := os.WriteFile(goldenFile, []byte(have.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := firstDifference(string(want), have.String()); d != "" {
		t.Error(d)
	}
}
