package z

import (
	"encoding/hex"
	"errors"
	"testing"
)

// The headers are of images of mkfs.erofs 1.9.3, or have every field at its largest value.
func TestHeader(t *testing.T) {
	for name, test := range map[string]struct {
		hex     string
		compact bool
		want    Header
	}{
		"lz4, compact":         {"0000000001000000", true, Header{Index: Compact, Advise: AdvisePacks}},
		"big, compact":         {"0000000007000300", true, Header{Index: Compact, Advise: AdvisePacks | AdviseBig1 | AdviseBig2, Head1: Zstd}},
		"big, full":            {"0000000002000000", false, Header{Advise: AdviseBig1}},
		"tail":                 {"00005f0a0f000000", true, Header{Index: Compact, Advise: 0x0f, Tail: 2655}},
		"two algorithms":       {"0000000006003200", false, Header{Advise: 6, Head1: Deflate, Head2: Zstd}},
		"larger clusters":      {"0000000000000002", false, Header{ClusterBits: 2}},
		"fragment at the end":  {"ffffffff20000000", false, Header{Advise: AdviseFragment, Fragment: 1<<32 - 1}},
		"fragment":             {"efcdab8967452381", true, Header{Index: Compact, Whole: true, Fragment: 0x0123456789abcdef}},
		"encoded, 4 bytes":     {"0000000001000004", false, Header{Index: Encoded, Advise: AdviseRecord(0), ClusterBits: 4}},
		"encoded, 8 bytes":     {"0000000003000004", false, Header{Index: Encoded, Advise: AdviseRecord(1), ClusterBits: 4}},
		"encoded, 16 bytes":    {"0403020105000605", false, Header{Index: Encoded, Advise: AdviseRecord(2), Extents: 0x050601020304}},
		"encoded, 32 and more": {"0100000037000000", false, Header{Index: Encoded, Advise: AdviseRecord(3) | AdviseInterlaced | AdviseFragment, Extents: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := hex.DecodeString(test.hex)
			got, err := DecodeHeader(b, test.compact, true)
			if err != nil || got != test.want {
				t.Fatalf("got %+v, %v\nexpected %+v", got, err, test.want)
			}
			if again := hex.EncodeToString(got.Append([]byte{7})); again != "07"+test.hex {
				t.Errorf("encodes to %s", again)
			}
		})
	}
}

func TestRecordSize(t *testing.T) {
	for code, want := range []int64{4, 8, 16, 32} {
		if got := AdviseRecord(code).RecordSize(); got != want {
			t.Errorf("code %d: %d bytes", code, got)
		}
	}
}

func TestBadHeader(t *testing.T) {
	for name, test := range map[string]struct {
		hex          string
		compact, big bool
		want         error
	}{
		"head1":               {"0000000001000400", true, true, ErrUnsupported},
		"head2":               {"0000000001004000", true, true, ErrUnsupported},
		"big1 not in image":   {"0000000002000000", false, false, ErrCorrupt},
		"big2 not in image":   {"0000000004000000", false, false, ErrCorrupt},
		"only one in compact": {"0000000003000000", true, true, ErrCorrupt},
		"only two in compact": {"0000000005000000", true, true, ErrCorrupt},
		"not big":             {"0000000001000000", true, false, nil},
	} {
		b, _ := hex.DecodeString(test.hex)
		if _, err := DecodeHeader(b, test.compact, test.big); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, test := range map[string]struct {
		hex  string
		want Config
	}{
		"none":    {"", Config{}},
		"lz4":     {"0e00ffff100000000000000000000000", Config{Algorithms: 1 << LZ4, Distance: MaxDistance, PClusterBlocks: 16}},
		"deflate": {"06000f0000000000", Config{Algorithms: 1 << Deflate, WindowBits: 15}},
		"zstd":    {"0600000900000000", Config{Algorithms: 1 << Zstd, WindowLog: 19}},
		"all": {"0e00ffff0001000000000000000000000e00000080000000000000000000000006000f0000000000" + "0600000a00000000", Config{
			Algorithms: 0xf, Distance: MaxDistance, PClusterBlocks: 256, DictSize: 8 << 20, WindowBits: 15, WindowLog: MaxWindowLog,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := hex.DecodeString(test.hex)
			got, err := DecodeConfig(append(b, 1), test.want.Algorithms, 4096)
			if err != nil || got != test.want {
				t.Fatalf("got %+v, %v", got, err)
			}
			again := got.Append(nil)
			if hex.EncodeToString(again) != test.hex {
				t.Errorf("encodes to %x", again)
			}
			if len(again) > MaxConfigSize {
				t.Errorf("%d bytes", len(again))
			}
		})
	}
}

func TestBadConfig(t *testing.T) {
	for name, test := range map[string]struct {
		hex        string
		algorithms uint16
		want       error
	}{
		"unknown algorithm": {"", 1 << 4, ErrUnsupported},
		"no record":         {"06", 1 << Zstd, ErrCorrupt},
		"short lz4":         {"0d00ffff100000000000000000000000", 1 << LZ4, ErrCorrupt},
		"cut lz4":           {"0e00ffff1000000000000000000000", 1 << LZ4, ErrCorrupt},
		"large lz4":         {"0e00ffff010100000000000000000000", 1 << LZ4, ErrCorrupt},
		"lzma format":       {"0e000000010001000000000000000000", 1 << LZMA, ErrCorrupt},
		"small lzma":        {"0e00ff0f000000000000000000000000", 1 << LZMA, ErrCorrupt},
		"large lzma":        {"0e000100800000000000000000000000", 1 << LZMA, ErrCorrupt},
		"deflate window":    {"0600100000000000", 1 << Deflate, ErrCorrupt},
		"zstd format":       {"0600010900000000", 1 << Zstd, ErrCorrupt},
		"zstd window":       {"0600000b00000000", 1 << Zstd, ErrCorrupt},
		"second is missing": {"06000f0000000000", 1<<Deflate | 1<<Zstd, ErrCorrupt},
	} {
		b, _ := hex.DecodeString(test.hex)
		for _, bs := range []int64{512, 4096} { // Linux looks at none of this with the block size
			if _, err := DecodeConfig(b, test.algorithms, bs); !errors.Is(err, test.want) {
				t.Errorf("%s, blocks of %d: %v", name, bs, err)
			}
		}
	}
}
