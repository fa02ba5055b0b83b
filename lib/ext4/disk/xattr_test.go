package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/tree"
)

const testRoom = InodeSize - InodeFixedSize

// readXattrs reads what PlanXattrs made.
func readXattrs(inline, block []byte) (xs []tree.Xattr, err error) {
	if xs, err = (&XattrReader{}).AppendInode(nil, inline); err == nil && block != nil {
		xs, err = (&XattrReader{}).AppendBlock(xs, block)
	}
	return SortXattrs(xs), err
}

func TestXattrs(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name          string
		xs            []tree.Xattr
		room          int
		inside, block bool
	}{
		{"none", nil, testRoom, false, false},
		{"one", ext4test.Xattrs("user.a", "1"), testRoom, true, false},
		{"every prefix", ext4test.Xattrs("security.capability", x(20), "trusted.overlay.opaque", "y", "user.u", ""), testRoom, false, true},
		{"fits exactly", ext4test.Xattrs("user.abcd", x(68)), testRoom, true, false}, // 16 + 4 + 68 = 88
		{"does not fit", ext4test.Xattrs("user.abcd", x(69)), testRoom, false, true},
		{"name does not fit", ext4test.Xattrs("user.abcde", x(68)), testRoom, false, true},
		{"no value", ext4test.Xattrs("user.abcd", ""), testRoom, true, false},
		{"small inode", ext4test.Xattrs("user.a", "1"), 0, false, true},
		{"block exactly full", ext4test.Xattrs("user.abcd", x(xattrBlockRoom-20)), testRoom, false, true},
		{"block and inode", ext4test.Xattrs("user.abcd", x(xattrBlockRoom-20), "user.e", x(60)), testRoom, true, true},
		{"list of access", ext4test.Xattrs("system.posix_acl_access", ext4test.LongACL), testRoom, true, false},
		{"lists of access", ext4test.Xattrs("system.posix_acl_access", ext4test.LongACL, "system.posix_acl_default", ext4test.ShortACL), testRoom, false, true},
		{"long name", ext4test.Xattrs("user."+x(250), "1"), testRoom, false, true},
		{"bytes above 127", ext4test.Xattrs("user.\xff\x80", "\x00\xff\x00"), testRoom, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inline, block, err := PlanXattrs(c.xs, c.room)
			if err != nil || (inline != nil) != c.inside || (block != nil) != c.block {
				t.Fatalf("%d bytes in the inode, %d outside (%v), want %t, %t", len(inline), len(block), err, c.inside, c.block)
			}
			if inline != nil && len(inline) != c.room || block != nil && len(block) != BlockSize {
				t.Errorf("area of %d bytes, block of %d", len(inline), len(block))
			}
			if got, err := readXattrs(inline, block); err != nil || !slices.Equal(got, c.xs) {
				t.Errorf("read back as %q (%v)", got, err)
			}
		})
	}
}

// In a block, entries come in order of prefix, length and name, in any order of the
// input.
func TestXattrBlock(t *testing.T) {
	xs := ext4test.Xattrs("user.bb", "1", "trusted.z", strings.Repeat("v", 100), "user.a", "2", "user.ba", "", "security.s", "3", "user.c", "4")
	_, block, err := PlanXattrs(xs, testRoom)
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&XattrReader{}).AppendBlock(nil, block)
	names := make([]string, len(got))
	for i, x := range got {
		names[i] = x.Name
	}
	if want := "user.a user.c user.ba user.bb trusted.z security.s"; err != nil || strings.Join(names, " ") != want {
		t.Errorf("%q, want %q (%v)", names, want, err)
	}
	slices.Reverse(xs)
	if _, again, _ := PlanXattrs(xs, testRoom); !bytes.Equal(block, again) {
		t.Error("depends on the order of the names")
	}
	s := NewSeed([16]byte{5})
	SealXattrBlock(block, 9000, s)
	SetXattrRefs(block, 7)
	SealXattrBlock(block, 9000, s)
	var head XattrHead
	head.Decode(block)
	if head.Refs != 7 || head.Checksum != s.XattrBlock(9000, block) {
		t.Errorf("header %+v", head)
	}
}

func TestXattrVector(t *testing.T) {
	_, block, err := PlanXattrs(ext4test.Xattrs("user.a", "1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	SealXattrBlock(block, 9000, NewSeed([16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0}))
	var head XattrHead
	var entry xattrEntry
	head.Decode(block)
	entry.Decode(block[XattrHeadSize:])
	if entry.Hash != 0x00610031 || head.Hash != 0x00610031 || head.Checksum != 0x68918E55 {
		t.Errorf("%+x %+x", head, entry)
	}
}

func TestPlanXattrsRefuses(t *testing.T) {
	large := strings.Repeat("x", 4041)
	for _, c := range []struct {
		xs   []tree.Xattr
		want string
	}{
		{ext4test.Xattrs("user.abcd", large), "xattr user.abcd: value of 4041 bytes; all that do not fit into the inode take 4064, over the 4060 of a block"},
		{ext4test.Xattrs("user.a", large[:2500], "user.b", large[:3000]), "xattr user.b: value of 3000 bytes"},
		{ext4test.Xattrs("user.", "1"), "xattr user.: no name"},
		{ext4test.Xattrs("system.other", "1"), "xattr system.other: no name"},
		{ext4test.Xattrs("system.posix_acl_access.more", "1"), "no name"},
		{ext4test.Xattrs("plain", "1"), "xattr plain: no name"},
		{ext4test.Xattrs("user."+large[:251], "1"), "no name"},
		{ext4test.Xattrs("system.posix_acl_default", "1"), "xattr system.posix_acl_default: no valid"},
	} {
		if _, _, err := PlanXattrs(c.xs, testRoom); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", fmt.Sprint(c.xs), err, c.want)
		}
	}
}

// TestXattrsSkips: what Linux does not show is not there.
func TestXattrsSkips(t *testing.T) {
	_, block, err := PlanXattrs(ext4test.Xattrs("user.a", "1", "user.b", "2", "trusted.c", "3"), 0)
	if err != nil {
		t.Fatal(err)
	}
	block[XattrHeadSize+1] = 7                // system.a
	block[XattrHeadSize+1+xattrEntSize+4] = 9 // nothing
	if got, err := (&XattrReader{}).AppendBlock(nil, block); err != nil || !slices.Equal(got, ext4test.Xattrs("trusted.c", "3")) {
		t.Errorf("%q (%v)", got, err)
	}
	if got, err := (&XattrReader{}).AppendInode(nil, make([]byte, 96)); err != nil || got != nil {
		t.Errorf("without a magic number: %q (%v)", got, err)
	}
	if got := SortXattrs(ext4test.Xattrs("user.b", "1", "user.a", "2", "user.b", "3")); !slices.Equal(got, ext4test.Xattrs("user.a", "2", "user.b", "1")) {
		t.Errorf("sorted: %q", got)
	}
}

func TestXattrsRefuse(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		want   error
		change func(b []byte)
	}{
		{"magic", ErrCorrupt, func(b []byte) { b[0]++ }},
		{"no users", ErrCorrupt, func(b []byte) { le.PutUint32(b[4:], 0) }},
		{"too many users", ErrCorrupt, func(b []byte) { le.PutUint32(b[4:], 1025) }},
		{"blocks", ErrCorrupt, func(b []byte) { b[8] = 2 }},
		{"value beyond the end", ErrCorrupt, func(b []byte) { le.PutUint16(b[34:], 4093) }},
		{"value in the entry", ErrCorrupt, func(b []byte) { le.PutUint16(b[34:], 40) }},
		{"value too long", ErrCorrupt, func(b []byte) { le.PutUint32(b[40:], 5000) }},
		{"value of 4 GiB", ErrCorrupt, func(b []byte) { le.PutUint32(b[40:], 1<<32-1) }},
		{"values that overlap", ErrCorrupt, func(b []byte) {
			for i := range 2 {
				le.PutUint16(b[32+20*i+2:], 1000)
				le.PutUint32(b[32+20*i+8:], 3000)
			}
		}},
		{"value in an inode", ErrUnsupported, func(b []byte) { b[36] = 12 }},
		{"no end", ErrCorrupt, func(b []byte) {
			for i := 32; i < len(b); i += 16 {
				(&xattrEntry{Index: 9}).Encode(b[i:])
			}
		}},
		{"name of nothing", ErrCorrupt, func(b []byte) { b[32] = 0 }},
		{"NUL in a name", ErrCorrupt, func(b []byte) { b[48] = 0 }},
		{"list of access", ErrCorrupt, func(b []byte) { b[32], b[33] = 0, xattrACLAccess }},
		{"name behind a list of access", ErrCorrupt, func(b []byte) { b[33] = xattrACLAccess }},
	} {
		_, block, err := PlanXattrs(ext4test.Xattrs("user.a", "1234", "user.b", "5678"), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.change(block)
		if xs, err := (&XattrReader{}).AppendBlock(nil, block); !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", c.name, xs, err)
		}
	}
}

func FuzzXattrs(f *testing.F) {
	for _, xs := range [][]tree.Xattr{
		ext4test.Xattrs("user.a", "1"), ext4test.Xattrs("system.posix_acl_access", ext4test.LongACL, "trusted.t", ""), ext4test.Xattrs("security.s", strings.Repeat("x", 3000), "user.z", "z"),
	} {
		for _, room := range []int{0, testRoom} {
			inline, block, err := PlanXattrs(xs, room)
			if err == nil {
				_, err = readXattrs(inline, block)
			}
			if err != nil {
				f.Fatal(err)
			}
			f.Add(inline)
			f.Add(block)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		(&XattrReader{}).AppendInode(nil, b)
		b = append(b, make([]byte, BlockSize)...)[:BlockSize]
		xs, err := (&XattrReader{}).AppendBlock(nil, b)
		if err != nil {
			return
		}
		total := 0
		for _, x := range xs {
			total += len(x.Value)
		}
		if total > 3*BlockSize { // lists of access take twice their size
			t.Errorf("%d bytes of values", total)
		}
		// What was accepted can be written, if it is valid for setxattr and fits.
		xs = SortXattrs(xs)
		inline, block, err := PlanXattrs(xs, testRoom)
		if err != nil {
			return
		}
		if again, err := readXattrs(inline, block); err != nil || !slices.Equal(again, xs) {
			t.Errorf("%q becomes %q (%v)", xs, again, err)
		}
	})
}
