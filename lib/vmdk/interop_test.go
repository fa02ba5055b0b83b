package vmdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ocipipe/lib/reftest"
)

// extents makes n files of different sizes and bytes.
func extents(t testing.TB, dir string, n int) (paths []string) {
	t.Helper()
	for i := range n {
		paths = append(paths, file(t, dir, fmt.Sprintf("%03d.erofs", i), noise(512*int64(1+i*7%50), uint64(i))))
	}
	return paths
}

// flat writes the descriptor of a disk to dir and returns its path.
func flat(t testing.TB, d *Disk, o FlatOptions) string {
	t.Helper()
	desc, err := d.Descriptor(o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := desc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, o.Dir, "disk.vmdk", text)
}

// qemuInfo is what qemu-img says of a disk of which it can be sure.
type qemuInfo struct {
	Size   int64 `json:"virtual-size"`
	Format struct {
		Data struct {
			CID     uint32
			Extents []struct {
				Size     int64 `json:"virtual-size"`
				Filename string
			}
		}
	} `json:"format-specific"`
}

// readBack has qemu-img look at the disk and convert it, and compares the result.
func readBack(t *testing.T, disk string, want []byte) (info qemuInfo) {
	t.Helper()
	if err := json.Unmarshal([]byte(reftest.Run(t, "qemu-img", "info", "-f", "vmdk", "--output=json", disk)), &info); err != nil {
		t.Fatal(err)
	}
	if info.Size != int64(len(want)) {
		t.Errorf("it has %d bytes, not %d", info.Size, len(want))
	}
	reftest.Run(t, "qemu-img", "check", "-f", "vmdk", disk)
	raw := filepath.Join(t.TempDir(), "raw")
	reftest.Run(t, "qemu-img", "convert", "-f", "vmdk", "-O", "raw", disk, raw)
	have, err := os.ReadFile(raw)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("it reads other bytes, %v", err)
	}
	return info
}

func TestInteropFlat(t *testing.T) {
	for _, n := range []int{1, 3, 40, 130} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, extents(t, dir, n)...)
			disk := flat(t, d, FlatOptions{Dir: dir})
			info := readBack(t, disk, content(t, d))
			data := info.Format.Data
			if data.CID != d.CID() || len(data.Extents) != n {
				t.Errorf("CID is %x, and there are %d extents", data.CID, len(data.Extents))
			}
			for i, e := range data.Extents {
				if e.Size != d.extents[i].size || e.Filename != d.extents[i].path {
					t.Errorf("extent %d is %+v", i, e)
				}
			}
			if err := Check(t.Context(), disk, func(s string) { t.Error(s) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInteropMap: each extent is where it should be, in a file of its own.
func TestInteropMap(t *testing.T) {
	dir := t.TempDir()
	d := open(t, extents(t, dir, 3)...)
	var areas []struct {
		Start, Length, Offset int64
		Filename              string
	}
	out := reftest.Run(t, "qemu-img", "map", "-f", "vmdk", "--output=json", flat(t, d, FlatOptions{Dir: dir}))
	if err := json.Unmarshal([]byte(out), &areas); err != nil {
		t.Fatal(err)
	}
	if len(areas) != 3 {
		t.Fatalf("%+v", areas)
	}
	for i, a := range areas {
		if e := d.extents[i]; a.Start != e.start || a.Length != e.size || a.Offset != 0 {
			t.Errorf("%+v is %s at %d", a, e.path, e.start)
		}
	}
}

func TestInteropNames(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, name := range []string{"a b", "it's", "é", "\xff", "100%#1", "c:d", "e,f=g", "sub dir/$x;y", "-o"} {
		paths = append(paths, file(t, dir, name, noise(1024, uint64(i))))
	}
	d := open(t, paths...)
	for _, o := range []FlatOptions{{Dir: dir, Force: true}, {Dir: dir, Force: true, Absolute: true}} {
		readBack(t, flat(t, d, o), content(t, d))
	}
	sub := filepath.Join(dir, "sub dir")
	readBack(t, flat(t, d, FlatOptions{Dir: sub, Force: true}), content(t, d))
}

// TestInteropLarge: 5 GiB in one line and in pieces, as a descriptor and a stream.
func TestInteropLarge(t *testing.T) {
	dir := t.TempDir()
	big := sparse(t, dir, "big", 5<<30, 0, splitSectors*SectorSize-5, 4<<30, 4500000000, 5<<30-100)
	d := open(t, big)
	for _, split := range []bool{false, true} {
		disk := flat(t, d, FlatOptions{Dir: dir, Split: split})
		reftest.Run(t, "qemu-img", "check", "-f", "vmdk", disk)
		reftest.Run(t, "qemu-img", "compare", "-f", "vmdk", "-F", "raw", disk, big)
		if err := Check(t.Context(), disk, nil); err != nil {
			t.Error(err)
		}
	}
	stream := file(t, dir, "stream.vmdk", packDisk(t, d, StreamOptions{}))
	reftest.Run(t, "qemu-img", "check", "-f", "vmdk", stream)
	reftest.Run(t, "qemu-img", "compare", "-f", "vmdk", "-F", "raw", stream, big)
}

func TestInteropStream(t *testing.T) {
	for name, b := range map[string][]byte{
		"sector": noise(512, 1), "zeros": make([]byte, 1<<26), "odd": noise(3*grainSize+1536, 2),
		"noise behind zeros": append(make([]byte, tableEntries*grainSize), noise(grainSize, 3)...),
	} {
		t.Run(name, func(t *testing.T) {
			readBack(t, file(t, t.TempDir(), "disk.vmdk", pack(t, b, StreamOptions{})), b)
		})
	}
}

// TestInteropRead reads what qemu-img writes.
func TestInteropRead(t *testing.T) {
	dir := t.TempDir()
	want := append(noise(3*grainSize+4096, 1), make([]byte, 10*grainSize)...)
	raw := file(t, dir, "raw", want)
	for _, subformat := range []string{"streamOptimized", "monolithicFlat", "twoGbMaxExtentFlat"} {
		disk := filepath.Join(dir, subformat+".vmdk")
		reftest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat="+subformat, raw, disk)
		if err := Check(t.Context(), disk, nil); err != nil {
			t.Errorf("%s: %v", subformat, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "streamOptimized.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	if have, err := unpack(b); err != nil || !bytes.Equal(have, want) {
		t.Errorf("%d bytes of %d, %v", len(have), len(want), err)
	}
}
