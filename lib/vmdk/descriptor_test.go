package vmdk

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

var twoExtents = Descriptor{CID: 0x1f, CreateType: createSplit, Lines: []Line{
	{Sectors: 16, Type: typeFlat, Name: "fsmeta.erofs"},
	{Sectors: 5 << 31, Type: typeFlat, Name: "../a b/l'é.erofs", Offset: 7},
}}

const twoExtentsText = `# Disk DescriptorFile
version=1
CID=0000001f
parentCID=ffffffff
createType="twoGbMaxExtentFlat"

# Extent description
RW 16 FLAT "fsmeta.erofs" 0
RW 10737418240 FLAT "../a b/l'é.erofs" 7

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "16383"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.adapterType = "ide"
`

func TestDescriptorText(t *testing.T) {
	text, err := twoExtents.Encode()
	if err != nil || string(text) != twoExtentsText {
		t.Fatalf("%s\n%v", text, err)
	}
	for _, tail := range []string{"", "\x00\x00\x00"} { // QEMU pads what it may write to
		d, err := ParseDescriptor([]byte(twoExtentsText + tail))
		if err != nil || !reflect.DeepEqual(*d, twoExtents) {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if d, err := ParseDescriptor([]byte(strings.Replace(twoExtentsText, "CID=000000", "CID=", 1))); err != nil || d.CID != 0x1f {
		t.Errorf("a short CID: %+v, %v", d, err) // QEMU's
	}
	stream := Descriptor{CID: 1, CreateType: createStream, Lines: []Line{{Sectors: 16066, Type: typeSparse, Name: "x.vmdk"}}}
	text, err = stream.Encode()
	if err != nil || !strings.Contains(string(text), "\nRW 16066 SPARSE \"x.vmdk\"\n") ||
		!strings.Contains(string(text), `cylinders = "2"`) || !strings.Contains(string(text), `heads = "255"`) ||
		!strings.Contains(string(text), `"lsilogic"`) {
		t.Errorf("%s\n%v", text, err)
	}
	if d, err := ParseDescriptor(text); err != nil || !reflect.DeepEqual(*d, stream) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestCylinders(t *testing.T) {
	for sectors, want := range map[int64]int64{1: 1, 1008: 1, 1009: 2, 1008 * 16383: 16383, math.MaxInt64 / 512: 16383} {
		if n := ideGeometry.cylinders(sectors); n != want {
			t.Errorf("%d sectors have %d cylinders, want %d", sectors, n, want)
		}
	}
}

func TestNamesThatNothingExpresses(t *testing.T) {
	for _, name := range []string{"", `a"b`, "a\nRW 1 FLAT b 0", "a\rb", "a\x00", strings.Repeat("n", 512)} {
		d := Descriptor{CreateType: createFlat, Lines: []Line{{1, typeFlat, name, 0}}}
		if _, err := d.Encode(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: %v", name, err)
		}
	}
	d := Descriptor{CreateType: createFlat, Lines: []Line{{1, typeFlat, strings.Repeat("n", 511), 0}}}
	text, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseDescriptor(text); err != nil {
		t.Error(err)
	}
	for range 2200 {
		d.Lines = append(d.Lines, d.Lines[0])
	}
	if _, err := d.Encode(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("more than a MiB: %v", err)
	}
}

func TestDescriptorRefused(t *testing.T) {
	const extent = `RW 16 FLAT "fsmeta.erofs" 0`
	for _, c := range []struct {
		name, old, new string
		want           error
		text           string
	}{
		{"empty", twoExtentsText, "", ErrCorrupt, "line 1: "},
		{"first line", "# Disk D", "# disk D", ErrCorrupt, "line 1: "},
		{"BOM", "# Disk D", "\ufeff# Disk D", ErrCorrupt, "line 1: "},
		{"carriage return", "version=1\n", "version=1\r\n", ErrUnsupported, "line 2: "},
		{"empty line first", "version=1", "\nversion=1", ErrUnsupported, "line 2: "},
		{"other key first", "version=1", "encoding=\"UTF-8\"\nversion=1", ErrUnsupported, "line 2: "},
		{"spaces", "version=1", "version = 1", ErrUnsupported, "line 2: "},
		{"version 4", "version=1", "version=4", ErrUnsupported, "line 2: "},
		{"no version", "version=1\n", "", ErrUnsupported, "line 2: "},
		{"twice", "version=1\n", "version=1\nversion=1\n", ErrCorrupt, "line 3: "},
		{"unknown key", "parentCID", "changeTrackPath=x\nparentCID", ErrUnsupported, "line 4: "},
		{"no CID", "CID=0000001f\n", "", ErrCorrupt, "without CID"},
		{"long CID", "CID=0000001f", "CID=00000001f", ErrCorrupt, "line 3: "},
		{"no digits", "CID=0000001f", "CID=0000001g", ErrCorrupt, "line 3: "},
		{"empty value", "CID=0000001f", "CID=", ErrCorrupt, "line 3: "},
		{"no parentCID", "parentCID=ffffffff\n", "", ErrCorrupt, "without parentCID"},
		{"parent", "parentCID=ffffffff", "parentCID=00000001", ErrUnsupported, "parent"},
		{"no createType", "createType=\"twoGbMaxExtentFlat\"\n", "", ErrCorrupt, "without createType"},
		{"unquoted createType", `"twoGbMaxExtentFlat"`, "twoGbMaxExtentFlat", ErrUnsupported, "line 5: "},
		{"sparse createType", "twoGbMaxExtentFlat", "monolithicSparse", ErrUnsupported, "line 5: "},
		{"stream createType", "twoGbMaxExtentFlat", "streamOptimized", ErrUnsupported, "FLAT extents in streamOptimized"},
		{"empty line before extent", extent, "\n" + extent, ErrUnsupported, "line 9: "},
		{"RDONLY", "RW 16", "RDONLY 16", ErrUnsupported, "line 8: "},
		{"NOACCESS", "RW 16", "NOACCESS 16", ErrUnsupported, "line 8: "},
		{"ZERO", extent, "RW 16 ZERO", ErrUnsupported, "ZERO"},
		{"VMFS", extent, `RW 16 VMFS "x"`, ErrUnsupported, "line 8: "},
		{"sparse among flat", extent, `RW 16 SPARSE "x"`, ErrUnsupported, "SPARSE extents"},
		{"two streams", "", "", ErrUnsupported, "SPARSE extents in streamOptimized"},
		{"lower case", "RW 16", "rw 16", ErrCorrupt, "line 8: "},
		{"two spaces", "RW 16 FLAT", "RW  16 FLAT", ErrUnsupported, "line 8: "},
		{"no quotes", `"fsmeta.erofs"`, "fsmeta.erofs", ErrCorrupt, "line 8: "},
		{"open quote", `"fsmeta.erofs" 0`, `"fsmeta.erofs`, ErrCorrupt, "line 8: "},
		{"no name", `"fsmeta.erofs"`, `""`, ErrUnsupported, "line 8: "},
		{"no offset", extent, `RW 16 FLAT "fsmeta.erofs"`, ErrUnsupported, "no offset"},
		{"text behind", extent, extent + " x", ErrCorrupt, "line 8: "},
		{"no sectors", "RW 16", "RW 0", ErrCorrupt, "line 8: "},
		{"negative", "RW 16", "RW -16", ErrCorrupt, "line 8: "},
		{"leading zero", "RW 16", "RW 016", ErrCorrupt, "line 8: "},
		{"not a number", "RW 16", "RW x", ErrCorrupt, "line 8: "},
		{"huge", "RW 16", "RW 18014398509481984", ErrCorrupt, "line 8: "},
		{"huge together", "RW 16", "RW 18014398509481983", ErrCorrupt, "line 9: "},
		{"huge offset", `erofs" 0`, `erofs" 18014398509481983`, ErrCorrupt, "line 8: "},
		{"extent at the end", "ddb.adapterType = \"ide\"\n", "ddb.adapterType = \"ide\"\n" + extent, ErrUnsupported, "after the disk data base"},
		{"key behind", "#DDB", "CID=00000001", ErrCorrupt, "after the extents"},
		{"no extents", "RW 16 FLAT \"fsmeta.erofs\" 0\nRW 10737418240 FLAT \"../a b/l'é.erofs\" 7\n", "", ErrCorrupt, "without extents"},
		{"ddb", `ddb.adapterType = "ide"`, `ddb.adapterType=ide`, ErrCorrupt, "line 18: "},
		{"NUL", "# Extent", "# \x00Extent", ErrUnsupported, "line 7: "},
		{"too long", "#DDB", "#" + strings.Repeat("x", maxText), ErrUnsupported, "readers take"},
	} {
		text := strings.Replace(twoExtentsText, c.old, c.new, 1)
		if c.name == "two streams" {
			text = strings.NewReplacer("twoGbMaxExtentFlat", "streamOptimized", "FLAT", "SPARSE", `" 0`, `"`, `" 7`, `"`).Replace(text)
		}
		if text == twoExtentsText {
			t.Errorf("%s: nothing is changed", c.name)
		}
		_, err := ParseDescriptor([]byte(text))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.text)
		}
	}
}

// FuzzDescriptor: what is read means the same once it is written.
func FuzzDescriptor(f *testing.F) {
	for _, seed := range []string{twoExtentsText, strings.NewReplacer("twoGbMaxExtentFlat", "streamOptimized",
		`RW 16 FLAT "fsmeta.erofs" 0`, `RW 16 SPARSE "x"`, "RW 10737418240 FLAT \"../a b/l'é.erofs\" 7\n", "").Replace(twoExtentsText)} {
		if _, err := ParseDescriptor([]byte(seed)); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDescriptor(text)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("the error is of no kind: %v", err)
			}
			return
		}
		again, err := d.Encode()
		if err != nil {
			if len(text) > maxText-1000 {
				return // it had no disk data base
			}
			t.Fatal(err)
		}
		d2, err := ParseDescriptor(again)
		if err != nil || !reflect.DeepEqual(d, d2) {
			t.Errorf("%+v became %+v, %v", d, d2, err)
		}
	})
}

// TestStumblingBlock: a colon is one, except that of a drive on Windows.
func TestStumblingBlock(t *testing.T) {
	for _, c := range []struct {
		path  string
		drive int
		want  rune
	}{
		{"../a.erofs", 0, 0},
		{"C:/a.erofs", 2, 0},
		{"C:/a.erofs", 0, ':'},
		{"C:/a:b", 2, ':'},
		{"C:/a b", 2, ' '},
		{"/\u00e9", 0, '\u00e9'},
	} {
		if r, found := stumblingBlock(c.path, c.drive); r != c.want || found != (c.want != 0) {
			t.Errorf("%s behind %d bytes: %q %t, want %q", c.path, c.drive, r, found, c.want)
		}
	}
}
