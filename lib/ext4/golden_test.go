package ext4

import (
	"os"
	"testing"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// TestGoldenImages has the SHA-256 of file systems. A digest in testdata changes
// only with a commit that says why: users keep disks by their digests.
func TestGoldenImages(t *testing.T) {
	at, none := int64(1700000000), int64(0)
	root := ext4test.Dir(".", 0o1777)
	changes := []*tree.Entry{root, ext4test.Whiteout("gone"), ext4test.File("implied/f", ext4test.Pattern(1, 5000))}
	for _, c := range []struct {
		name    string
		opts    Options
		entries []*tree.Entry
	}{
		{"root", Options{FreeSpace: &none}, ext4test.Corpus()},
		{"root-shrink", Options{Shrink: true, Label: "label", Epoch: &at}, ext4test.Corpus()},
		{"root-old", Options{Size: 128 << 20, Journal: &none, Features: bit64 | metadataCsum | resizeInode | dirIndex | hugeFile | dirNlink}, ext4test.Corpus()},
		{"upper", Options{Upper: true, Size: MinUpper}, changes},
		{"upper-empty", Options{Upper: true, Size: 256 << 20, Epoch: &at, MaxSize: 4 << 40, Features: metadataCsumSeed}, nil},
	} {
		f, err := os.Open(build(t, c.opts, c.entries...))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		reftest.Golden(t, c.name+".ext4", f)
	}
}
