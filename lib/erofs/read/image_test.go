package read_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

func TestBrokenFields(t *testing.T) {
	var (
		whole  = victim(t)
		at     = func(path string) int { return int(find(t, whole, path).Off) }
		behind = func(path string) int { return int(find(t, whole, path).End()) }
		super  = func(off int) int { return disk.SuperOffset + off }
		nid    = func(path string) uint64 { return find(t, whole, path).Nid }
		le     = binary.LittleEndian
		u16    = func(v uint16) []byte { return le.AppendUint16(nil, v) }
		u32    = func(v uint32) []byte { return le.AppendUint32(nil, v) }
		u64    = func(v uint64) []byte { return le.AppendUint64(nil, v) }
	)
	// The data of "sub", inline: ". .. dir one two"
	sub := behind("sub")
	names := sub + 5*disk.DirentSize
	if string(whole[names:names+12]) != "...dironetwo" {
		t.Fatalf("sub has %q", whole[names:names+12])
	}
	for _, c := range []struct {
		name string
		off  int
		put  []byte
		kind error
		err  string
	}{
		{"magic", super(0), u32(1), read.ErrCorrupt, "no EROFS superblock"},
		{"checksum", super(8), []byte{3}, read.ErrCorrupt, "checksum"},
		{"small blocks", super(12), []byte{8}, read.ErrCorrupt, "block size"},
		{"large blocks", super(12), []byte{17}, read.ErrCorrupt, "block size"},
		{"extended superblock", super(13), []byte{255}, nil, ""},
		{"root is no directory", super(14), u16(uint16(nid("big"))), read.ErrCorrupt, "root"},
		{"root beyond the end", super(14), u16(0xFFFF), read.ErrCorrupt, "root"},
		{"nanoseconds", super(32), u32(1e9), read.ErrCorrupt, "nanoseconds"},
		{"more blocks than there are", super(36), u32(1 << 20), read.ErrCorrupt, "cut short"},
		{"base of nids", super(40), u32(1 << 30), read.ErrCorrupt, "root"},
		{"base of shared xattrs", super(44), u32(1 << 30), read.ErrCorrupt, "big"},
		{"48 bits", super(80), u32(0x80), nil, ""},
		{"metabox", super(80), u32(0x100), read.ErrUnsupported, "compressed metadata"},
		{"unknown feature", super(80), u32(0x8000), read.ErrUnsupported, "0x8000"},
		{"directory blocks", super(90), []byte{1}, read.ErrUnsupported, "directory blocks"},

		{"inode format", at("big"), u16(0x20), read.ErrUnsupported, "big: "},
		{"inode layout", at("big"), u16(5 << 1), read.ErrUnsupported, "format 0xa"},
		{"compressed", at("big"), u16(1 << 1), read.ErrCorrupt, "big: byte"},
		{"mode", at("big") + 4, u16(0o644), read.ErrCorrupt, "mode"},
		{"first block", at("big") + 16, u32(1 << 20), read.ErrCorrupt, "data of inode"},
		{"size", at("big") + 8, u32(1 << 30), read.ErrCorrupt, "data of inode"},
		{"xattr count", at("big") + 2, u16(0xFFFF), read.ErrCorrupt, "xattrs of inode"},
		{"no room for shared ids", at("inline") + disk.CompactSize + 4, []byte{255}, read.ErrCorrupt, "255 shared xattrs"},
		{"xattr entry", behind("big") - 8, []byte{200}, read.ErrCorrupt, "xattr is beyond"},
		{"shared id", at("inline") + disk.CompactSize + disk.XattrHeadSize, u32(1 << 28), read.ErrCorrupt, "inline: "},
		{"inline across blocks", at("inline") + 8, u32(500), read.ErrCorrupt, "crosses a block"},
		{"chunk format", at("sparse") + 16, u16(0x60), read.ErrUnsupported, "chunk format"},
		{"chunk map", at("sparse") + 8, u32(1 << 31), read.ErrCorrupt, "chunk map"},
		{"chunk address", int(disk.RoundUp(int64(behind("sparse")), 8)) + 8 + 4, u32(1 << 30), read.ErrCorrupt, "data of inode"},
		{"empty link", at("link") + 8, u32(0), read.ErrCorrupt, "link target of 0"},
		{"long link", at("link") + 8, u32(5000), read.ErrCorrupt, "link target of 5000"},
		{"zero in a link", behind("link") + 3, []byte{0}, read.ErrCorrupt, "zero byte"},

		{"first name at 0", sub + 8, u16(0), read.ErrCorrupt, "first name at 0"},
		{"first name at 13", sub + 8, u16(13), read.ErrCorrupt, "first name at 13"},
		{"first name beyond", sub + 8, u16(1200), read.ErrCorrupt, "first name at 1200"},
		{"name backwards", sub + 2*disk.DirentSize + 8, u16(60), read.ErrCorrupt, "name"},
		{"name beyond", sub + 3*disk.DirentSize + 8, u16(600), read.ErrCorrupt, "name"},
		{"order", names + 3, []byte("z"), read.ErrCorrupt, "comes after"},
		{"twice", names + 6, []byte("dir"), read.ErrCorrupt, "comes after"},
		{"slash", names + 7, []byte("/"), read.ErrCorrupt, "name"},
		{"zero in a name", names + 7, []byte{0}, read.ErrCorrupt, "name"},
		{"nid beyond the end", sub + 3*disk.DirentSize, u64(1 << 62), read.ErrCorrupt, "sub/one: "},
		{"nid of 64 bits", sub + 3*disk.DirentSize, u64(1<<64 - 1), read.ErrCorrupt, "sub/one: "},
		{"cycle", sub + 2*disk.DirentSize, u64(nid(".")), read.ErrCorrupt, "sub/dir: "},
		{"two parents", sub + 3*disk.DirentSize, u64(nid("sub/dir")), read.ErrCorrupt, "sub/one: "},
		{"dot", sub, u64(nid(".")), read.ErrCorrupt, `"." is inode`},
		{"dots", sub + disk.DirentSize, u64(nid("sub")), read.ErrCorrupt, `".." is inode`},
		{"empty directory", at("sub") + 8, u32(5), read.ErrCorrupt, "too few"},
	} {
		b := bytes.Clone(whole)
		copy(b[c.off:], c.put)
		err := drain(b)
		if c.kind == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "byte ") {
			t.Errorf("%s: %v, expected %q", c.name, err, c.err)
		}
	}
}

func TestExtendedInodeFields(t *testing.T) {
	whole := build(t, erofs.Options{UUID: new([16]byte)}, dir("."), with(file("f", pattern(1, 5000)), func(e *tree.Entry) { e.UID = 1 << 20 }))
	dropChecksum(whole)
	at := int(find(t, whole, "f").Off)
	for _, c := range []struct {
		name string
		off  int
		put  []byte
		err  string
	}{
		{"negative size", 15, []byte{0x80}, "negative size"},
		{"huge size", 14, []byte{0x7F}, "data of inode"},
		{"nanoseconds", 43, []byte{0x7F}, "nanoseconds"},
	} {
		b := bytes.Clone(whole)
		copy(b[at+c.off:], c.put)
		if err := drain(b); !errors.Is(err, read.ErrCorrupt) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// However an image is cut short, that is an error.
func TestTruncated(t *testing.T) {
	b := build(t, erofs.Options{}, corpus()...)
	for n := 0; n < len(b); n += 1 + len(b)/97 {
		if err := drain(b[:n]); !errors.Is(err, read.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

// Xattrs that lie over each other make more work than the image is long.
func TestXattrBudget(t *testing.T) {
	var es []tree.Entry
	for i := range 10 {
		es = append(es, xattrs(file(fmt.Sprint(i), nil), "user.a", strings.Repeat("v", 1000), fmt.Sprintf("user.%d", i), "w"))
	}
	b := build(t, erofs.Options{}, es...)
	img := open(t, b)
	var nids []uint64
	for i := range 10 {
		nids = append(nids, find(t, b, fmt.Sprint(i)).Nid)
	}
	for _, c := range []struct {
		budget int64
		ok     bool
	}{
		{32, false}, {1000, false}, {1010 + 32, false}, {1010 + 10*32, true},
	} {
		err := img.ReadXattrs(c.budget, nids...)
		if c.ok && err != nil || !c.ok && (!errors.Is(err, read.ErrCorrupt) || !strings.Contains(err.Error(), "overlaps")) {
			t.Errorf("budget of %d: %v", c.budget, err)
		}
	}
	src := img.Source()
	read.SetBudget(src, 1500)
	if err := tree.Copy(t.Context(), tree.NewWriter(io.Discard, tree.WriterOptions{}), src); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("source: %v", err)
	}
}

// So do chunk maps.
func TestChunkMapBudget(t *testing.T) {
	const size = 8192 * 512
	es := []tree.Entry{sparse("a", size, []tree.Extent{{Off: 0, Len: 1}, {Off: 4096, Len: 1}})}
	b := build(t, erofs.Options{BlockSize: 512, UUID: new([16]byte)}, es...)
	ino, img := find(t, b, "a"), open(t, b)
	counted, err := img.MetadataSize(ino.Nid)
	if chunk, unit := ino.Chunks(512); err != nil || counted != size/chunk*unit || counted < 8 {
		t.Errorf("a map of %d bytes is counted as %d, %v", size/chunk*unit, counted, err)
	}
	src := img.Source()
	read.SetBudget(src, 100+counted-50)
	if err := tree.Copy(t.Context(), tree.NewWriter(io.Discard, tree.WriterOptions{}), src); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("have %v", err)
	}
}

// Names of one inode are no metadata that overlaps, however much there is of it.
func TestManyNames(t *testing.T) {
	mapped := sparse("map", 64<<20, []tree.Extent{{Off: 0, Len: 1}, {Off: 4096, Len: 1}})
	for _, first := range []tree.Entry{
		xattrs(file("xattrs", nil), "user.a", strings.Repeat("v", 4000)),
		{Path: "link", Type: tree.Link, Mode: 0o777, Link: strings.Repeat("l", 4000), Nlink: 1},
		mapped,
		file("record", nil),
	} {
		es := []tree.Entry{first}
		for i := range 1000 {
			e := first
			e.Path, e.Hardlink, e.Content = fmt.Sprintf("z%03d", i), first.Path, nil
			es = append(es, e)
		}
		src := open(t, build(t, erofs.Options{}, es...)).Source()
		read.SetBudget(src, 128<<10)
		var names int
		var file1 tree.Entry
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", first.Path, err)
			}
			if e.Hardlink == "" {
				file1 = *e
				continue
			}
			names++
			want := file1
			want.Path, want.Hardlink, want.Content = e.Path, first.Path, nil
			if !reflect.DeepEqual(*e, want) || e.Size != first.Size || e.Link != first.Link || !slices.Equal(e.Xattrs, first.Xattrs) {
				t.Fatalf("%+v is %+v", want, e)
			}
		}
		if names != 1000 {
			t.Errorf("%s: %d hard links", first.Path, names)
		}
	}
}

// Directories that share their blocks are told by their dots.
func TestSharedDirectory(t *testing.T) {
	b := build(t, erofs.Options{UUID: new([16]byte)}, file("a/f", nil), file("b/f", nil))
	dropChecksum(b)
	one, other := find(t, b, "a"), find(t, b, "b")
	copy(b[one.Off:one.End()+one.Size], b[other.Off:other.End()+other.Size])
	if err := drain(b); !errors.Is(err, read.ErrCorrupt) {
		t.Errorf("have %v", err)
	}
}

func TestLookup(t *testing.T) {
	es := corpus()
	for i := range 3000 {
		es = append(es, file(fmt.Sprintf("huge/%d", i), nil))
	}
	img := open(t, build(t, erofs.Options{}, es...))
	for path, want := range list(t, img.Source()) {
		e, err := img.Lookup(path)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		if e.Path != path || e.Type != want.Type || e.Mode != want.Mode || e.Size != want.Size || e.Link != want.Link || len(e.Xattrs) != len(want.Xattrs) {
			t.Errorf("%q: %+v, expected %+v", path, e, want)
		}
	}
	for _, path := range []string{"none", "huge/3000", "huge/", "sub/none/x", "one/x", "sym/x", "", "..", "huge//1", "huge/0a", "~"} {
		if e, err := img.Lookup(path); err == nil {
			t.Errorf("%q: found %+v", path, e)
		} else if tree.CheckPath(path) == nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestContentReadAt(t *testing.T) {
	es := []tree.Entry{
		file("plain", pattern(1, 300000)), file("tail", pattern(2, 9000)),
		sparse("sparse", 200000, []tree.Extent{{Off: 4096, Len: 4096}, {Off: 100000, Len: 50}, {Off: 199000, Len: 1000}}),
	}
	img := open(t, build(t, erofs.Options{}, es...))
	for i := range es {
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, &es[i]); err != nil {
			t.Fatal(err)
		}
		e, err := img.Lookup(es[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := e.Content.(io.ReaderAt)
		if !ok {
			t.Fatalf("%s: %T cannot be read at random", e.Path, e.Content)
		}
		for _, at := range [][2]int64{{0, 10}, {0, es[i].Size}, {4000, 200}, {es[i].Size - 5, 5}, {1, es[i].Size - 2}} {
			b := make([]byte, at[1])
			if n, err := c.ReadAt(b, at[0]); n != len(b) || err != nil && err != io.EOF || !bytes.Equal(b, want.Bytes()[at[0]:at[0]+at[1]]) {
				t.Errorf("%s: %d bytes at %d: %d, %v", es[i].Path, at[1], at[0], n, err)
			}
		}
		if n, err := c.ReadAt(make([]byte, 10), es[i].Size-3); n != 3 || err != io.EOF {
			t.Errorf("%s: at the end: %d, %v", es[i].Path, n, err)
		}
		if n, err := c.ReadAt(make([]byte, 1), es[i].Size); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end: %d, %v", es[i].Path, n, err)
		}
	}
}

// Long prefixes, as mkfs.erofs --xattr-prefix makes them.
func TestLongPrefixes(t *testing.T) {
	table := data("\x06\x00\x01long." + "\x08\x00\x04overlay" + "\x00\x00") // each padded to 4
	b := build(t, erofs.Options{Layer: true, UUID: new([16]byte)}, dir("."), file("table", table), xattrs(file("f", nil), "user.a", "value one"))
	b[disk.SuperOffset+8] = 0
	b[disk.SuperOffset+80] |= byte(disk.IncompatPrefixes)
	b[disk.SuperOffset+91] = 2
	binary.LittleEndian.PutUint32(b[disk.SuperOffset+92:], 4096/4)
	entry := bytes.Index(b, []byte("avalue one")) - disk.XattrEntrySize
	b[entry+1] = disk.LongPrefix | 0
	if e := list(t, open(t, b).Source())["f"]; fmt.Sprint(e.Xattrs) != "[{user.long.a value one}]" {
		t.Errorf("xattrs %v", e.Xattrs)
	}
	b[entry+1] = disk.LongPrefix | 1
	if e := list(t, open(t, b).Source())["f"]; fmt.Sprint(e.Xattrs) != "[{trusted.overlaya value one}]" {
		t.Errorf("xattrs %v", e.Xattrs)
	}
	for _, c := range []struct {
		name string
		off  int
		put  byte
		err  string
	}{
		{"no such prefix", entry + 1, disk.LongPrefix | 2, "xattr prefix 2 of 2"},
		{"empty prefix", 4096, 0, "prefix of 0 bytes"},
		{"long prefix", 4097, 2, "prefix of 518 bytes"},
		{"unknown short prefix", 4098, 9, "prefix index 9"},
		{"table beyond the end", disk.SuperOffset + 95, 0x10, "beyond the end"},
	} {
		broken := bytes.Clone(b)
		broken[c.off] = c.put
		if err := drain(broken); !errors.Is(err, read.ErrCorrupt) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Since 6.15 the kernel takes a first block of all ones for a hole.
func TestFlatHole(t *testing.T) {
	whole := build(t, erofs.Options{Layer: true, UUID: new([16]byte)}, file("f", pattern(1, 5000)), with(file("g", pattern(2, 5000)), func(e *tree.Entry) { e.UID = 1 << 20 }))
	whole[disk.SuperOffset+8] = 0
	for _, path := range []string{"f", "g"} {
		b := bytes.Clone(whole)
		ino := find(t, b, path)
		binary.LittleEndian.PutUint32(b[ino.Off+16:], disk.NullBlock)
		if ino.Extended {
			if err := drain(b); !errors.Is(err, read.ErrCorrupt) {
				t.Errorf("%s, high bits 0: %v", path, err)
			}
			binary.LittleEndian.PutUint16(b[ino.Off+6:], 0xFFFF)
		}
		if e := list(t, open(t, b).Source())[path]; e.Size != 5000 || e.Extents == nil || len(e.Extents) > 0 || e.Content != nil {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// brokenReader fails behind some offset.
type brokenReader struct {
	b   []byte
	off int64
}

var errRead = errors.New("disk is broken")

func (r brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.off && off < int64(len(r.b)) && off >= r.off {
		return 0, errRead
	}
	return bytes.NewReader(r.b).ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	b := build(t, erofs.Options{}, corpus()...)
	for _, off := range []int64{0, blockio.PageSize, 4 * blockio.PageSize} {
		img, err := read.Open(brokenReader{b, off}, int64(len(b)))
		if err == nil {
			err = tree.Copy(t.Context(), tree.NewWriter(io.Discard, tree.WriterOptions{}), img.Source())
		}
		if !errors.Is(err, errRead) || errors.Is(err, read.ErrCorrupt) {
			t.Errorf("broken at %d: %v", off, err)
		}
	}
}

// mkfs.erofs 1.9.3 gives inodes that lie before the metadata's base a number of 59 bits
// that wraps around 2^64 when it is scaled, and the kernel finds them. Of a number with
// more bits the kernel takes the last for a flag (EUCLEAN).
func TestInodeBeforeBase(t *testing.T) {
	b := build(t, erofs.Options{}, dir("."), file("a", pattern(1, 10)))
	img, want := open(t, b), find(t, b, ".")
	img.SetMetaBlock(7)
	root := want.Nid
	before := root - 7*4096/disk.NidUnit // modulo 2^64
	got, off, err := img.ReadInode(before % (1 << 59))
	if err != nil || off != want.Off || got.Mode != want.Mode {
		t.Errorf("inode before the base: %+v at %d, %v; want %+v", got, off, err, want)
	}
	for _, nid := range []uint64{before, before % (1 << 63), 1 << 62, 1 << 59, 1<<59 | root, 1<<63 | root, 1<<59 - 7*4096/disk.NidUnit - 1, 1 << 58} {
		if _, _, err := img.ReadInode(nid); !errors.Is(err, read.ErrCorrupt) {
			t.Errorf("inode %#x: %v", nid, err)
		}
	}
}
