package erofstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"ocipipe/lib/erofs/disk"
)

// Image is an image in memory, as a writer and a reader want it.
type Image struct {
	mu sync.Mutex // the writer writes from several goroutines
	B  []byte
}

// ReadAt reads what was written.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.B).ReadAt(p, off)
}

// WriteAt makes the image longer where it must.
func (m *Image) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := int(off) + len(p); end > len(m.B) {
		m.B = append(m.B, make([]byte, end-len(m.B))...)
	}
	return copy(m.B[off:], p), nil
}

// MkfsImage is the image that mkfs.erofs 1.9.3 made of one file "hello" with
// --all-root -T1700000000 -Uc1b9d5a2-f162-11cf-9ece-0020afc76f16.
func MkfsImage(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 4096)
	for off, s := range map[int]string{
		0x400: "e2e1f5e0b2493933030000000c002400" + "020000000000000000f1536500000000" + "00000000010000000000000000000000" + "c1b9d5a2f16211cf9ece0020afc76f16",
		0x480: "04000000ed4102002c00000000000000" + "ffffffff010000000000000000000000" +
			"240000000000000024000200" + "240000000000000025000200" + "270000000000000027000100" + "2e2e2e68656c6c6f",
		0x4e0: "04000000a48101000600000000000000" + "ffffffff020000000000000000000000" + "68656c6c6f0a",
	} {
		x, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[off:], x)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != "cd89d7df0b2c3d6af298d9cf97525a521dff577513668e2f9aba396738d119b7" {
		t.Fatalf("the golden image has SHA-256 %s", sum)
	}
	return b
}

// Sign puts the right checksum into an image with blocks of 4096 bytes.
func Sign(b []byte) {
	s := b[disk.SuperOffset:4096]
	binary.LittleEndian.PutUint32(s[4:], disk.Checksum(s))
}

// DropChecksum clears the feature, so that a test may change the superblock.
func DropChecksum(b []byte) { b[disk.SuperOffset+8] &^= byte(disk.CompatChecksum) }
