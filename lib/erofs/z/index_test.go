package z

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

const bs = 4096

// row makes the extents of a file of size bytes that begin at the given offsets and whose
// clusters of LZ4 lie one after the other from the block on.
func row(block, size int64, offs ...int64) (xs []Extent) {
	for i, off := range offs {
		end := size
		if i+1 < len(offs) {
			end = offs[i+1]
		}
		xs = append(xs, Extent{Off: off, Len: end - off, Pos: (block + int64(i)) * bs, Size: bs})
	}
	return xs
}

// sized gives the extents other lengths in blocks and another algorithm.
func sized(xs []Extent, alg Algorithm, blocks ...int64) []Extent {
	pos := xs[0].Pos
	for i := range xs {
		xs[i].Pos, xs[i].Size, xs[i].Algorithm = pos, blocks[i]*bs, alg
		pos += xs[i].Size
	}
	return xs
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes are those that mkfs.erofs 1.9.3 writes for the output of seq, but for what nothing
// reads: bytes 2 and 3 of an entry without a head.
func TestIndexes(t *testing.T) {
	small := row(1, 38893, 0, 4164, 9264, 14364, 19465, 24565, 29665, 34765)
	large := sized(row(1, 38893, 0), LZ4, 8)
	zstd := sized(row(1, 348894, 0, 145864), Zstd, 16, 9)
	for _, c := range []struct {
		name string
		xs   []Extent
		size int64
		at   int64 // of the header; 0: the full index
		want string
	}{
		{"-zlz4", small, 38893, 0x500, `00104410 00000000 30141c18 02000000 091cf51f 04000000 0120e113 06000000 cd17ed07 07000000`},
		{"-zlz4 -Elegacy-compress", small, 38893, 0, `0000000000000000
			0100000001000000 0100440002000000 0100300403000000 01001c0804000000 0100090c05000000
			0100f50f06000000 0200000001000100 0100e10307000000 0100cd0708000000 0000ed0700000000`},
		{"-zlz4 -C65536", large, 38893, 0x520, `00100828 01000000 02200620 09000000 04200420 09000000 06200220 09000000 0820ed07 09000000`},
		{"-zlz4 -C65536 -Elegacy-compress", large, 38893, 0, `0000000000000000
			0100000001000000 0200000008080800 0200000002000700 0200000003000600 0200000004000500
			0200000005000400 0200000006000300 0200000007000200 0200000008000100 0000ed0700000000`},
		{"-zzstd -C65536", zstd, 348894, 0x520, `00101028 01000000 02202020 11000000 04201e20 11000000
			06e0 0188 0026 800a e002 c800 3680 0ee0 0308 0146 8012 e004 4801 3a80 1100 0000
			16e0 0588 0166 801a e006 c801 7680 1ee0 0708 0286 8022 2072 9680 c280 1100 0000
			0320 0158 001a 8007 2002 9800 2a80 0b20 03d8 003a 800f 2004 1801 8280 1a00 0000
			1320 0558 015a 8017 2006 9801 6a80 1b20 07d8 017a 801f 2008 1802 4280 1a00 0000
			2320 0958 029a 8027 200a 9802 aa80 2b20 0bd8 02ba 802f 200c 1803 7a0b 1a00 0000`},
	} {
		var have []byte
		var err error
		size := FullSize(c.size, bs)
		if c.at == 0 {
			have, err = AppendFull(nil, c.xs, c.size, bs)
		} else {
			have, err = AppendCompact(nil, c.at, c.xs, c.size, bs)
			size = CompactSize(c.at, c.size, bs)
		}
		want := unhex(t, c.want)
		if c.at == 0 { // the address of the mark at the end is never read; mkfs.erofs has 0
			clear(have[len(have)-4:])
		}
		if err != nil || string(have) != string(want) || size != HeaderSize+int64(len(want)) {
			t.Errorf("%s: %v, planned were %d bytes\nhave %x\nwant %x", c.name, err, size, have, want)
		}
	}
}

// Raw extents have an entry for each of their blocks, wherever they begin.
func TestRawExtents(t *testing.T) {
	xs := []Extent{
		{Off: 0, Len: 3*bs + 100, Pos: 7 * bs, Size: 2 * bs, Algorithm: LZ4},
		{Off: 3*bs + 100, Len: 2 * bs, Pos: 9 * bs, Size: 2 * bs, Algorithm: Raw},
		{Off: 5*bs + 100, Len: 10, Pos: 11 * bs, Size: bs, Algorithm: Raw},
	}
	have, err := AppendFull(nil, xs, 5*bs+110, bs)
	want := unhex(t, `0000000000000000 0100000007000000 0200000002080200 0200000002000100
		0000640009000000 000064000a000000 000064000b000000`)
	if err != nil || string(have) != string(want) {
		t.Errorf("%v\nhave %x\nwant %x", err, have, want)
	}
}

// Distances that have no room are stored shorter, so that a reader goes on from there.
func TestLongExtent(t *testing.T) {
	size := int64(MaxDecoded)
	xs := sized(row(1, size, 0), LZ4, 12)
	b, err := AppendFull(nil, xs, size, bs)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entry int
		want  string
	}{{1, "020000000c08ff0b"}, {2, "020000000200fe0b"}, {2047, "02000000ff070104"}, {2048, "02000000ff070004"}, {3071, "02000000ff070100"}} {
		if have := hex.EncodeToString(b[8+8*c.entry:][:8]); have != c.want {
			t.Errorf("entry %d is %s, want %s", c.entry, have, c.want)
		}
	}
	if b, err = AppendCompact(nil, 24, xs, size, bs); err != nil {
		t.Fatal(err)
	}
	// The last entry of a pack has the distance to the end: 3072-16 is too long, 3072-1088 not.
	for _, c := range []struct {
		pack int
		want uint16
	}{{0, 0x2000 | maxDelta}, {67, 0x2000 | 1985}} {
		raw := b[32*c.pack:][:28]
		last := (uint16(raw[26])>>2 | uint16(raw[27])<<6) & 0x3fff
		if last != c.want {
			t.Errorf("pack %d ends with %#x, want %#x", c.pack, last, c.want)
		}
	}
}

// The sizes of compact indexes around the borders of their packs, by the place of the header.
func TestCompactSize(t *testing.T) {
	for _, c := range []struct{ at, blocks, want int64 }{
		{24, 1, 8 + 8}, {24, 15, 8 + 64}, {24, 16, 8 + 32}, {24, 17, 8 + 40}, {24, 32, 8 + 64}, {24, 33, 8 + 72},
		{0, 5, 8 + 24}, {0, 6, 8 + 24}, {0, 21, 8 + 24 + 64}, {0, 22, 8 + 24 + 32}, {0, 23, 8 + 24 + 40},
		{8, 4, 8 + 16}, {8, 20, 8 + 16 + 32}, {16, 2, 8 + 8}, {16, 17, 8 + 8 + 64}, {16, 18, 8 + 8 + 32}, {1016, 16, 8 + 32},
	} {
		if n := CompactSize(c.at, c.blocks*bs, bs); n != c.want {
			t.Errorf("%d blocks at %d take %d bytes, want %d", c.blocks, c.at, n, c.want)
		}
		b, err := AppendCompact(nil, c.at, row(1, c.blocks*bs+1-bs, 0), c.blocks*bs+1-bs, bs)
		if c.blocks > 1 && (err != nil || int64(len(b))+HeaderSize != c.want) {
			t.Errorf("%d blocks at %d: %d bytes, %v; want %d", c.blocks, c.at, len(b), err, c.want-HeaderSize)
		}
	}
}

func TestIndexRefuses(t *testing.T) {
	two := func(x Extent) []Extent {
		return []Extent{{Off: 0, Len: 3 * bs, Pos: bs, Size: bs}, x}
	}
	for _, c := range []struct {
		name string
		xs   []Extent
	}{
		{"gap", two(Extent{Off: 4 * bs, Len: 4 * bs, Pos: 2 * bs, Size: bs})},
		{"too long", two(Extent{Off: 3 * bs, Len: 6 * bs, Pos: 2 * bs, Size: bs})},
		{"too short", two(Extent{Off: 3 * bs, Len: 2 * bs, Pos: 2 * bs, Size: bs})},
		{"hole", two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 2 * bs})},
		{"exact", two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 2 * bs, Size: bs, Exact: true})},
		{"not at a block", two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 2*bs + 1, Size: bs})},
		{"saves nothing", two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 2 * bs, Size: 5 * bs})},
		{"two algorithms", two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 2 * bs, Size: bs, Algorithm: Zstd})},
		{"two in a block", []Extent{{Off: 0, Len: 5000, Pos: bs, Size: bs}, {Off: 5000, Len: 3000, Pos: 2 * bs, Size: bs, Algorithm: Raw},
			{Off: 8000, Len: 100, Pos: 3 * bs, Size: bs, Algorithm: Raw}, {Off: 8100, Len: 8*bs - 8100, Pos: 4 * bs, Size: bs}}},
	} {
		if _, err := AppendFull(nil, c.xs, 8*bs, bs); !errors.Is(err, ErrNoIndex) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	many := []Extent{{Off: 0, Len: MaxEncoded + 512, Size: MaxEncoded}}
	if _, err := AppendFull(nil, many, many[0].Len, 512); !errors.Is(err, ErrNoIndex) {
		t.Errorf("2048 blocks: %v", err)
	}
	apart := two(Extent{Off: 3 * bs, Len: 5 * bs, Pos: 9 * bs, Size: bs})
	if _, err := AppendCompact(nil, 0, apart, 8*bs, bs); !errors.Is(err, ErrNoIndex) {
		t.Errorf("apart: %v", err)
	}
	if _, err := AppendFull(nil, apart, 8*bs, bs); err != nil {
		t.Errorf("apart, full: %v", err)
	}
}

func TestEncodedExtents(t *testing.T) {
	exact := func(off, n, pos, size int64, alg Algorithm) Extent {
		return Extent{Off: off, Len: n, Pos: pos, Size: size, Algorithm: alg, Exact: true}
	}
	far := int64(5) << 32
	for _, c := range []struct {
		name string
		xs   []Extent
		at   int64
		bits uint8
		want string
	}{
		// mkfs.erofs 1.9.3 -zzstd -C65536 -E48bit of 70000 zeros
		{"words", []Extent{exact(0, 65536, 4096, 20, Zstd), exact(65536, 4464, 4116, 19, Zstd)}, 0x520, 4, `0010000000000000 14000040 13000040`},
		{"raw", []Extent{exact(0, 8192, 4096, 20, LZ4), exact(8192, 4464, 4116, 4464, Raw)}, 8, 1, `0010000000000000 14000010 70110000`},
		{"one", []Extent{exact(0, 70000, 4096, 20, Deflate)}, 8, 5, `0010000000000000 14000030`},
		{"lengths", []Extent{exact(0, 5000, 4096, 20, Zstd), exact(5000, 4464, 4116, 19, Zstd)}, 8, 0,
			`14000040 00100000 00000000 00000000 13000040 14100000 00000000 88130000`},
		{"apart", []Extent{exact(0, 8192, far, 20, Zstd), exact(8192, 4464, far-100, 0, Raw)}, 16, 0,
			`0000000000000000 14000040 00000000 05000000 00000000 00000000 9cffffff 04000000 00200000`},
	} {
		r := RecordsOf(c.xs, bs)
		have, err := r.AppendEncoded(nil, c.at, c.xs)
		want := unhex(t, c.want)
		if err != nil || string(have) != string(want) || r.SizeBits != c.bits || r.Bytes(c.at) != HeaderSize+int64(len(want)) || r.Count != int64(len(c.xs)) {
			t.Errorf("%s: %+v, %d bytes, %v\nhave %x\nwant %x", c.name, r, r.Bytes(c.at), err, have, want)
		}
	}
	long := []Extent{exact(0, far, 4096, 0, Raw), exact(far, 100, 4096, 100, Raw)}
	r := RecordsOf(long, bs)
	b, err := r.AppendEncoded(nil, 24, long)
	if want := "640000000010000000000000000000000500000000000000000000000000000000"[:64]; err != nil || r.Size != 32 || hex.EncodeToString(b[32:]) != want {
		t.Errorf("%+v, %v: %x", r, err, b)
	}
	if _, err := r.AppendEncoded(nil, 24, []Extent{exact(0, 5000, 4096, 4999, Raw)}); !errors.Is(err, ErrNoIndex) {
		t.Errorf("cut: %v", err)
	}
}
