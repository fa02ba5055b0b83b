package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var testDirOptions = DirOptions{Index: true, HashSeed: testHashSeed, Checksums: true}

const testDirSeed = InodeSeed(0xC0FFEE)

// names returns n directory entries in a scrambled order.
func manyDirents(n int) []Dirent {
	ents := make([]Dirent, n)
	for i := range ents {
		ents[i] = Dirent{fmt.Sprintf("name-%d.of-a-file", i*7919%n), uint32(100 + i), KindFile}
	}
	return ents
}

func byName(ents []Dirent) []Dirent {
	ents = slices.Clone(ents)
	slices.SortFunc(ents, func(a, b Dirent) int { return strings.Compare(a.Name, b.Name) })
	return ents
}

// readBlocks checks every block of a directory and returns what is in it, . and ..
// first.
func readBlocks(b []byte, indexed bool, opt DirOptions, sum InodeSeed) (ents []Dirent, err error) {
	block := func(i uint32) ([]byte, error) { return b[i*BlockSize:][:BlockSize], nil }
	for at := 0; at < len(b); at += BlockSize {
		if opt.Checksums {
			if err := CheckDirBlock(b[at:at+BlockSize], indexed, sum); err != nil {
				return nil, fmt.Errorf("block %d: %w", at/BlockSize, err)
			}
		}
		if ents, err = AppendDirents(ents, b[at:at+BlockSize]); err != nil {
			return nil, fmt.Errorf("block %d: %w", at/BlockSize, err)
		}
	}
	if indexed {
		err = CheckIndex(uint32(len(b)/BlockSize), opt, block)
	}
	return ents, err
}

func TestDirBlocks(t *testing.T) {
	long := strings.Repeat("x", 250)
	for _, c := range []struct {
		name    string
		ents    []Dirent
		opt     DirOptions
		blocks  int
		indexed bool
	}{
		{"empty", nil, testDirOptions, 1, false},
		{"empty without checksums", nil, DirOptions{}, 1, false},
		{"one", manyDirents(1), testDirOptions, 1, false},
		{"shortest and longest", []Dirent{{"a", 5, KindFifo}, {long + "12345", 6, KindLink}}, testDirOptions, 1, false},
		{"exactly full", append(manyDirents(144), Dirent{long[:60], 5, KindFile}), testDirOptions, 1, false}, // 2*12 + 10*24 + 134*28 + 68
		{"a byte over", append(manyDirents(144), Dirent{long[:61], 5, KindFile}), testDirOptions, 3, true},
		{"a byte over without checksums", append(manyDirents(144), Dirent{long[:73], 5, KindFile}), DirOptions{}, 2, false},
		{"a byte over, linear", append(manyDirents(144), Dirent{long[:61], 5, KindFile}), DirOptions{Checksums: true}, 2, false},
		{"full without checksums", append(manyDirents(144), Dirent{long[:72], 5, KindFile}), DirOptions{}, 1, false},
		{"a thousand", manyDirents(1000), testDirOptions, 1 + 9, true},
		{"a thousand, unsigned", manyDirents(1000), DirOptions{Index: true, Unsigned: true, Checksums: true}, 1 + 9, true},
		{"a thousand without checksums", manyDirents(1000), DirOptions{Index: true}, 1 + 9, true},
		{"a thousand, linear", manyDirents(1000), DirOptions{Checksums: true}, 7, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, indexed, err := DirBlocks(12, 2, c.ents, c.opt, testDirSeed)
			if err != nil || len(b) != c.blocks*BlockSize || indexed != c.indexed {
				t.Fatalf("%d bytes, indexed %t (%v), want %d blocks, %t", len(b), indexed, err, c.blocks, c.indexed)
			}
			got, err := readBlocks(b, indexed, c.opt, testDirSeed)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got[:2], []Dirent{{".", 12, KindDir}, {"..", 2, KindDir}}) {
				t.Errorf("begins with %v", got[:2])
			}
			if !slices.Equal(byName(got[2:]), byName(c.ents)) {
				t.Errorf("%d entries differ from the %d put there", len(got)-2, len(c.ents))
			}
			other := slices.Clone(c.ents)
			rand.Shuffle(len(other), func(i, k int) { other[i], other[k] = other[k], other[i] })
			if again, _, _ := DirBlocks(12, 2, other, c.opt, testDirSeed); !bytes.Equal(b, again) {
				t.Error("depends on the order of the names")
			}
		})
	}
}

// The sums are those of specs that a kernel and e2fsck were fed.
func TestDirVectors(t *testing.T) {
	s := NewSeed([16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0})
	for _, c := range []struct {
		self uint32
		ents []Dirent
		want uint32
	}{
		{2, []Dirent{{"lost+found", 11, KindDir}}, 0x4E007724},
		{12, nil, 0x1C1B5457},
	} {
		b, _, err := DirBlocks(c.self, 2, c.ents, testDirOptions, s.Inode(c.self, 0))
		if err != nil {
			t.Fatal(err)
		}
		if sum, ok := decodeDirTail(b); !ok || sum != c.want {
			t.Errorf("directory %d: checksum %08x, want %08x", c.self, sum, c.want)
		}
	}
	root := make([]byte, BlockSize)
	encodeDots(root, 12, 2)
	(&htreeInfo{Version: HashHalfMD4, Length: htreeInfoSize}).Encode(root[HtreeInfoOffset:])
	p := dirPlan{opt: testDirOptions}
	p.encodeTable(root, HtreeRootTable, htreeRootLimit, []htreeEntry{{0, 1}, {0x80000000, 2}}, s.Inode(12, 0))
	if got := s.Inode(12, 0).Htree(root, HtreeRootTable, 2); got != 0x4F49425F {
		t.Errorf("root of an htree: checksum %08x", got)
	}
}

func TestDirRefuses(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", 256)} {
		if _, _, err := DirBlocks(12, 2, []Dirent{{name, 5, KindFile}}, testDirOptions, 0); err == nil {
			t.Errorf("name of %d bytes accepted", len(name))
		}
	}
}

// TestAppendDirentsRefuses breaks a block, one field at a time.
func TestAppendDirentsRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"record of 0 bytes", "entry of 0 bytes", func(b []byte) { b[4] = 0 }},
		{"record shorter than the name", "entry of 8 bytes", func(b []byte) { b[4] = 8 }},
		{"record that is not aligned", "entry of 13 bytes", func(b []byte) { b[4] = 13 }},
		{"record beyond the block", "entry of 4084 bytes", func(b []byte) { b[24+4], b[24+5] = 4084&0xFF, 4084>>8 }},
		{"rest too short", "at byte 4092 of 4096", func(b []byte) { b[DirTailOffset+4] = 8 }},
		{"name of nothing", `entry ""`, func(b []byte) { b[6] = 0 }},
		{"slash", `entry "na/e-0`, func(b []byte) { b[24+8+2] = '/' }},
		{"NUL", `entry "na\x00e-0`, func(b []byte) { b[24+8+2] = 0 }},
		{"kind", "of kind 8", func(b []byte) { b[7] = 8 }},
	} {
		b, _, err := DirBlocks(12, 2, manyDirents(10), testDirOptions, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.change(b)
		if _, err := AppendDirents(nil, b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestCheckDirBlock(t *testing.T) {
	b, _, err := DirBlocks(12, 2, manyDirents(1000), testDirOptions, testDirSeed)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += BlockSize {
		block := b[at:][:BlockSize]
		used := []int{0, 40, HtreeSumOffset, htreeTailOffset}
		if at > 0 {
			used = []int{0, 8, 2000, DirTailOffset, DirTailOffset + 8}
		}
		for _, i := range used {
			block[i] ^= 1
			if err := CheckDirBlock(block, true, testDirSeed); !errors.Is(err, ErrCorrupt) {
				t.Errorf("block %d: byte %d changed: %v", at/BlockSize, i, err)
			}
			block[i] ^= 1
		}
		if err := CheckDirBlock(block, true, testDirSeed+1); !errors.Is(err, ErrCorrupt) {
			t.Errorf("block %d: of another inode: %v", at/BlockSize, err)
		}
	}
}

func FuzzDirBlock(f *testing.F) {
	for _, n := range []int{0, 1, 10, 145, 1000} {
		b, indexed, err := DirBlocks(12, 2, manyDirents(n), testDirOptions, testDirSeed)
		if err == nil {
			_, err = readBlocks(b, indexed, testDirOptions, testDirSeed)
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, indexed)
	}
	f.Fuzz(func(t *testing.T, b []byte, indexed bool) {
		b = b[:len(b)/BlockSize*BlockSize]
		if len(b) == 0 {
			return
		}
		var ents []Dirent
		var err error
		for at := 0; at < len(b) && err == nil; at += BlockSize {
			CheckDirBlock(b[at:at+BlockSize], indexed, testDirSeed)
			ents, err = AppendDirents(ents, b[at:at+BlockSize])
		}
		CheckIndex(uint32(len(b)/BlockSize), testDirOptions, func(i uint32) ([]byte, error) { return b[i*BlockSize:][:BlockSize], nil })
		if err != nil {
			return
		}
		// What was accepted can be written again.
		out, indexed, err := DirBlocks(12, 2, ents, testDirOptions, testDirSeed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readBlocks(out, indexed, testDirOptions, testDirSeed)
		if err != nil || !slices.Equal(byName(again[2:]), byName(ents)) {
			// Two of one name may change places.
			if err != nil || len(again)-2 != len(ents) {
				t.Errorf("%d entries written, %d read (%v)", len(ents), len(again)-2, err)
			}
		}
	})
}
