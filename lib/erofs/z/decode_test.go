package z

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

// params are those of an image that has only the given bytes, with the header at 0x500 of a
// block.
func params(t testing.TB, index string) *Params {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(index, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	b = append(make([]byte, headerAt), b...)
	return &Params{
		R: bytes.NewReader(b), End: int64(len(b)), BlockSize: 4096, Big: true, Padded: true,
		Config: Config{Algorithms: 1<<LZ4 | 1<<Zstd | 1<<Deflate, WindowLog: MaxWindowLog, PClusterBlocks: 256},
	}
}

const headerAt = 0x500

// extents lists the extents of a file, which it also looks up at their first and last bytes.
func extents(f *File) (list []Extent, err error) {
	for x, err := range f.All() {
		if err != nil {
			return list, err
		}
		list = append(list, x)
	}
	for _, x := range slices.Backward(list) {
		for _, off := range []int64{x.Off, x.End() - 1} {
			if y, err := f.At(off); err != nil || y != x {
				return list, corrupt("at %d: %+v, %v, expected %+v", off, y, err, x)
			}
		}
	}
	return list, nil
}

// The indexes are of mkfs.erofs 1.9.3, of "seq 1 8000" and "seq 1 60000" unless the name says
// otherwise; dump.erofs -e gives the same extents.
func TestExtents(t *testing.T) {
	const block = 4096
	var small []Extent
	for i, off := range []int64{0, 4164, 9264, 14364, 19465, 24565, 29665, 34765} {
		small = append(small, Extent{Off: off, Pos: int64(i+1) * block, Size: block})
	}
	for i := range small {
		end := int64(38893)
		if i+1 < len(small) {
			end = small[i+1].Off
		}
		small[i].Len = end - small[i].Off
	}
	one := []Extent{{Len: 38893, Pos: block, Size: 8 * block}}
	for name, test := range map[string]struct {
		index   string
		size    int64
		compact bool
		want    []Extent
	}{
		"compact": {"0000000001000000 0010441000000000 30141c1802000000 091cf51f04000000 0120e11306000000 cd17ed0707000000", 38893, true, small},
		"full": {`0000000000000000 0000000000000000 0100000001000000 0100440002000000 0100300403000000 01001c0804000000
			0100090c05000000 0100f50f06000000 0200f50f01000100 0100e10307000000 0100cd0708000000 0000ed0700000000`, 38893, false, small},
		"compact, big": {"0000000007000000 0010082801000000 0220062009000000 0420042009000000 0620022009000000 0820ed0709000000", 38893, true, one},
		"full, big": {`0000000002000000 0000000000000000 0100000001000000 0200000008080800 0200000002000700 0200000003000600
			0200000004000500 0200000005000400 0200000006000300 0200000007000200 0200000008000100 0000ed0700000000`, 38893, false, one},
		"large packs": {`0000000007000300 0010102801000000 0220202011000000 04201e2011000000
			06e001880026800ae002c80036800ee0030801468012e00448013a8011000000
			16e005880166801ae006c80176801ee007080286802220729680c28011000000
			03200158001a8007200298002a800b2003d8003a800f2004180182801a000000
			13200558015a8017200698016a801b2007d8017a801f2008180242801a000000
			23200958029a8027200a9802aa802b200bd802ba802f200c18037a0b1a000000`, 348894, true, []Extent{
			{Len: 145864, Pos: block, Size: 16 * block, Algorithm: Zstd},
			{Off: 145864, Len: 203030, Pos: 17 * block, Size: 9 * block, Algorithm: Zstd},
		}},
		"records of 4 bytes, zeros": {"0000000001000004 0010000000000000 14000040 13000040", 70000, false, []Extent{
			{Len: 65536, Pos: block, Size: 20, Algorithm: Zstd, Exact: true},
			{Off: 65536, Len: 4464, Pos: block + 20, Size: 19, Algorithm: Zstd, Exact: true},
		}},
		"records of 8 bytes": {"0000000003000000 00040000 00100000 00000000 00000000 05000018 00200000", 9000, false, []Extent{}},
		"fragment":           {"efcdab8967452381", 9000, true, []Extent{{Len: 9000, Pos: 0x0123456789abcdef, Algorithm: Raw, Fragment: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			test.index = strings.NewReplacer("\n", "", "\t", "").Replace(test.index)
			f, err := Open(params(t, test.index), headerAt, test.size, test.compact)
			if err != nil {
				t.Fatal(err)
			}
			got, err := extents(f)
			if name == "records of 8 bytes" {
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "4096 bytes in 1024") {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %+v, %v\nexpected %+v", got, err, test.want)
			}
		})
	}
}

// records makes an index of encoded extents.
func records(h Header, words ...uint32) string {
	b := h.Append(nil)
	size := int(h.Advise.RecordSize())
	for (headerAt+len(b))%size != 0 {
		b = append(b, 0)
	}
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return hex.EncodeToString(b)
}

func TestRecords(t *testing.T) {
	const lz4 = 1 << 28
	variable := Header{Index: Encoded, Advise: AdviseRecord(2), Extents: 3}
	wide := Header{Index: Encoded, Advise: AdviseRecord(3), Extents: 1}
	for name, test := range map[string]struct {
		index string
		size  int64
		want  []Extent
		err   string
	}{
		"8 bytes, with a hole": {records(Header{Index: Encoded, Advise: AdviseRecord(1)}, 100|lz4, 5000, 0, 77, 9|lz4|extentPartial, 1), 8193, []Extent{
			{Len: 4096, Pos: 5000, Size: 100, Exact: true},
			{Off: 4096, Len: 4096, Algorithm: Raw},
			{Off: 8192, Len: 1, Pos: 1, Size: 9, Exact: true, Partial: true},
		}, ""},
		"16 bytes, hole first": {records(variable, 10, 20, 1, 5, 7|lz4, 30, 0, 15, 0, 0, 0, 100), 300, []Extent{
			{Len: 5, Algorithm: Raw},
			{Off: 5, Len: 10, Pos: 1<<32 + 20, Size: 10, Algorithm: Raw, Exact: true},
			{Off: 15, Len: 85, Pos: 30, Size: 7, Exact: true},
			{Off: 100, Len: 200, Algorithm: Raw},
		}, ""},
		"32 bytes":             {records(wide, 7|lz4, 30, 0, 0, 1, 0, 0, 0), 1<<32 + 10, []Extent{{Len: 1 << 32, Algorithm: Raw}, {Off: 1 << 32, Len: 10, Pos: 30, Size: 7, Exact: true}}, ""},
		"no extents":           {records(Header{Index: Encoded, Advise: AdviseRecord(2)}), 300, []Extent{{Len: 300, Algorithm: Raw}}, ""},
		"interlaced":           {records(Header{Index: Encoded, Advise: AdviseRecord(1) | AdviseInterlaced}, 4096, 8192, 8, 8192), 4100, []Extent{{Len: 4096, Pos: 8192, Size: 4096, Algorithm: Raw, Exact: true, Rotated: true}, {Off: 4096, Len: 4, Pos: 8192, Size: 8, Algorithm: Raw, Exact: true}}, ""},
		"fragment at the end":  {records(Header{Index: Encoded, Advise: AdviseRecord(1) | AdviseFragment}, 7|lz4, 30, 5, 1), 4100, []Extent{{Len: 4096, Pos: 30, Size: 7, Exact: true}, {Off: 4096, Len: 4, Pos: 1<<32 + 5, Algorithm: Raw, Fragment: true}}, ""},
		"descending":           {records(variable, 10, 20, 0, 0, 10, 20, 0, 9, 10, 20, 0, 9), 15, nil, "extent 2 does not begin after 9"},
		"after the end":        {records(variable, 10, 20, 0, 0, 10, 20, 0, 9, 10, 20, 0, 16), 15, nil, "extent 2 begins at 16"},
		"unknown algorithm":    {records(Header{Index: Encoded, Advise: AdviseRecord(1)}, 7|5<<28, 30), 9, nil, "algorithm 4"},
		"not of the image":     {records(Header{Index: Encoded, Advise: AdviseRecord(1)}, 7|2<<28, 30), 9, nil, "lzma is not among"},
		"too long when stored": {records(variable, 1<<20+1|lz4, 30, 0, 0, 0, 0, 0, 14, 0, 0, 0, 15), 15, nil, "14 bytes in 1048577"},
		"too long":             {records(Header{Index: Encoded, Advise: AdviseRecord(1), ClusterBits: 12}, 7|lz4, 30), 12<<20 + 1, nil, "12582913 bytes in 7"},
		"position":             {records(variable, 7|lz4, 0, 1<<31, 0, 0, 0, 0, 14, 0, 0, 0, 15), 15, nil, "stored at 0x8000"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Open(params(t, test.index), headerAt, test.size, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := extents(f)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %+v, %v\nexpected %+v", got, err, test.want)
			}
		})
	}
}

// Positions of records of 4 bytes are sums, some of which are kept.
func TestManyRecords(t *testing.T) {
	const n = 5000
	words := []uint32{4096, 0}
	for i := range uint32(n) {
		words = append(words, (1+i%7)|4<<28)
	}
	f, err := Open(params(t, records(Header{Index: Encoded, Advise: AdviseRecord(0)}, words...)), headerAt, n*4096, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := extents(f); err != nil || len(got) != n || got[n-1].Pos != 4096+n/7*28+1 {
		t.Errorf("%d extents, the last at %d, %v", len(got), got[len(got)-1].Pos, err)
	}
	f, _ = Open(params(t, records(Header{Index: Encoded, Advise: AdviseRecord(0)}, words...)), headerAt, n*4096, false)
	if x, err := f.At(3500 * 4096); err != nil || x.Pos != 4096+3500/7*28 {
		t.Errorf("the first look is at %+v, %v", x, err)
	}
}

// Each change of an index that the kernel refuses, or that leads it astray.
func TestBadIndex(t *testing.T) {
	full := "0000000006002300 0000000000000000 0100000001000000 0200000002080200 0200000002000100 0100100005000000 0000200006000000"
	const size = 5*4096 - 10
	at := func(entry, off int) int { return 16 + entry*8 + off }
	for name, test := range map[string]struct {
		off  int
		put  []byte
		want string
	}{
		"nothing":            {0, nil, ""},
		"begins late":        {at(0, 2), []byte{1}, "entry 0 is 1 after its head"},
		"begins inside":      {at(0, 0), []byte{2}, "entry 0 is 1 after its head"},
		"offset too large":   {at(3, 2), []byte{0, 16}, "begins at byte 4096 of 4096"},
		"back 0":             {at(2, 4), []byte{0}, "does not belong"},
		"back too far":       {at(2, 4), []byte{3}, "does not belong"},
		"second count":       {at(2, 4), []byte{1, 8}, "does not belong"},
		"ahead too far":      {at(1, 6), []byte{3}, "reaches past entry 3"},
		"one by one too far": {at(1, 6), []byte{1, 0, 2, 0, 0, 0, 1, 0, 2}, "reaches past entry 3"},
		"ahead by nothing":   {at(1, 6), []byte{0, 0, 2, 0, 0, 0, 1, 0, 0}, ""},
		"ahead, unused":      {at(2, 6), []byte{200}, ""},
		"raw and too long":   {at(0, 0), []byte{0}, "12304 bytes in 8192"},
		"other algorithm":    {at(0, 0), []byte{3}, ""}, // HEAD2 is deflate
		"partial":            {at(0, 1), []byte{128}, ""},
		"same cluster":       {at(4, 4), []byte{5}, "have the same cluster, one by zstd and one by raw"},
		"header: algorithm":  {6, []byte{0x21}, "lzma is not among"},
		"header: not big":    {4, []byte{0}, "counts blocks in a file without big"},
		"header: last entry": {4, []byte{0x0e}, ""}, // no length: no end behind the index
		"end behind index":   {2, []byte{20, 0, 0x0e}, "4054 bytes in 20 that are not"},
		"end across blocks":  {2, []byte{0, 0xff, 0x0e}, "crosses a block"},
	} {
		b, _ := hex.DecodeString(strings.ReplaceAll(full, " ", ""))
		copy(b[test.off:], test.put)
		f, err := Open(params(t, hex.EncodeToString(b)), headerAt, size, false)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := extents(f)
		if test.want == "" && (err != nil || len(got) != 3) || test.want != "" && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		index   string
		at      int64
		size    int64
		compact bool
	}{
		"no header":         {"00000000010000", headerAt, 1, true},
		"before the image":  {"0000000001000000", -8, 1, true},
		"no index":          {"0000000001000000", headerAt, 1, true},
		"half a pack":       {"0000000001000000 0010441000000000", headerAt, 3 * 4096, true},
		"huge":              {"0000000001000000 0010441000000000", headerAt, 1<<63 - 1, true},
		"huge, full":        {"0000000000000000 0000000000000000", headerAt, 1<<63 - 1, false},
		"no record":         {"0000000003000000 00000000", headerAt, 1, false},
		"2^48 records":      {"ffffffff0500ff7f", headerAt, 1, false},
		"large clusters":    {"0000000000000003 0010441000000000", headerAt, 1, true},
		"in packs of 2":     {"0000000001000001 0010441000000000", headerAt, 1, true},
		"no start of sizes": {"0000000001000000 00000000", headerAt, 0, false},
	} {
		if _, err := Open(params(t, test.index), test.at, test.size, test.compact); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file with more than 2047 logical clusters in an extent: distances are too short, and lead
// to the head in several steps.
func TestFarHead(t *testing.T) {
	const n = 3000
	b := make([]byte, 16, 16+n*8)
	b[4] = byte(AdviseBig1)
	for i := range n {
		e := make([]byte, 8)
		switch {
		case i == 0:
			e[0] = 1
		case i == 1:
			e[0], e[5] = 2, 8
			e[4] = 5
		default:
			e[0] = 2
			binary.LittleEndian.PutUint16(e[4:], uint16(min(i, 2047)))
		}
		b = append(b, e...)
	}
	f, err := Open(params(t, hex.EncodeToString(b)), headerAt, n*4096, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := extents(f); err != nil || !slices.Equal(got, []Extent{{Len: n * 4096, Size: 5 * 4096}}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
