package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// blockStore is where trees of tests lie.
type blockStore struct {
	blocks map[uint64][]byte
	next   uint64
}

func newBlockStore() *blockStore { return &blockStore{map[uint64][]byte{}, 1 << 33} }

func (s *blockStore) take() (uint64, error) {
	s.next++
	return s.next, nil
}

func (s *blockStore) emit(block uint64, data []byte) error {
	if s.blocks[block] != nil || len(data) != BlockSize {
		return fmt.Errorf("block %d: %d bytes, there already: %t", block, len(data), s.blocks[block] != nil)
	}
	s.blocks[block] = bytes.Clone(data)
	return nil
}

// read checks what the callers of ExtentReader do.
func (s *blockStore) read(sum InodeSeed) func(uint64) ([]byte, error) {
	return func(block uint64) ([]byte, error) {
		b := s.blocks[block]
		if b == nil || binary.LittleEndian.Uint32(b[ExtentSumOffset:]) != sum.ExtentBlock(b) {
			return nil, Broken("block %d, checksum", block)
		}
		return b, nil
	}
}

// scattered are n runs of one block each with a hole behind every third.
func scattered(n int) (runs []Run) {
	for i := range uint32(n) {
		runs = append(runs, Run{i + i/3, 1, 1<<32 + 2*uint64(i)})
	}
	return runs
}

func TestExtentTree(t *testing.T) {
	for _, c := range []struct {
		name   string
		runs   []Run
		depth  uint16
		blocks int
	}{
		{"empty", nil, 0, 0},
		{"one block", []Run{{0, 1, 1000}}, 0, 0},
		{"sparse start", []Run{{77, 1, 1000}}, 0, 0},
		{"longest extent", []Run{{0, 32768, 1000}}, 0, 0},
		{"one more", []Run{{0, 32769, 1000}}, 0, 0},
		{"512 MiB", []Run{{0, 131072, 1000}}, 0, 0},
		{"a block over 512 MiB", []Run{{0, 131073, 1000}}, 1, 1},
		{"the last block of all", []Run{{ExtentMaxLogical - 1, 1, 1<<48 - 1}}, 0, 0},
		{"four", scattered(4), 0, 0},
		{"five", scattered(5), 1, 1},
		{"a full leaf", scattered(340), 1, 1},
		{"two leaves", scattered(341), 1, 2},
		{"four leaves", scattered(4 * 340), 1, 4},
		{"depth 2", scattered(4*340 + 1), 2, 6},
		{"depth 3", scattered(4*340*340 + 1), 3, 4*340 + 1 + 5 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var root [60]byte
			store, sum := newBlockStore(), InodeSeed(0x1234567)
			used, err := ExtentTree(&root, c.runs, sum, store.take, store.emit)
			if err != nil || used != c.blocks || len(store.blocks) != used || used != ExtentTreeBlocks(c.runs) {
				t.Fatalf("%d blocks, %d planned, want %d (%v)", used, ExtentTreeBlocks(c.runs), c.blocks, err)
			}
			var head ExtentHead
			if head.Decode(root[:]); head.Depth != c.depth {
				t.Errorf("depth %d, want %d", head.Depth, c.depth)
			}
			var got []Run
			w := ExtentReader{Read: store.read(sum), Visit: func(r Run, unwritten bool) error {
				if last := len(got) - 1; last >= 0 && got[last].End() == uint64(r.Logical) && got[last].Physical+uint64(got[last].Blocks) == r.Physical {
					got[last].Blocks += r.Blocks
				} else {
					got = append(got, r)
				}
				if unwritten {
					t.Errorf("%v is unwritten", r)
				}
				return nil
			}}
			if err := w.Walk(root[:]); err != nil || !slices.Equal(got, c.runs) {
				t.Errorf("read back %d runs, wrote %d (%v)", len(got), len(c.runs), err)
			}
		})
	}
}

func TestExtentVector(t *testing.T) {
	sum := NewSeed([16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0}).Inode(12, 0)
	b := make([]byte, BlockSize)
	entry := make([]byte, ExtentSize)
	(&ExtentLeaf{0, 1, 1000}).Encode(entry)
	encodeExtentNode(b, entry, 0, extentBlockMax)
	if got := sum.ExtentBlock(b); got != 0x9EA2FA99 {
		t.Errorf("checksum %08x", got)
	}
}

func TestExtentTreeRefuses(t *testing.T) {
	store := newBlockStore()
	for name, runs := range map[string][]Run{
		"overlap": {{0, 2, 10}, {1, 1, 20}},
		"order":   {{5, 1, 10}, {1, 1, 20}},
		"empty":   {{5, 0, 10}},
		"too far": {{ExtentMaxLogical, 1, 10}},
	} {
		if _, err := ExtentTree(new([60]byte), runs, 0, store.take, store.emit); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	full := errors.New("no space")
	none := func() (uint64, error) { return 0, full }
	if _, err := ExtentTree(new([60]byte), scattered(5), 0, none, store.emit); err != full {
		t.Errorf("without space: %v", err)
	}
	fail := func(uint64, []byte) error { return full }
	if _, err := ExtentTree(new([60]byte), scattered(5), 0, store.take, fail); err != full {
		t.Errorf("without output: %v", err)
	}
}

// TestExtentWalkRefuses breaks a tree of depth 2, one field at a time.
func TestExtentWalkRefuses(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name, want string
		change     func(root, node, leaf []byte)
	}{
		{"magic", "magic number", func(root, node, leaf []byte) { root[0]++ }},
		{"magic of a leaf", "magic number", func(root, node, leaf []byte) { leaf[0]++ }},
		{"entries", "5 of 4 entries", func(root, node, leaf []byte) { le.PutUint16(root[2:], 5) }},
		{"no room", "of 0 entries", func(root, node, leaf []byte) { le.PutUint16(leaf[4:], 0) }},
		{"room", "of 341 entries", func(root, node, leaf []byte) { le.PutUint16(leaf[4:], 341) }},
		{"nothing", "without entries", func(root, node, leaf []byte) { le.PutUint16(node[2:], 0) }},
		{"empty leaf", "without entries", func(root, node, leaf []byte) { le.PutUint16(leaf[2:], 0) }},
		{"depth", "of depth 6", func(root, node, leaf []byte) { le.PutUint16(root[6:], 6) }},
		{"depth of a node", "of depth 2 where 1", func(root, node, leaf []byte) { le.PutUint16(node[6:], 2) }},
		{"loop", "of depth 1 where 0", func(root, node, leaf []byte) { copy(node[12+4:12+10], root[12+4:12+10]) }},
		{"astray", "checksum", func(root, node, leaf []byte) { node[12+8]++ }},
		{"same node twice", "extent of", func(root, node, leaf []byte) { copy(node[24+4:24+10], node[12+4:12+10]) }},
		{"start", "extent node for blocks", func(root, node, leaf []byte) { le.PutUint32(node[24:], 0) }},
		{"start of a leaf", "extent of", func(root, node, leaf []byte) { le.PutUint32(leaf[12:], 1) }},
		{"overlap", "extent of", func(root, node, leaf []byte) { le.PutUint32(leaf[24:], 0) }},
		{"length 0", "extent of 0 blocks", func(root, node, leaf []byte) { le.PutUint16(leaf[24+4:], 0) }},
		{"too long", "extent of 32768 blocks", func(root, node, leaf []byte) { le.PutUint16(leaf[24+4:], 32768) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var root [60]byte
			store := newBlockStore()
			runs := scattered(2000)
			for i := range runs {
				runs[i].Logical = 2 * uint32(i) // so that an extent can move without meeting another
			}
			if _, err := ExtentTree(&root, runs, 0, store.take, store.emit); err != nil {
				t.Fatal(err)
			}
			var top, sub ExtentIndex
			top.Decode(root[12:])
			sub.Decode(store.blocks[top.Child][12:])
			c.change(root[:], store.blocks[top.Child], store.blocks[sub.Child])
			for _, b := range store.blocks {
				le.PutUint32(b[ExtentSumOffset:], InodeSeed(0).ExtentBlock(b))
			}
			w := ExtentReader{Read: store.read(0), Visit: func(Run, bool) error { return nil }}
			if err := w.Walk(root[:]); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// FuzzExtents reads a root and up to two blocks, at 1 and 2.
func FuzzExtents(f *testing.F) {
	add := func(runs []Run) {
		var root [60]byte
		store := newBlockStore()
		store.next = 0
		if _, err := ExtentTree(&root, runs, 0, store.take, store.emit); err != nil {
			f.Fatal(err)
		}
		b := root[:]
		for block := uint64(1); store.blocks[block] != nil; block++ {
			b = append(b, store.blocks[block]...)
		}
		if _, err := readFuzzed(b); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(nil)
	add(scattered(4))
	add(scattered(5))
	add(scattered(400))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, err := readFuzzed(b)
		if err != nil {
			return
		}
		var root [60]byte
		store := newBlockStore()
		if _, err := ExtentTree(&root, runs, 0, store.take, store.emit); err != nil {
			t.Errorf("read what cannot be written: %v", err)
		}
	})
}

func readFuzzed(b []byte) (runs []Run, err error) {
	if len(b) < 60 {
		return nil, ErrCorrupt
	}
	w := ExtentReader{
		Read: func(block uint64) ([]byte, error) {
			if at := 60 + (block-1)*BlockSize; block > 0 && block <= 2 && at+BlockSize <= uint64(len(b)) {
				return b[at : at+BlockSize], nil
			}
			return nil, ErrCorrupt
		},
		Visit: func(r Run, _ bool) error {
			runs = append(runs, r)
			return nil
		},
	}
	err = w.Walk(b[:60])
	return runs, err
}

func BenchmarkExtentTree(b *testing.B) {
	runs := scattered(100000)
	for b.Loop() {
		store := newBlockStore()
		if _, err := ExtentTree(new([60]byte), runs, 0, store.take, store.emit); err != nil {
			b.Fatal(err)
		}
	}
}

// A node has no more entries than its block has room for, whatever it says.
func TestExtentNodeOfSmallBlock(t *testing.T) {
	for _, size := range []int{1024, 2048, 65536} {
		for over := range 2 {
			root, node := make([]byte, 60), make([]byte, size)
			n := extentMax(size) + over
			(&ExtentHead{Magic: ExtentMagic, Entries: 1, Max: ExtentRootMax, Depth: 1}).Encode(root)
			(&ExtentIndex{Child: 9}).Encode(root[ExtentHeadSize:])
			for i := range extentMax(size) {
				(&ExtentLeaf{uint32(i), 1, uint64(100 + 2*i)}).Encode(node[ExtentHeadSize+i*ExtentSize:])
			}
			(&ExtentHead{Magic: ExtentMagic, Entries: uint16(n), Max: uint16(n)}).Encode(node)
			seen := 0
			w := ExtentReader{
				Read:  func(uint64) ([]byte, error) { return node, nil },
				Visit: func(Run, bool) error { seen++; return nil },
			}
			if err := w.Walk(root); errors.Is(err, ErrCorrupt) != (over > 0) || err == nil && seen != n {
				t.Errorf("%d entries in %d bytes: %v, %d seen", n, size, err, seen)
			}
		}
	}
}
