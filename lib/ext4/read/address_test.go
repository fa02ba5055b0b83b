package read_test

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/probetest"
)

// TestHighBits: with a bit changed that leads out of the image every number of a block
// or an inode is refused, though no checksum tells.
func TestHighBits(t *testing.T) {
	m := victim(t, noSums(t))
	b := make([]byte, 1)
	at := func(path string) int64 {
		return probetest.InodeIn(t, m, path).Off + disk.BlockOffset + disk.ExtentHeadSize
	}
	big, names := probetest.InodeIn(t, m, "big"), dataAt(probetest.InodeIn(t, m, "sub"))
	var index disk.ExtentIndex
	index.Decode(big.Block[disk.ExtentHeadSize:])
	leaf := int64(index.Child)*disk.BlockSize + disk.ExtentHeadSize
	for _, a := range []struct {
		name        string
		off         int64
		first, bits int
	}{
		{"first data block", disk.SuperOffset + 0x14, 0, 32},
		{"blocks", disk.SuperOffset + 0x04, 10, 32},
		{"high bits of blocks", disk.SuperOffset + 0x150, 0, 32},
		{"bitmap of blocks", disk.BlockSize, 10, 32},
		{"its high bits", disk.BlockSize + 0x20, 0, 32},
		{"bitmap of inodes", disk.BlockSize + 0x04, 10, 32},
		{"its high bits", disk.BlockSize + 0x24, 0, 32},
		{"table of inodes", disk.BlockSize + 0x08, 10, 32},
		{"its high bits", disk.BlockSize + 0x28, 0, 32},
		{"inode in a directory", names + 2*disk.DotSize, 5, 32},
		{"dot", names, 0, 32},
		{"block of a file", at("file") + 8, 10, 32},
		{"its high bits", at("file") + 6, 0, 16},
		{"block of a directory", at("sub") + 8, 10, 32},
		{"its high bits", at("sub") + 6, 0, 16},
		{"block of a link", at("longlink") + 8, 10, 32},
		{"its high bits", at("longlink") + 6, 0, 16},
		{"node", at("big") + 4, 10, 32},
		{"its high bits", at("big") + 8, 0, 16},
		{"block behind a node", leaf + 8, 10, 32},
		{"its high bits", leaf + 6, 0, 16},
		{"xattrs", big.Off + 0x68, 10, 32},
		{"their high bits", big.Off + 0x76, 0, 16},
	} {
		for bit := a.first; bit < a.bits; bit++ {
			flip := func() {
				off := a.off + int64(bit/8)
				if _, err := m.ReadAt(b, off); err != nil {
					t.Fatal(err)
				}
				b[0] ^= 1 << (bit % 8)
				m.WriteAt(b, off)
			}
			flip()
			if err := probetest.Drain(m, m.Size); !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), "byte ") {
				t.Errorf("%s: bit %d: %v", a.name, bit, err)
			}
			flip()
		}
	}
}
