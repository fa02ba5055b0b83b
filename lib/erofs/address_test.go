package erofs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// address is where an image has the number of an inode or a block.
type address struct {
	name      string
	off, bits int
}

// flip is b with one bit of a changed.
func (a address) flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[a.off+bit/8] ^= 1 << (bit % 8)
	return b
}

// addressed is an image with every kind of address that is not of a device, and where
// these are.
func addressed(t testing.TB) ([]byte, []address) {
	label := strings.Repeat("l", 40)
	large := func(e *tree.Entry) { e.UID = 1 << 20 } // an extended inode
	b := build(t, Options{UUID: new([16]byte)},
		dir("."), file("plain", pattern(1, 8192)), file("tail", pattern(2, 9000)),
		with(file("xplain", pattern(3, 8192)), large), with(file("xtail", pattern(4, 9000)), large),
		sparse("chunks", 1<<20, []tree.Extent{{Off: 4096, Len: 4096}, {Off: 65536, Len: 8192}}),
		xattrs(file("shared1", nil), "security.selinux", label), xattrs(file("shared2", nil), "security.selinux", label),
		dir("sub"), file("sub/one", pattern(5, 100)),
	)
	dropChecksum(b)
	at := func(path string) *erofstest.Inode { return find(t, b, path) }
	sub := int(at("sub").End())
	if at("sub").Layout != disk.FlatInline || at("chunks").Layout != disk.ChunkBased || !at("xtail").Extended || at("shared1").XattrCount == 0 {
		t.Fatal("the image has not what is to be tried")
	}
	return b, []address{
		{"base of inodes", disk.SuperOffset + 40, 32},
		{"base of shared xattrs", disk.SuperOffset + 44, 32},
		{"root", disk.SuperOffset + 14, 16},
		{"file in a directory", sub + 2*disk.DirentSize, 64},
		{"dot", sub, 64},
		{"block", int(at("plain").Off) + 16, 32},
		{"block before a tail", int(at("tail").Off) + 16, 32},
		{"block of an extended inode", int(at("xplain").Off) + 16, 32},
		{"its high bits", int(at("xplain").Off) + 6, 16},
		{"block before a tail of an extended inode", int(at("xtail").Off) + 16, 32},
		{"its high bits, with a tail", int(at("xtail").Off) + 6, 16},
		{"chunk", int(disk.RoundUp(at("chunks").End(), disk.ChunkIndexSize)) + disk.ChunkIndexSize, 64},
		{"shared xattr", int(at("shared1").Off+at("shared1").RecordSize()) + disk.XattrHeadSize, 32},
	}
}

// compareKernel mounts b, if we take it, and compares what the kernel shows. An error
// says what the kernel thinks otherwise.
func compareKernel(t *testing.T, b []byte) error {
	if drain(b) != nil {
		return nil // the kernel need not look so closely
	}
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	at, err := reftest.TryMount(t, "erofs", name, "")
	if err != nil {
		return err
	}
	return compareMount(at, open(t, b).Source())
}

// TestInteropAddresses: with any bit changed of any address, what we take the kernel
// takes too, and shows alike.
func TestInteropAddresses(t *testing.T) {
	b, list := addressed(t)
	layers := layersOf(t, Options{}, []tree.Entry{dir("."), file("below", pattern(6, 9000))}, []tree.Entry{dir("."), file("above", pattern(7, 5000))})
	whole := fsmeta(t, Options{}, layers...)
	table := int(erofstest.Super(t, whole).DeviceSlot) * disk.DeviceSlotSize
	for _, l := range layers {
		whole = append(whole, contentOf(t, l)...)
	}
	dropChecksum(whole)
	devices := []address{
		{"table of devices", disk.SuperOffset + 88, 16},
		{"length of a device", table + disk.DeviceTagSize, 32},
		{"place of a device", table + disk.DeviceTagSize + 4, 32},
		{"length of the last device", table + disk.DeviceSlotSize + disk.DeviceTagSize, 32},
		{"place of the last device", table + disk.DeviceSlotSize + disk.DeviceTagSize + 4, 32},
	}
	for _, c := range []struct {
		image []byte
		list  []address
	}{{b, list}, {whole, devices}} {
		if err := compareKernel(t, c.image); err != nil || drain(c.image) != nil {
			t.Fatal("not changed: ", err, drain(c.image))
		}
		for _, a := range c.list {
			t.Run(a.name, func(t *testing.T) {
				for bit := range a.bits {
					if err := compareKernel(t, a.flip(c.image, bit)); err != nil {
						t.Errorf("bit %d: %v", bit, err)
					}
				}
			})
		}
	}
}

// With a high bit changed no address is in the image. The upper half of a chunk's
// entry is a device, of which there is none, and bits that count with larger addresses.
func TestHighBits(t *testing.T) {
	b, list := addressed(t)
	for _, a := range list {
		first := 24
		switch {
		case a.bits == 16 && a.name != "root":
			first = 0
		case a.bits == 16:
			continue
		case a.name == "chunk":
			first = 56
		}
		for bit := first; bit < a.bits; bit++ {
			if err := drain(a.flip(b, bit)); !errors.Is(err, read.ErrCorrupt) || !strings.Contains(err.Error(), "byte ") {
				t.Errorf("%s: bit %d: %v", a.name, bit, err)
			}
		}
	}
}
