package gunzip

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// TestCost has much of what takes little of the input.
func TestCost(t *testing.T) {
	read := func(t *testing.T, z []byte) {
		if data, err := io.ReadAll(NewReader(bytes.NewReader(z))); err != nil || len(data) > 0 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	reftest.Cost(t, 1000, 500, map[string]func(t *testing.T, n int){
		"empty members": func(t *testing.T, n int) { // of 20 bytes
			read(t, bytes.Repeat([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"), n))
		},
		"empty blocks with fixed codes": func(t *testing.T, n int) { // four in five bytes
			z := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), bytes.Repeat([]byte("\x02\x08\x20\x80\x00"), n)...)
			read(t, append(z, "\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"...))
		},
	})
}

// TestCostOfCodes has blocks of twelve bytes with codes of their own and, between them, blocks
// of ten bits with the fixed codes. All are empty.
func TestCostOfCodes(t *testing.T) {
	// One distance, and 18 lengths of lengths: 1 for those of 18 and 1.
	const head = "0" + "01" + "00000" + "00000" + "0111" + "000" + "000" + "100" + "000000000000000000000000000000000000000000" + "100"
	const own = head + "1" + "1111111" + "1" + "1101011" + "0" + "0" + "0" // 138 and 118 times 0, the end, a distance; the end
	const fixed = "0" + "10" + "0000000"
	reftest.Cost(t, 1000, 2200, map[string]func(t *testing.T, n int){"in turns": func(t *testing.T, n int) {
		z := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), packed(strings.Repeat(own+fixed, n)+"1"+fixed[1:])...)
		if data, err := io.ReadAll(NewReader(bytes.NewReader(append(z, make([]byte, 8)...)))); err != nil || len(data) > 0 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}})
}

// packed returns bits, given as digits, in the order of deflate.
func packed(bits string) []byte {
	b := make([]byte, (len(bits)+7)/8)
	for i, c := range []byte(bits) {
		b[i/8] |= (c - '0') << (i % 8)
	}
	return b
}

// TestAheadInVain reads what seems to begin a deflate block every 28 bytes, which
// would go on to the end of the input.
func TestAheadInVain(t *testing.T) {
	reftest.Linear(t, 300, map[string]func(t *testing.T, n int){"headers": func(t *testing.T, n int) {
		data := bytes.Repeat(allLiterals(), n)
		b := &block{data: data, next: data, done: make(chan struct{}, 1)}
		if b.decode(); b.start < b.end {
			t.Error("decoded a block")
		}
	}})
}

// allLiterals is 28 bytes: the header of a deflate block whose codes are all eight
// bits as literals, but for eight ones, with which longer ones begin.
func allLiterals() []byte {
	var b []byte
	used := 0
	put := func(bits string) {
		for _, c := range bits {
			if used%8 == 0 {
				b = append(b, 0)
			}
			b[used/8] |= byte(c-'0') << (used % 8)
			used++
		}
	}
	put("0" + "01" + "00000" + "00000" + "1100")                            // 257 symbols, one distance, 7 lengths of lengths
	put("010" + "000" + "000" + "110" + "100" + "000" + "110")              // those of 16, 17, 18, 0, 8, 7 and 9
	put("0" + strings.Repeat("10"+"11", 42) + "00" + "111" + "111" + "110") // 8 255 times, 9, 9, and no distance
	return b
}
