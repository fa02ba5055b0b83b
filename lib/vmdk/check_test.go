package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/erofs/disk"
)

// layered is an fsmeta with two layers, in the order of a disk.
func layered() map[string][]byte {
	meta := erofsHead{blocks: 2, uuid: 1, devices: []erofsSlotHead{{blocks: 4, start: 2, uuid: 2}, {blocks: 3, start: 6, uuid: 3}}}
	return map[string][]byte{"m": meta.image(), "l2": erofsHead{blocks: 4, uuid: 2}.image(), "l3": erofsHead{blocks: 3, uuid: 3}.image()}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name  string
		order string
		spoil func(map[string][]byte)
		force bool // it is forceable
		text  string
	}{
		{"right", "m l2 l3", nil, false, ""},
		{"more behind", "m l2 l3 x", func(f map[string][]byte) { f["x"] = make([]byte, 512) }, false, ""},
		{"data only", "x", func(f map[string][]byte) { f["x"] = make([]byte, 512) }, false, ""},
		{"metadata alone, devices elsewhere", "m", nil, false, ""},
		{"swapped", "m l3 l2", nil, true, "device 1: "},
		{"layer missing", "m l2", nil, true, "names 2 devices, and 1 extents follow"},
		{"layer of the same size swapped", "m l2 l3", func(f map[string][]byte) { f["l3"] = erofsHead{blocks: 3, uuid: 4}.image() }, true,
			"device 2: corrupt disk: is the image with the UUID 04040404040404040404040404040404, expected 03"},
		{"layer grown", "m l2 l3", func(f map[string][]byte) { f["l2"] = erofsHead{blocks: 5, uuid: 2}.image() }, true,
			"device 2: corrupt disk: is expected at byte 24576 of the disk, and"},
		{"last layer short", "m l2 l3", func(f map[string][]byte) { f["l3"] = f["l3"][:8192] }, true, "has 12288 bytes, and"},
		{"a layer that is cut", "m2 l2 l3", func(f map[string][]byte) {
			f["m2"] = erofsHead{blocks: 2}.image()
			f["l3"] = f["l3"][:8192]
		}, false, "EROFS image of 12288 bytes is cut short at 8192"},
		{"image alone, cut", "l2", func(f map[string][]byte) { f["l2"] = f["l2"][:4096] }, false, "cut short at 4096"},
		{"48-bit addresses, size not known", "l2", func(f map[string][]byte) {
			f["l2"] = f["l2"][:4096]
			f["l2"][disk.SuperOffset+80] = byte(disk.Incompat48Bit)
		}, false, ""},
		{"not whole blocks", "l2", func(f map[string][]byte) { f["l2"] = append(f["l2"], make([]byte, 512)...) }, false, "not a multiple of the EROFS block size 4096"},
		{"a disk in another form", "x l2", func(f map[string][]byte) { f["x"] = append([]byte("KDMV"), make([]byte, 4092)...) }, true, "x: is a VMDK disk, not a raw disk"},
		{"a compressed image", "x", func(f map[string][]byte) { f["x"] = append([]byte("\x1f\x8b"), make([]byte, 4094)...) }, true, "x: is compressed with gzip, not a raw disk"},
		{"a compressed image behind", "m l2 l3 x", func(f map[string][]byte) { f["x"] = append([]byte("\x1f\x8b"), make([]byte, 4094)...) }, true, "x: is compressed with gzip, not a raw disk"},
		{"a device of bare data", "m l2 l3", func(f map[string][]byte) { f["l2"] = append([]byte("\x1f\x8b"), make([]byte, 4*4096-2)...) }, false, ""},
		{"between blocks", "x l2", func(f map[string][]byte) { f["x"] = make([]byte, 512) }, true, "begins at byte 512 of the disk, inside an EROFS block"},
		{"without a device table", "m2 l2 l3", func(f map[string][]byte) {
			f["m2"] = erofsHead{blocks: 9}.image()[:8192]
		}, false, ""},
		{"without a device table, short", "m2 l2", func(f map[string][]byte) {
			f["m2"] = erofsHead{blocks: 9}.image()[:8192]
		}, false, "EROFS image of 36864 bytes is cut short at 24576"},
		{"table outside", "m l2 l3", func(f map[string][]byte) { f["m"][disk.SuperOffset+89] = 0xFF }, false, "outside the image"},
	} {
		files := layered()
		if c.spoil != nil {
			c.spoil(files)
		}
		dir, paths := t.TempDir(), []string{}
		for _, name := range strings.Fields(c.order) {
			paths = append(paths, file(t, dir, name, files[name]))
		}
		err := open(t, paths...).Verify()
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		says(t, c.name, err, nil, c.text)
		var f *ForceableError
		if errors.As(err, &f) != c.force {
			t.Errorf("%s: forceable is %t: %v", c.name, !c.force, err)
		}
	}
}

// TestCheckRaw: a disk that was concatenated is compared with its device table.
func TestCheckRaw(t *testing.T) {
	f := layered()
	join := func(names ...string) string {
		var b []byte
		for _, name := range names {
			b = append(b, f[name]...)
		}
		return file(t, t.TempDir(), "disk", b)
	}
	if err := Check(t.Context(), join("m", "l2", "l3"), nil); err != nil {
		t.Error(err)
	}
	says(t, "swapped", Check(t.Context(), join("m", "l3", "l2"), nil), ErrCorrupt, "is the image")
	says(t, "short", Check(t.Context(), join("m", "l2"), nil), ErrCorrupt, "device 2")
}

// writeFlat makes a disk of files in a new directory.
func writeFlat(t testing.TB, split bool, files ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var paths []string
	for _, name := range files {
		paths = append(paths, file(t, dir, name, layered()[name]))
	}
	desc, err := open(t, paths...).Descriptor(FlatOptions{Dir: dir, Split: split})
	if err != nil {
		t.Fatal(err)
	}
	text, err := desc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file(t, dir, "disk.vmdk", text)
	return dir
}

func TestCheck(t *testing.T) {
	dir := writeFlat(t, false, "m", "l2", "l3")
	disk := filepath.Join(dir, "disk.vmdk")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Check(t.Context(), disk, func(s string) { t.Error(s) }))

	// Another cwd, another name of the directory.
	link := filepath.Join(t.TempDir(), "link")
	must(os.Symlink(dir, link))
	must(Check(t.Context(), filepath.Join(link, "disk.vmdk"), nil))

	l3 := filepath.Join(dir, "l3")
	must(os.Truncate(l3, 8192))
	says(t, "short layer", Check(t.Context(), disk, nil), ErrCorrupt, "l3: has 8192 bytes, the descriptor says 12288")
	must(os.Truncate(l3, 16384))
	says(t, "long layer", Check(t.Context(), disk, nil), ErrCorrupt, "l3: has 16384 bytes, the descriptor says 12288")
	must(os.Truncate(l3, 12289))
	says(t, "odd layer", Check(t.Context(), disk, nil), nil, "l3: size of 12289 bytes")
	must(os.Truncate(l3, 0))
	says(t, "empty layer", Check(t.Context(), disk, nil), nil, "l3: is empty")
	must(os.Remove(l3))
	says(t, "no layer", Check(t.Context(), disk, nil), fs.ErrNotExist, "l3")
	must(unix.Mkfifo(l3, 0o666))
	says(t, "pipe", Check(t.Context(), disk, nil), nil, "not a file or block device")
	must(os.Remove(l3))

	must(os.WriteFile(l3, erofsHead{blocks: 3, uuid: 9}.image(), 0o666))
	says(t, "another layer", Check(t.Context(), disk, nil), ErrCorrupt, "is the image with the UUID")
	b := layered()["l3"]
	b[100] = 1 // not in the superblock
	must(os.WriteFile(l3, b, 0o666))
	var warnings []string
	if err := Check(t.Context(), disk, func(s string) { warnings = append(warnings, s) }); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "CID is ") {
		t.Errorf("a changed layer: %q, %v", warnings, err)
	}
}

// TestCheckPieces: lines of one file have to be all of it, in order.
func TestCheckPieces(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "a", make([]byte, 4096))
	file(t, dir, "b", make([]byte, 4096))
	for _, c := range []struct{ name, lines, text string }{
		{"whole", "8 a 0|8 b 0", ""},
		{"in pieces", "3 a 0|5 a 3|1 b 0|1 b 1|6 b 2", ""},
		{"begins late", "7 a 1", "begins at sector 1"},
		{"gap", "3 a 0|4 a 4", "has 4096 bytes, the descriptor says 1536"},
		{"out of order", "5 a 3|3 a 0", "begins at sector 3"},
		{"too short", "7 a 0", "has 4096 bytes, the descriptor says 3584"},
		{"too long", "9 a 0", "has 4096 bytes, the descriptor says 4608"},
		{"twice", "8 a 0|8 b 0|8 a 0", "a: is there twice"},
		{"twice under two names", "8 a 0|8 ./a 0", "a: is there twice"},
		{"itself", "1 disk 0", "disk: is a VMDK disk, not a raw disk"},
	} {
		d := Descriptor{CreateType: createSplit}
		for _, l := range strings.Split(c.lines, "|") {
			line := Line{Type: typeFlat}
			fmt.Sscan(l, &line.Sectors, &line.Name, &line.Offset)
			d.Lines = append(d.Lines, line)
		}
		text, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		err = Check(t.Context(), file(t, dir, "disk", text), nil)
		if c.text == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if c.text != "" {
			says(t, c.name, err, nil, c.text)
		}
	}
}

func TestCheckOthers(t *testing.T) {
	dir := t.TempDir()
	stream := pack(t, noise(1<<17, 1), StreamOptions{})
	if err := Check(t.Context(), file(t, dir, "s", stream), nil); err != nil {
		t.Error(err)
	}
	says(t, "no grains", Check(t.Context(), file(t, dir, "s", stream[:4096]), nil), ErrCorrupt, "no footer")
	text := bytes.TrimRight(stream[512:512+20*512], "\x00")
	says(t, "descriptor of a stream", Check(t.Context(), file(t, dir, "s", text), nil), ErrCorrupt, "without the disk")
	for text, b := range map[string][]byte{
		"the input is empty":                     nil,
		"neither a descriptor nor":               make([]byte, 8192),
		"is text, not a VMDK, GPT or EROFS disk": []byte("hello\n"),
	} {
		says(t, text, Check(t.Context(), file(t, dir, "s", b), nil), ErrUnsupported, text)
	}
	says(t, "other comment", Check(t.Context(), file(t, dir, "s", []byte("# hello\n")), nil), ErrCorrupt, "line 1")
	says(t, "long text", Check(t.Context(), sparse(t, dir, "long", 2<<20, 4096), nil), ErrUnsupported, "neither")
	long := file(t, dir, "longer", append([]byte("# Disk DescriptorFile\n"), make([]byte, maxText)...))
	says(t, "long descriptor", Check(t.Context(), long, nil), ErrUnsupported, "readers take")
	says(t, "directory", Check(t.Context(), dir, nil), unix.EISDIR, "open")
	says(t, "missing", Check(t.Context(), filepath.Join(dir, "none"), nil), fs.ErrNotExist, "open")
}

// FuzzErofs: superblocks and device tables of any kind.
func FuzzErofs(f *testing.F) {
	meta := layered()["m"]
	f.Add(meta[:disk.SuperOffset+disk.SuperSize], meta[4096:4096+2*disk.DeviceSlotSize])
	f.Fuzz(func(t *testing.T, super, table []byte) {
		b := append(make([]byte, 0, 32<<10), meta...)
		copy(b, super)
		copy(b[4096:], table)
		d, err := FromReaderAt("disk", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Verify()
	})
}

// TestNeeds: a table of devices needs a later Linux where the devices are on the same disk.
func TestNeeds(t *testing.T) {
	files := layered()
	files["all"] = bytes.Join([][]byte{files["m"], files["l2"], files["l3"]}, nil)
	files["x"] = make([]byte, 512)
	for order, want := range map[string]string{"m l2 l3": "6.4", "all": "6.4", "m": "5.16", "l2": "5.15", "l2 m": "5.15", "x l2": "", "x": ""} {
		dir, paths := t.TempDir(), []string{}
		for _, name := range strings.Fields(order) {
			paths = append(paths, file(t, dir, name, files[name]))
		}
		n, ok := open(t, paths...).Needs()
		if ok != (want != "") || n.Linux != want {
			t.Errorf("%s: %+v, %t", order, n, ok)
		}
	}
	if n, ok := (&Disk{}).Needs(); ok {
		t.Errorf("nothing: %+v", n)
	}
}
