package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// mapStore has blocks of numbers by block.
type mapStore map[uint64][]byte

func (s mapStore) put(at, slot, block, size int) {
	if s[uint64(at)] == nil {
		s[uint64(at)] = make([]byte, size)
	}
	binary.LittleEndian.PutUint32(s[uint64(at)][slot*PointerSize:], uint32(block))
}

func (s mapStore) walk(root []byte, size int) (runs []Run, err error) {
	w := MapReader{
		Read: func(block uint64) ([]byte, error) {
			if s[block] == nil {
				return nil, fmt.Errorf("no block %d", block)
			}
			return s[block], nil
		},
		Visit: func(r Run) error { runs = append(runs, r); return nil },
	}
	err = w.Walk(root, size)
	return runs, err
}

func TestMapReader(t *testing.T) {
	for _, size := range []int{1024, 4096, 65536} {
		n := size / PointerSize
		root := make([]byte, 60)
		at := func(slot, block int) { binary.LittleEndian.PutUint32(root[slot*PointerSize:], uint32(block)) }
		s := mapStore{}
		at(0, 500)
		at(1, 501)
		at(3, 502)
		at(11, 900)
		at(12, 20) // one level
		s.put(20, 0, 901, size)
		s.put(20, 1, 903, size)
		s.put(20, n-1, 904, size)
		at(13, 30) // two levels
		s.put(30, 0, 31, size)
		s.put(31, 0, 905, size)
		s.put(30, n-1, 32, size)
		s.put(32, n-1, 906, size)
		at(14, 40) // three levels
		s.put(40, 0, 41, size)
		s.put(41, 0, 42, size)
		s.put(42, 0, 907, size)
		s.put(41, 2, 43, size)
		s.put(43, 1, 908, size)
		want := []Run{
			{0, 2, 500}, {3, 1, 502}, {11, 2, 900}, {13, 1, 903},
			{uint32(12 + n - 1), 2, 904}, // the last of one level and the first of the next
			{uint32(12 + n + n*n - 1), 2, 906},
			{uint32(12 + n + n*n + 2*n + 1), 1, 908},
		}
		runs, err := s.walk(root, size)
		if err != nil || !slices.Equal(runs, want) {
			t.Errorf("blocks of %d: %v, expected %v; %v", size, runs, want, err)
		}
		s.put(40, n-1, 44, size) // with blocks of 64 KiB, beyond what a file may have
		s.put(44, n-1, 45, size)
		s.put(45, n-1, 909, size)
		if runs, err = s.walk(root, size); errors.Is(err, ErrCorrupt) != (size == 65536) || err == nil && len(runs) != len(want)+1 {
			t.Errorf("blocks of %d: last block of the map: %v, %v", size, runs, err)
		}
	}
}
