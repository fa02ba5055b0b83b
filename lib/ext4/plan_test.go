package ext4

import (
	"fmt"
	"slices"
	"testing"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
)

// What mke2fs 1.47.0 makes of these sizes.
func TestGeometry(t *testing.T) {
	const group = disk.BlocksPerGroup
	reserve := int64(4<<40 - 1) // as mke2fs does at 4 GiB
	for _, c := range []struct {
		blocks                           uint64
		max                              int64
		features                         Features
		groups, ipg, gdt, reserved, less uint32
	}{
		{blocks: 16384, groups: 1, ipg: 16384, gdt: 1, reserved: 127},
		{blocks: 153600, groups: 5, ipg: 7680, gdt: 1, reserved: 127},
		{blocks: 1 << 20, groups: 32, ipg: 8192, gdt: 1, reserved: 127},
		{blocks: 1 << 20, max: reserve, groups: 32, ipg: 8192, gdt: 1, reserved: 511},
		{blocks: 1 << 20, features: bit64, groups: 32, ipg: 8192, gdt: 1, reserved: 127},
		{blocks: 1 << 20, features: resizeInode, groups: 32, ipg: 8192, gdt: 1},
		{blocks: 33 << 18, groups: 264, ipg: 8192, gdt: 5, reserved: 127},
		{blocks: 33 << 18, features: bit64, groups: 264, ipg: 8192, gdt: 3, reserved: 127},
		{blocks: 1<<20 + 549, features: resizeInode, groups: 33, ipg: 7952, gdt: 1},
		{blocks: 1<<20 + 548, features: resizeInode, groups: 32, ipg: 8208, gdt: 1, less: 548},
		{blocks: 64 << 18, groups: 512, ipg: 8192, gdt: 8, reserved: 127},
		{blocks: 4 << 28, groups: 32768, ipg: 4096, gdt: 512, reserved: 127},
		{blocks: 15 << 28, groups: 122880, ipg: 4096, gdt: 1920, reserved: 127},
		{blocks: 1<<32 - group, groups: 131071, ipg: 4096, gdt: 2048},
		{blocks: 1 << 32, features: resizeInode, groups: 131072, ipg: 2048, gdt: 2048},
	} {
		o := Options{Upper: true, Size: int64(c.blocks) * disk.BlockSize, MaxSize: c.max, Features: c.features}
		g, err := o.shorten(c.blocks, o.inodes(c.blocks, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		have := fmt.Sprint(g.groups, g.ipg, g.gdt, g.reserved, g.blocks)
		if want := fmt.Sprint(c.groups, c.ipg, c.gdt, c.reserved, c.blocks-uint64(c.less)); have != want {
			t.Errorf("%d blocks, features %x: have %s, want %s", c.blocks, c.features, have, want)
		}
	}
}

func TestPlaces(t *testing.T) {
	o := Options{Upper: true, Size: 4 << 30, MaxSize: 4<<40 - 1}
	l, c, err := o.inFront(1<<20, 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	// As mke2fs 1.47.0 lays it out.
	for group, want := range map[int]groupPlace{
		0: {513, 529, 545}, 1: {514, 530, 1057}, 15: {528, 544, 8225},
		16: {524288, 524304, 524320}, 31: {524303, 524319, 532000},
	} {
		if have := l.places[group]; have != want {
			t.Errorf("group %d: have %d, want %d", group, have, want)
		}
	}
	if want := []alloc.Area{{Start: 491520, N: 16384}}; !slices.Equal(l.journal, want) {
		t.Errorf("journal is at %d, expected %d", l.journal, want)
	}
	if c.NextFree() != 8737 {
		t.Errorf("files begin at %d, expected 8737", c.Next)
	}
}

// Tables that do not fit before the copy of a superblock go around it.
func TestPlacesAroundCopies(t *testing.T) {
	o := Options{Upper: true, Size: 4 << 30, Inodes: 32 * disk.MaxInodesPerGroup}
	l, _, err := o.inFront(1<<20, uint64(o.Inodes))
	if err != nil {
		t.Fatal(err)
	}
	taken := merge(merge(l.geo.superAreas(), l.areas), l.journal)
	for i, a := range taken[1:] {
		if a.Start < taken[i].End() {
			t.Errorf("%d and %d lie over each other", taken[i], a)
		}
	}
	if table := l.places[15].inodeTable; table%disk.BlocksPerGroup < 129 || table < disk.BlocksPerGroup {
		t.Errorf("the table of group 15 is at %d", table)
	}
}

func TestBitmaps(t *testing.T) {
	m := newBitmaps(4)
	m.mark(alloc.Area{Start: disk.BlocksPerGroup - 3, N: 2*disk.BlocksPerGroup + 8})
	m.mark(alloc.Area{Start: 5, N: 1})
	if m.used != 2*disk.BlocksPerGroup+9 {
		t.Errorf("%d are in use", m.used)
	}
	for g, want := range []uint32{4, disk.BlocksPerGroup, disk.BlocksPerGroup, 5} {
		if have := disk.CountOnes(m.groups[g][:]); have != want {
			t.Errorf("group %d has %d, expected %d", g, have, want)
		}
	}
	if m.groups[0][0] != 1<<5 || m.groups[0][disk.BlockSize-1] != 0xE0 || m.groups[3][0] != 0x1F {
		t.Error("bits are not where they belong")
	}
	if m.groups[1] != fullBitmap || m.groups[2] != fullBitmap {
		t.Error("full groups do not share a bitmap")
	}
	for first := range uint64(20) {
		for end := first; end < 40; end++ {
			b := make([]byte, 8)
			disk.SetBits(b, first, end)
			for i := range uint64(64) {
				if set := b[i/8]>>(i%8)&1 == 1; set != (i >= first && i < end) {
					t.Fatalf("bits %d to %d: bit %d is %v", first, end, i, set)
				}
			}
		}
	}
}

func TestJournalBlocks(t *testing.T) {
	for blocks, want := range map[uint64]uint64{
		2047: 0, 2048: 1024, 32767: 1024, 32768: 4096, 262143: 4096, 262144: 8192, 524287: 8192, 524288: 16384,
		4194303: 16384, 4194304: 32768, 8388607: 32768, 8388608: 65536, 16777216: 131072, 33554431: 131072, 33554432: 262144,
	} {
		if have := journalBlocks(blocks); have != want {
			t.Errorf("%d blocks: have %d, want %d", blocks, have, want)
		}
	}
}

func TestParseFeatures(t *testing.T) {
	for list, want := range map[string]Features{
		"": 0, "64bit": 0, "^64bit": bit64, "^64bit,^dir_index,": bit64 | dirIndex, "^64bit,64bit": 0,
		"metadata_csum_seed": metadataCsumSeed, "metadata_csum_seed,^metadata_csum_seed": 0,
	} {
		if have, err := ParseFeatures(list); have != want || err != nil {
			t.Errorf("%q: have %x, want %x; %v", list, have, want, err)
		}
	}
	for _, list := range []string{"extents", "^extent", "^metadata_csum,metadata_csum_seed", "^", "^^64bit", "64BIT"} {
		if have, err := ParseFeatures(list); err == nil {
			t.Errorf("%q is taken for %x", list, have)
		}
	}
	if f := Features(0); !f.has(bit64) || f.has(metadataCsumSeed) {
		t.Error("no features is not what mke2fs makes")
	}
}
