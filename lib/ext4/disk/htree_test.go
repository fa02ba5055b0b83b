package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

var htreeRootLimit, htreeNodeLimit = (&DirOptions{Checksums: true}).limits(BlockSize)

// kernelLookup finds a name as the kernel does (dx_probe, ext4_htree_next_block):
// by halving each table, then going on to the next leaf as long as its hash says
// that it continues the one before.
func kernelLookup(b []byte, name string, opt DirOptions) (ino uint32, leaves int) {
	hash := HashName(name, opt.HashSeed, opt.Unsigned).Major
	var tables [][]htreeEntry
	var at []int
	var info htreeInfo
	info.Decode(b[HtreeInfoOffset:])
	block, table := b[:BlockSize], HtreeRootTable
	for range int(info.Levels) + 1 {
		entries, err := decodeTable(block, table, opt)
		if err != nil {
			panic(err)
		}
		i := 1
		for i < len(entries) && entries[i].Hash <= hash {
			i++
		}
		tables, at = append(tables, entries), append(at, i-1)
		block, table = b[entries[i-1].Block*BlockSize:][:BlockSize], htreeNodeTable
	}
	for {
		leaves++
		ents, _ := AppendDirents(nil, block)
		for _, d := range ents {
			if d.Name == name {
				return d.Ino, leaves
			}
		}
		level := len(at) - 1
		for level >= 0 && at[level]+1 >= len(tables[level]) {
			level--
		}
		if level < 0 || tables[level][at[level]+1].Hash&^1 != hash {
			return 0, leaves
		}
		at[level]++
		block = b[tables[level][at[level]].Block*BlockSize:][:BlockSize]
		for level++; level < len(at); level++ {
			tables[level], _ = decodeTable(block, htreeNodeTable, opt)
			at[level] = 0
			block = b[tables[level][0].Block*BlockSize:][:BlockSize]
		}
	}
}

func TestHtree(t *testing.T) {
	for _, c := range []struct {
		names  int
		levels uint8
	}{
		{150, 0}, {1000, 0}, {50000, 0}, {58000, 0}, {60000, 1}, {200000, 1},
	} {
		for _, sums := range []bool{true, false} {
			opt := testDirOptions
			opt.Checksums = sums
			ents := manyDirents(c.names)
			b, indexed, err := DirBlocks(12, 2, ents, opt, testDirSeed)
			if err != nil || !indexed {
				t.Fatal(indexed, err)
			}
			var info htreeInfo
			if info.Decode(b[HtreeInfoOffset:]); info.Levels != c.levels {
				t.Errorf("%d names: %d levels, want %d", c.names, info.Levels, c.levels)
			}
			for i, d := range ents {
				if i%(1+c.names/5000) != 0 {
					continue
				}
				if ino, _ := kernelLookup(b, d.Name, opt); ino != d.Ino {
					t.Fatalf("%s is inode %d, want %d", d.Name, ino, d.Ino)
				}
			}
			if ino, _ := kernelLookup(b, "not there", opt); ino != 0 {
				t.Errorf("found what is not there: %d", ino)
			}
			got, err := readBlocks(b, true, opt, testDirSeed)
			if err != nil || len(got) != c.names+2 {
				t.Errorf("%d names: %d read (%v)", c.names, len(got), err)
			}
		}
	}
}

// Leaves have room for names to come.
func TestHtreeFill(t *testing.T) {
	ents := manyDirents(50000)
	b, _, err := DirBlocks(12, 2, ents, testDirOptions, testDirSeed)
	if err != nil {
		t.Fatal(err)
	}
	used := float64(linearSize(ents)) / float64(len(b))
	if used < 0.77 || used > 0.80 {
		t.Errorf("%.2f of the directory is in use", used)
	}
}

// collide returns n names, all of different hashes but for two.
func collide(t *testing.T, n int) []Dirent {
	seen := map[uint32]string{}
	var ents []Dirent
	for i := range 400000 {
		name := fmt.Sprintf("name-%0250d", i)
		h := HashName(name, testHashSeed, false).Major
		if other, ok := seen[h]; ok {
			ents = append(ents, Dirent{other, 1, KindFile}, Dirent{name, 2, KindFile})
			break
		}
		seen[h] = name
	}
	if len(ents) == 0 {
		t.Fatal("no two names have one hash")
	}
	for i := range n - 2 {
		ents = append(ents, Dirent{fmt.Sprintf("another-name-%0240d", i), uint32(10 + i), KindFile})
	}
	return ents
}

// Two names of one hash on either side of a boundary are both found.
func TestHtreeCollision(t *testing.T) {
	ents := collide(t, 600)
	crossed := 0
	for n := 100; n <= len(ents); n++ {
		p, err := planDir(ents[:n], testDirOptions)
		if err != nil {
			t.Fatal(err)
		}
		odd := slices.ContainsFunc(p.hashes, func(h uint32) bool { return h&1 == 1 })
		if !odd {
			continue
		}
		crossed++
		b := p.encode(12, 2, testDirSeed)
		for _, d := range ents[:2] {
			if ino, _ := kernelLookup(b, d.Name, testDirOptions); ino != d.Ino {
				t.Errorf("%d names: %s is inode %d, want %d", n, d.Name, ino, d.Ino)
			}
		}
		if _, err := readBlocks(b, true, testDirOptions, testDirSeed); err != nil {
			t.Error(err)
		}
	}
	if crossed == 0 {
		t.Error("no boundary came between the two")
	}
	t.Logf("%d directories", crossed)
}

func TestHtreeNodes(t *testing.T) {
	for _, c := range []struct {
		leaves, nodes int
		sums, ok      bool
	}{
		{1, 0, true, true}, {507, 0, true, true}, {508, 2, true, true}, {508, 0, false, true}, {509, 2, false, true},
		{816, 2, true, true}, {817, 3, true, true},
		{507 * 408, 507, true, true}, {507*408 + 1, 406, true, true}, // full from here on
		{507 * 510, 507, true, true}, {507*510 + 1, 508, true, false},
		{508 * 511, 508, false, true}, {508*511 + 1, 509, false, false},
	} {
		opt := DirOptions{Checksums: c.sums}
		if nodes, ok := opt.nodes(c.leaves); nodes != c.nodes || ok != c.ok {
			t.Errorf("%d leaves, checksums %t: %d nodes, %t, want %d, %t", c.leaves, c.sums, nodes, ok, c.nodes, c.ok)
		}
	}
}

// As many names as the index holds, and one more.
func TestHtreeLimit(t *testing.T) {
	reftest.Long(t)
	perLeaf := DirTailOffset / direntSize(nameMax)
	n := htreeRootLimit * htreeNodeLimit * perLeaf
	ents := make([]Dirent, n+1)
	pad := strings.Repeat("x", nameMax-8)
	for i := range ents {
		ents[i] = Dirent{fmt.Sprintf("%08d%s", i, pad), 5, KindFile}
	}
	p, err := planDir(ents[:n], testDirOptions)
	if err != nil || p.nodes != htreeRootLimit || p.size() != 1+htreeRootLimit*(1+htreeNodeLimit) {
		t.Errorf("%d names: %v", n, err)
	}
	if _, err := planDir(ents, testDirOptions); err == nil || !strings.Contains(err.Error(), "takes 258571 blocks, more than") {
		t.Errorf("%d names: %v", n+1, err)
	}
}

func TestCheckIndexRefuses(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"hash", "hash 6", func(b []byte) { b[HtreeInfoOffset+4] = 6 }},
		{"levels", "2 levels", func(b []byte) { b[HtreeInfoOffset+6] = 2 }},
		{"no root", "index of a directory with hash", func(b []byte) { b[HtreeInfoOffset+5] = 0 }},
		{"count", "with 508 of 507", func(b []byte) { le.PutUint16(b[HtreeRootTable+2:], 508) }},
		{"nothing", "with 0 of 507", func(b []byte) { le.PutUint16(b[HtreeRootTable+2:], 0) }},
		{"limit", "should have room for 507", func(b []byte) { le.PutUint16(b[HtreeRootTable:], 508) }},
		{"block beyond the end", "or with it twice", func(b []byte) { le.PutUint32(b[HtreeRootTable+4:], 1<<20) }},
		{"loop", "or with it twice", func(b []byte) { le.PutUint32(b[HtreeRootTable+4:], 0) }},
		{"leaf twice", "or with it twice", func(b []byte) { copy(b[HtreeRootTable+12:HtreeRootTable+16], b[HtreeRootTable+4:]) }},
		{"a leaf less", "is not in its index", func(b []byte) { b[HtreeRootTable+2]-- }},
		{"order", "out of order", func(b []byte) { le.PutUint32(b[HtreeRootTable+8:], 0xFFFFFFF0) }},
		{"name in the wrong leaf", "has hash", func(b []byte) { le.PutUint32(b[HtreeRootTable+8:], le.Uint32(b[HtreeRootTable+8:])+1<<20) }},
		{"leaf for a node", "is no node", func(b []byte) { b[HtreeInfoOffset+6] = 1 }},
	} {
		b, _, err := DirBlocks(12, 2, manyDirents(1000), testDirOptions, testDirSeed)
		if err != nil {
			t.Fatal(err)
		}
		c.change(b)
		err = CheckIndex(uint32(len(b)/BlockSize), testDirOptions, func(i uint32) ([]byte, error) { return b[i*BlockSize:][:BlockSize], nil })
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func BenchmarkDirectory50000(b *testing.B) {
	ents := manyDirents(50000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DirBlocks(12, 2, ents, testDirOptions, testDirSeed); err != nil {
			b.Fatal(err)
		}
	}
}
