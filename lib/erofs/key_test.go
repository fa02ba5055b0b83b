package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
)

func TestMethodName(t *testing.T) {
	for _, text := range []string{"lz4", "lz4hc,2", "lz4hc,12", "zstd,1", "zstd,22", "deflate,9"} {
		m, err := ParseMethod(text)
		if err != nil {
			t.Fatal(err)
		}
		name, level := m.Name()
		want, digits, _ := strings.Cut(text, ",")
		if name != want || digits == "" && level != 0 || digits != "" && level != m.Level {
			t.Errorf("%s: %s, %d", text, name, level)
		}
	}
	for m, want := range map[Method]string{{Algorithm: z.Zstd}: "zstd", {Algorithm: z.LZ4}: "lz4", {Algorithm: z.Raw}: "none"} {
		if name, level := m.Name(); name != want || (level == 3) != (want == "zstd") {
			t.Errorf("%+v: %s, %d", m, name, level)
		}
	}
}

func TestKey(t *testing.T) {
	zstd := Method{Algorithm: z.Zstd}
	hints := []Hint{{"*.log", Method{z.Zstd, 19}}}
	for _, c := range []struct {
		c    *Compression
		bs   int64
		want string
	}{
		{nil, 4096, ""},
		{&Compression{Method: Method{Algorithm: z.Raw}, PCluster: 8192, Encoded: true}, 4096, ""},
		{&Compression{Method: zstd}, 4096, "zstd-3-64k"},
		{&Compression{Method: Method{z.Zstd, 3}, PCluster: 64 << 10, Workers: 7, Segment: 4 << 20}, 4096, "zstd-3-64k"},
		{&Compression{Method: Method{z.Zstd, 4}}, 4096, "zstd-4-64k"},
		{&Compression{Method: zstd, Encoded: true}, 4096, "zstd-3-64k-encoded"},
		{&Compression{Method: Method{Algorithm: z.LZ4}}, 4096, "lz4-64k"},
		{&Compression{Method: Method{z.LZ4, 1}}, 4096, "lz4-64k"},
		{&Compression{Method: Method{z.LZ4, 9}}, 4096, "lz4hc-9-64k"},
		{&Compression{Method: Method{Algorithm: z.Deflate}, PCluster: 1 << 20}, 4096, "deflate-6-1024k"},
		{&Compression{Method: zstd, PCluster: 512}, 512, "zstd-3-512"},
		{&Compression{Method: zstd, Segment: 256 << 10}, 4096, "zstd-3-64k-s256k"},
		{&Compression{Method: zstd, PCluster: 1 << 20, Segment: 16 << 20}, 4096, "zstd-3-1024k"},
		{&Compression{Method: zstd}, 128 << 10, "zstd-3-128k"},
	} {
		want := c.want
		if want != "" {
			want = "z1-" + want
		}
		if key := c.c.Key(c.bs); key != want {
			t.Errorf("%+v: %q, want %q", c.c, key, want)
		}
	}
	keys := map[string]bool{}
	for _, list := range [][]Hint{
		hints, {{"*.log", Method{z.Zstd, 18}}}, {{"*.lo", Method{z.Zstd, 19}}}, {{"*.log", Method{z.LZ4, 1}}}, {{"*.log", Method{z.LZ4, 9}}},
		append(hints, hints[0]), {{"a", zstd}, {"b", zstd}}, {{"b", zstd}, {"a", zstd}}, {{"a zstd,3\nb", zstd}},
	} {
		keys[(&Compression{Method: Method{Algorithm: z.Raw}, Hints: list}).Key(4096)] = true
	}
	if len(keys) != 9 {
		t.Errorf("hints that differ have the same key: %v", keys)
	}
	same := Compression{Method: zstd, Hints: []Hint{{"a", zstd}}}
	usual := Compression{Method: zstd, Hints: []Hint{{"a", Method{z.Zstd, 3}}}}
	if same.Key(4096) != usual.Key(4096) {
		t.Error("a level that is not given is another one than the usual")
	}
	longest := Compression{Method: Method{z.LZ4, 12}, PCluster: 1 << 20, Encoded: true, Segment: 64 << 20, Hints: hints}
	if key := longest.Key(4096); !regexp.MustCompile(`^[a-z0-9-]{40,55}$`).MatchString(key) {
		t.Errorf("%q", key)
	}
}

// goldenEncoder has the digests of compressed images, under their keys. Those of a version of
// the encoder never change.
const goldenEncoder = "testdata/golden-encoder.sha256"

// TestGoldenEncoder compares the bytes of compressed images with those that EncoderVersion has
// made before: with every algorithm, in all ways that the levels work, and every kind of index.
func TestGoldenEncoder(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	old, err := os.ReadFile(goldenEncoder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(old)) {
		sum, key, _ := strings.Cut(strings.TrimSpace(line), "  ")
		known[key] = sum
	}
	for _, c := range goldenCompressions(t) {
		key := c.Key(DefaultBlockSize)
		c.Workers = 2
		have := fmt.Sprintf("%x", sum256(build(t, Options{Compression: &c}, compressible()...)))
		switch want, ok := known[key]; {
		case ok && want != have:
			t.Errorf("%s: SHA-256 is %s, and was %s: the encoder makes other bytes, so raise EncoderVersion and run make golden", key, have, want)
		case !ok && os.Getenv("GOLDEN") == "update":
			known[key] = have
		case !ok:
			t.Errorf("%s: not in %s (make golden adds it)", key, goldenEncoder)
		}
	}
	var lines []string
	for key, sum := range known {
		lines = append(lines, sum+"  "+key+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	text := []byte(strings.Join(lines, ""))
	if !bytes.Equal(text, old) {
		if os.Getenv("GOLDEN") != "update" {
			t.Fatalf("%s: not sorted, or with lines that are none", goldenEncoder)
		}
		if err := os.WriteFile(goldenEncoder, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func goldenCompressions(t *testing.T) (list []Compression) {
	for _, text := range []string{"lz4", "lz4hc,2", "lz4hc,9", "lz4hc,12", "zstd,1", "zstd,3", "zstd,6", "zstd,10", "deflate,1", "deflate,6", "deflate,9"} {
		m, err := ParseMethod(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Compression{Method: m})
		if m.Level == z.UsualLevel(m.Algorithm) {
			list = append(list, Compression{Method: m, Encoded: true}, Compression{Method: m, PCluster: 4096}, Compression{Method: m, PCluster: 1 << 20})
		}
	}
	return list
}
