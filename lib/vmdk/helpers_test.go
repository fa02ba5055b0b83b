package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
)

// noise is n bytes, half of which compress.
func noise(n int64, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		if i/4096%2 == 0 {
			b[i] = byte(r.Uint32())
		} else {
			b[i] = byte(i / 64)
		}
	}
	return b
}

// file writes dir/name and returns its path.
func file(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// sparse makes a file of the given size with data at some offsets.
func sparse(t testing.TB, dir, name string, size int64, at ...int64) string {
	t.Helper()
	path := file(t, dir, name, nil)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, off := range at {
		if _, err := f.WriteAt([]byte(fmt.Sprintf("data at %d", off)), off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func open(t testing.TB, paths ...string) *Disk {
	t.Helper()
	d, err := Open(paths)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// content is all of a disk.
func content(t testing.TB, d *Disk) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.WriteRaw(t.Context(), &b); err != nil || int64(b.Len()) != d.Size() {
		t.Fatalf("%d bytes of %d: %v", b.Len(), d.Size(), err)
	}
	return b.Bytes()
}

// erofsHead is what this package sees of an EROFS image of blocks of 4096 bytes.
type erofsHead struct {
	blocks  uint32
	uuid    byte // each of its bytes
	devices []erofsSlotHead
}

type erofsSlotHead struct {
	blocks, start uint32
	uuid          byte
}

// image has the size that the superblock says; the device table is in block 1.
func (h erofsHead) image() []byte {
	b := make([]byte, h.blocks*4096)
	super := disk.Superblock{
		Magic: disk.Magic, BlockBits: 12, Blocks: h.blocks, UUID: idOf(h.uuid),
		ExtraDevices: uint16(len(h.devices)), DeviceSlot: 4096 / disk.DeviceSlotSize,
	}
	if len(h.devices) > 0 {
		super.Incompat = disk.IncompatDevices
	}
	super.Encode(b[disk.SuperOffset:])
	for i, dev := range h.devices {
		slot := disk.DeviceSlot{Tag: disk.TagOf(idOf(dev.uuid)), Blocks: dev.blocks, First: dev.start}
		slot.Encode(b[4096+i*disk.DeviceSlotSize:])
	}
	return b
}

// idOf is a UUID of the same bytes.
func idOf(b byte) [16]byte { return [16]byte(bytes.Repeat([]byte{b}, 16)) }

// says fails t unless err is of the kind want and has text.
func says(t testing.TB, name string, err, want error, text string) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v; want %v with %q", name, err, want, text)
	}
}
