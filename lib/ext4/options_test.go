package ext4

import (
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/tree"
)

func TestOptions(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		opts Options
		want string // "": these are good
	}{
		{Options{}, ""},
		{Options{Upper: true, Size: MinUpper}, ""},
		{Options{Upper: true, Size: MaxSize}, ""},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 8 << 40}, ""},
		{Options{Upper: true, Size: 14 << 40, MaxSize: 16<<40 - disk.BlockSize}, ""},
		{Options{Size: 1 << 20, Journal: new(int64)}, ""},
		{Options{Label: strings.Repeat("x", 16)}, ""},
		{Options{Epoch: size(1<<40 - 1)}, ""},
		{Options{Upper: true}, "too small"},
		{Options{Upper: true, Size: MinUpper - 1}, "too small"},
		{Options{Upper: true, Size: MaxSize + 1}, "too large"},
		{Options{Upper: true, Size: 16 << 40, Features: bit64}, "too large"},
		{Options{Size: -1}, "negative"},
		{Options{Upper: true, Size: MinUpper, Shrink: true}, "upper disk has a size"},
		{Options{Size: 1 << 30, Shrink: true}, "the size is given"},
		{Options{Size: 1 << 30, FreeSpace: size(1)}, "the size is given"},
		{Options{Shrink: true, FreeSpace: size(1)}, "no free space"},
		{Options{FreeSpace: size(-1)}, "out of range"},
		{Options{MaxSize: 1 << 40, Features: resizeInode}, "without resize_inode"},
		{Options{Size: 1 << 30, MaxSize: 1 << 29}, "cannot grow"},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 16 << 40}, "resize_inode ends"},
		{Options{Upper: true, Size: 17 << 40, MaxSize: 18 << 40}, "resize_inode ends"},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 9 << 40}, "from a size of 4294967296 bytes it can grow to"},
		{Options{Journal: size(4<<20 - 1)}, "journal"},
		{Options{Journal: size(41943040001)}, "journal"},
		{Options{BytesPerInode: 1023}, "bytes for an inode"},
		{Options{Label: strings.Repeat("x", 17)}, "label"},
		{Options{Label: "a\x00b"}, "label"},
		{Options{Epoch: size(1 << 40)}, "superblock"},
		{Options{Epoch: size(-1)}, "superblock"},
		{Options{Features: flexBG}, "flex_bg"},
	} {
		err := c.opts.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.opts, err, c.want)
		}
	}
}

func TestUUID(t *testing.T) {
	ids := map[[16]byte]string{}
	seeds := map[[4]uint32]string{}
	at, free := int64(5), int64(1<<20)
	id := [16]byte{1, 2, 3}
	changed := ext4test.File("one", ext4test.Pattern(77, 1))
	for _, c := range []struct {
		name string
		opts Options
		e    *tree.Entry
	}{
		{"plain", Options{}, nil}, {"content", Options{}, changed}, {"name", Options{}, ext4test.File("another", nil)},
		{"xattr", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Xattrs: []tree.Xattr{{Name: "user.a", Value: "b"}}}},
		{"a hole behind", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Size: 8192, Extents: []tree.Extent{{Off: 0, Len: 4096}}, Content: ext4test.Pattern(1, 4096)}},
		{"a hole before", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Size: 8192, Extents: []tree.Extent{{Off: 4096, Len: 4096}}, Content: ext4test.Pattern(1, 4096)}},
		{"label", Options{Label: "x"}, nil}, {"time", Options{Epoch: &at}, nil}, {"size", Options{Size: 1 << 30}, nil},
		{"free", Options{FreeSpace: &free}, nil}, {"features", Options{Features: bit64}, nil}, {"journal", Options{Journal: new(int64)}, nil},
		{"upper", Options{Upper: true, Size: 1 << 30}, nil}, {"given", Options{UUID: &id}, nil},
	} {
		entries := ext4test.Corpus()
		if c.e != nil {
			entries = append(entries, c.e)
		}
		m := new(ext4test.Memory)
		if err := writeTo(m, c.opts, entries); err != nil {
			t.Fatal(err)
		}
		s := probetest.Super(t, m)
		if other, ok := ids[s.UUID]; ok {
			t.Errorf("%s has the UUID of %s", c.name, other)
		}
		if other, ok := seeds[s.HashSeed]; ok || s.HashSeed == [4]uint32{} {
			t.Errorf("%s has the hash seed of %s", c.name, other)
		}
		ids[s.UUID], seeds[s.HashSeed] = c.name, c.name
		if c.opts.UUID == nil && (s.UUID[6]>>4 != 8 || s.UUID[8]>>6 != 2) {
			t.Errorf("%s: UUID %x is not of version 8", c.name, s.UUID)
		}
	}
	if ids[id] != "given" {
		t.Error("the UUID that was given is nowhere")
	}
}

func TestSuperblockOptions(t *testing.T) {
	at := int64(1<<32 + 5)
	m := new(ext4test.Memory)
	if err := writeTo(m, Options{Label: "sixteen bytes...", Epoch: &at, Features: metadataCsumSeed}, nil); err != nil {
		t.Fatal(err)
	}
	s := probetest.Super(t, m)
	if string(s.Label[:]) != "sixteen bytes..." || s.MakeTime != 5 || s.MakeTimeHi != 1 || s.WriteTimeHi != 1 || s.LastCheck != 5 ||
		s.MountOptions != 0 || s.ChecksumSeed != uint32(disk.NewSeed(s.UUID)) || s.ReservedBlocks() != 0 {
		t.Errorf("%+v", s)
	}
}
