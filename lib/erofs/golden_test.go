package erofs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

func sum256(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func TestGoldenOfMkfs(t *testing.T) {
	b := erofstest.MkfsImage(t)
	if sum := disk.Checksum(b[disk.SuperOffset:]); sum != 0x333949b2 {
		t.Errorf("checksum %#x", sum)
	}
	files := list(t, open(t, b).Source())
	if len(files) != 2 || files["."].Mode != 0o755 || files["."].Nlink != 2 {
		t.Errorf("have %+v", files)
	}
	var content bytes.Buffer
	e := files["hello"]
	if _, err := e.Content.WriteTo(&content); err != nil || content.String() != "hello\n" {
		t.Errorf("content %q, %v", content.String(), err)
	}
	if e.Time != (tree.Time{Sec: 1700000000}) || e.Mode != 0o644 || e.Size != 6 {
		t.Errorf("have %+v", e)
	}
}

// Of so small a tree this package makes the very image of mkfs.erofs.
func TestGolden(t *testing.T) {
	at := tree.Time{Sec: 1700000000}
	hello := with(file("hello", data("hello\n")), func(e *tree.Entry) { e.Time = at })
	root := with(dir("."), func(e *tree.Entry) { e.Time = at })
	b := build(t, Options{}, root, hello)
	const want = "ac9211f5"
	if len(b) != 4096 || hex.EncodeToString(sum256(b))[:8] != want {
		t.Errorf("image of %d bytes with SHA-256 %x, expected %s", len(b), sum256(b), want)
	}
	uuid := [16]byte(erofstest.MkfsImage(t)[disk.SuperOffset+48:])
	b = build(t, Options{UUID: &uuid}, root, hello)
	if !bytes.Equal(b, erofstest.MkfsImage(t)) {
		t.Error("this is not what mkfs.erofs makes of it")
	}
}

// goldenFile has the SHA-256 of the images of all that the other tests use. A
// digest there changes only with a commit that says why.
const goldenFile = "testdata/golden.sha256"

func TestGoldenImages(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	built := int64(1700000000)
	var have strings.Builder
	for _, c := range []struct {
		name string
		opts Options
		es   []tree.Entry
	}{
		{"flat", Options{}, corpus()},
		{"layer", Options{Layer: true}, append(corpus(), layer()...)},
		{"flat-512", Options{BlockSize: 512, Label: "label", BuildTime: &built}, corpus()},
		{"flat-65536", Options{BlockSize: 65536}, corpus()},
		{"small-files", Options{}, smallFiles(5000)},
		{"empty", Options{}, nil},
		{"lz4", Options{Compression: &Compression{Method: Method{Algorithm: z.LZ4}}}, compressible()},
		{"lz4hc", Options{Compression: &Compression{Method: Method{z.LZ4, 9}, PCluster: 4096}}, compressible()},
		{"zstd", Options{Compression: &Compression{Method: Method{Algorithm: z.Zstd}}}, compressible()},
		{"zstd-layer", Options{Layer: true, Compression: &Compression{Method: Method{Algorithm: z.Zstd}, PCluster: 16384}}, append(compressible(), layer()...)},
		{"zstd-encoded", Options{Compression: &Compression{Method: Method{Algorithm: z.Zstd}, Encoded: true}}, compressible()},
		{"deflate", Options{Compression: &Compression{Method: Method{Algorithm: z.Deflate}}}, compressible()},
	} {
		fmt.Fprintf(&have, "%x  %s\n", sum256(build(t, c.opts, c.es...)), c.name)
	}
	for _, c := range []struct {
		name    string
		bs      int
		noTable bool
	}{{"fsmeta", 4096, false}, {"fsmeta-512", 512, false}, {"fsmeta-no-table", 4096, true}, {"fsmeta-no-table-512", 512, true}} {
		layers := layersOf(t, Options{BlockSize: c.bs}, stack()...)
		fmt.Fprintf(&have, "%x  %s\n", sum256(fsmeta(t, Options{NoDeviceTable: c.noTable}, layers...)), c.name)
	}
	if os.Getenv("GOLDEN") == "update" {
		if err := os.WriteFile(goldenFile, []byte(have.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := firstDifference(string(want), have.String()); d != "" {
		t.Error(d)
	}
}
