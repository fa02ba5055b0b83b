package vmdk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"testing"
)

func gptOf(t testing.TB, b []byte) []byte {
	t.Helper()
	d, err := FromReaderAt("b", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.GPT()
	if err != nil {
		t.Fatal(err)
	}
	return content(t, g)
}

func checkedGPT(b []byte) error {
	return checkGPT(bounded{bytes.NewReader(b), int64(len(b))})
}

func TestGPT(t *testing.T) {
	for _, n := range []int64{512, 4096, 1<<20 + 512} {
		want := noise(n, 1)
		b := gptOf(t, want)
		if err := checkedGPT(b); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		le := binary.LittleEndian
		entry := b[1024:]
		first, last := le.Uint64(entry[32:]), le.Uint64(entry[40:])
		if first != 2048 || last != 2047+uint64(n)/512 || !bytes.Equal(b[first*512:(last+1)*512], want) {
			t.Errorf("%d bytes lie from sector %d to %d", n, first, last)
		}
		if len(b)%4096 != 0 || b[510] != 0x55 || b[511] != 0xAA || b[450] != 0xEE || le.Uint32(b[458:]) != uint32(len(b)/512-1) {
			t.Errorf("%d bytes: size or MBR", n)
		}
		if disk, part := b[512+56:512+72], entry[16:32]; disk[7]>>4 != 8 || part[7]>>4 != 8 || disk[8]>>6 != 2 || bytes.Equal(disk, part) {
			t.Errorf("GUIDs %x and %x", disk, part)
		}
		if other := gptOf(t, append(want, make([]byte, 512)...)); bytes.Equal(other[1040:1056], entry[16:32]) {
			t.Error("another content has the same GUID")
		}
	}
}

// TestGPTFile: extents keep their holes.
func TestGPTFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file(t, dir, "a", noise(8192, 1)), sparse(t, dir, "b", 1<<20, 1<<19))
	g, err := d.GPT()
	if err != nil {
		t.Fatal(err)
	}
	path := rawFile(t, g)
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b, content(t, g)) || !bytes.Equal(b[1<<20:1<<20+d.Size()], content(t, d)) {
		t.Errorf("other bytes, %v", err)
	}
	if err := Check(t.Context(), path, nil); err != nil {
		t.Error(err)
	}
}

func TestGPTRefused(t *testing.T) {
	good := gptOf(t, noise(8192, 1))
	le := binary.LittleEndian
	end := len(good)
	resum := func(b []byte, off int) { // as somebody who writes such a disk would
		copy(b[off+16:], []byte{0, 0, 0, 0})
		le.PutUint32(b[off+16:], crc32.ChecksumIEEE(b[off:off+gptHeaderSize]))
	}
	entry := func(b []byte, off int, v uint64) []byte {
		for _, at := range []int{1024, end - gptTail} {
			le.PutUint64(b[at+off:], v)
		}
		for _, at := range []int{512, end - 512} {
			le.PutUint32(b[at+88:], crc32.ChecksumIEEE(b[1024:1024+gptTable]))
			resum(b, at)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		spoil func(b []byte) []byte
		want  error
		text  string
	}{
		{"cut", func(b []byte) []byte { return b[:end-4096] }, ErrCorrupt, "the GPT is of a disk of"},
		{"cut oddly", func(b []byte) []byte { return b[:end-1] }, ErrCorrupt, "multiple of 512"},
		{"longer", func(b []byte) []byte { return append(b, make([]byte, 512)...) }, ErrCorrupt, "the GPT is of a disk of"},
		{"checksum", func(b []byte) []byte { b[512+40]++; return b }, ErrCorrupt, "wrong checksum"},
		{"table", func(b []byte) []byte { b[1024+60]++; return b }, ErrCorrupt, "wrong checksum"},
		{"second header", func(b []byte) []byte { b[end-512]++; return b }, ErrCorrupt, "second GPT"},
		{"second table", func(b []byte) []byte { b[end-gptTail+1]++; return b }, ErrCorrupt, "second GPT"},
		{"headers differ", func(b []byte) []byte { b[end-512+60]++; resum(b, end-512); return b }, ErrCorrupt, "differ"},
		{"elsewhere", func(b []byte) []byte { le.PutUint64(b[512+24:], 2); resum(b, 512); return b }, ErrCorrupt, "of sector 2"},
		{"table outside", func(b []byte) []byte { le.PutUint64(b[512+72:], 1<<62); resum(b, 512); return b }, ErrCorrupt, "outside"},
		{"many entries", func(b []byte) []byte { le.PutUint32(b[512+80:], 1<<30); resum(b, 512); return b }, ErrUnsupported, "entries"},
		{"range", func(b []byte) []byte { le.PutUint64(b[512+48:], 1<<40); resum(b, 512); return b }, ErrCorrupt, "partitions from"},
		{"begins early", func(b []byte) []byte { return entry(b, 32, 8) }, ErrCorrupt, "partition 1"},
		{"ends late", func(b []byte) []byte { return entry(b, 40, uint64(end/512-2)) }, ErrCorrupt, "partition 1"},
		{"ends first", func(b []byte) []byte { return entry(b, 40, 2047) }, ErrCorrupt, "partition 1"},
		{"inside a block", func(b []byte) []byte { return entry(b, 32, 2049) }, ErrUnsupported, "inside a block"},
	} {
		says(t, c.name, checkedGPT(c.spoil(bytes.Clone(good))), c.want, c.text)
	}
	short := gptOf(t, erofsHead{blocks: 2}.image()[:4096])
	says(t, "image in it", checkedGPT(short), ErrCorrupt, "partition 1: image: ")
	if err := checkedGPT(entry(bytes.Clone(good), 48, 1)); err != nil { // another flag
		t.Error(err)
	}
}

// FuzzGPT: no panic, and nothing large from what a header claims.
func FuzzGPT(f *testing.F) {
	seed := gptOf(f, noise(512, 1))
	if err := checkedGPT(seed); err != nil {
		f.Fatal(err)
	}
	f.Add(seed[512:512+gptHeaderSize], seed[1024:1024+gptEntrySize])
	f.Fuzz(func(t *testing.T, header, entries []byte) {
		b, le, last := bytes.Clone(seed), binary.LittleEndian, len(seed)-SectorSize
		copy(b[512:512+gptHeaderSize], header)
		copy(b[1024:1024+gptTable], entries)
		le.PutUint32(b[512+88:], crc32.ChecksumIEEE(b[1024:1024+gptTable]))
		copy(b[last:], b[512:1024])
		le.PutUint64(b[last+24:], uint64(last/SectorSize))
		le.PutUint64(b[last+32:], 1)
		for _, at := range []int{512, last} { // past the checksums
			le.PutUint32(b[at+16:], 0)
			le.PutUint32(b[at+16:], crc32.ChecksumIEEE(b[at:at+gptHeaderSize]))
		}
		_ = checkedGPT(b)
	})
}
