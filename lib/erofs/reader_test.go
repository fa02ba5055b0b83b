package erofs

import (
	"bytes"
	"context"
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
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// drain reads everything in an image.
func drain(b []byte, devices ...Device) error {
	img, err := Open(bytes.NewReader(b), int64(len(b)), devices...)
	if err != nil {
		return err
	}
	src := tree.Limit(img.Source(), tree.Limits{TotalSize: 4 << 20, FileSize: 1 << 40, Entries: 1 << 20})
	for {
		e, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Content == nil {
			continue
		}
		n, err := e.Content.WriteTo(io.Discard)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if n != e.DataSize() {
			return fmt.Errorf("%s: content of %d bytes, expected %d", e.Path, n, e.DataSize())
		}
	}
}

// victim is an image for tests that break it, without a checksum. Its blocks are
// small so that files have several.
func victim(t testing.TB) []byte {
	label := strings.Repeat("l", 40)
	b := build(t, Options{BlockSize: 512, UUID: new([16]byte)},
		dir("."),
		xattrs(file("big", pattern(1, 3000)), "user.a", "b", "security.selinux", label),
		xattrs(file("inline", pattern(2, 100)), "security.selinux", label),
		hardlink("hard", "big"),
		sparse("sparse", 100000, []tree.Extent{{Off: 512, Len: 1024}, {Off: 50000, Len: 10}}),
		symlink("link", "target"),
		dir("sub"), file("sub/one", nil), file("sub/two", nil), dir("sub/dir"),
	)
	b[superOffset+8] &^= byte(compatChecksum)
	if err := drain(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// inodeAt is where the inode of path is.
func inodeAt(t testing.TB, b []byte, path string) *foundInode {
	t.Helper()
	img := open(t, b)
	ino, err := img.readInode(uint64(img.super.RootNid))
	for _, name := range strings.Split(path, "/") {
		var d named
		if err == nil && name != "." {
			if d, err = img.lookup(ino, name); err == nil {
				ino, err = img.readInode(d.nid)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

func TestBrokenFields(t *testing.T) {
	var (
		whole  = victim(t)
		at     = func(path string) int { return int(inodeAt(t, whole, path).off) }
		behind = func(path string) int { return int(inodeAt(t, whole, path).end()) }
		super  = func(off int) int { return superOffset + off }
		nid    = func(path string) uint64 { return inodeAt(t, whole, path).nid }
		le     = binary.LittleEndian
		u16    = func(v uint16) []byte { return le.AppendUint16(nil, v) }
		u32    = func(v uint32) []byte { return le.AppendUint32(nil, v) }
		u64    = func(v uint64) []byte { return le.AppendUint64(nil, v) }
	)
	// The data of "sub", inline: ". .. dir one two"
	sub := behind("sub")
	names := sub + 5*direntSize
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
		{"magic", super(0), u32(1), ErrCorrupt, "no EROFS superblock"},
		{"checksum", super(8), []byte{3}, ErrCorrupt, "checksum"},
		{"small blocks", super(12), []byte{8}, ErrCorrupt, "block size"},
		{"large blocks", super(12), []byte{17}, ErrCorrupt, "block size"},
		{"extended superblock", super(13), []byte{255}, nil, ""},
		{"root is no directory", super(14), u16(uint16(nid("big"))), ErrCorrupt, "root"},
		{"root beyond the end", super(14), u16(0xFFFF), ErrCorrupt, "root"},
		{"nanoseconds", super(32), u32(1e9), ErrCorrupt, "nanoseconds"},
		{"more blocks than there are", super(36), u32(1 << 20), ErrCorrupt, "cut short"},
		{"base of nids", super(40), u32(1 << 30), ErrCorrupt, "root"},
		{"base of shared xattrs", super(44), u32(1 << 30), ErrCorrupt, "big"},
		{"48 bits", super(80), u32(0x80), ErrUnsupported, "48-bit"},
		{"metabox", super(80), u32(0x100), ErrUnsupported, "compressed metadata"},
		{"unknown feature", super(80), u32(0x8000), ErrUnsupported, "0x8000"},
		{"directory blocks", super(90), []byte{1}, ErrUnsupported, "directory blocks"},

		{"inode format", at("big"), u16(0x20), ErrUnsupported, "big: "},
		{"inode layout", at("big"), u16(5 << 1), ErrUnsupported, "format 0xa"},
		{"compressed", at("big"), u16(1 << 1), ErrUnsupported, "big: byte"},
		{"mode", at("big") + 4, u16(0o644), ErrCorrupt, "mode"},
		{"first block", at("big") + 16, u32(1 << 20), ErrCorrupt, "data of inode"},
		{"size", at("big") + 8, u32(1 << 30), ErrCorrupt, "data of inode"},
		{"xattr count", at("big") + 2, u16(0xFFFF), ErrCorrupt, "xattrs of inode"},
		{"no room for shared ids", at("inline") + compactSize + 4, []byte{255}, ErrCorrupt, "255 shared xattrs"},
		{"xattr entry", behind("big") - 8, []byte{200}, ErrCorrupt, "xattr is beyond"},
		{"shared id", at("inline") + compactSize + xattrHeadSize, u32(1 << 28), ErrCorrupt, "inline: "},
		{"inline across blocks", at("inline") + 8, u32(500), ErrCorrupt, "crosses a block"},
		{"chunk format", at("sparse") + 16, u16(0x60), ErrUnsupported, "chunk format"},
		{"chunk map", at("sparse") + 8, u32(1 << 31), ErrCorrupt, "chunk map"},
		{"chunk address", int(roundUp(int64(behind("sparse")), 8)) + 8 + 4, u32(1 << 30), ErrCorrupt, "data of inode"},
		{"empty link", at("link") + 8, u32(0), ErrCorrupt, "link target of 0"},
		{"long link", at("link") + 8, u32(5000), ErrCorrupt, "link target of 5000"},
		{"zero in a link", behind("link") + 3, []byte{0}, ErrCorrupt, "zero byte"},

		{"first name at 0", sub + 8, u16(0), ErrCorrupt, "first name at 0"},
		{"first name at 13", sub + 8, u16(13), ErrCorrupt, "first name at 13"},
		{"first name beyond", sub + 8, u16(1200), ErrCorrupt, "first name at 1200"},
		{"name backwards", sub + 2*direntSize + 8, u16(60), ErrCorrupt, "name"},
		{"name beyond", sub + 3*direntSize + 8, u16(600), ErrCorrupt, "name"},
		{"order", names + 3, []byte("z"), ErrCorrupt, "comes behind"},
		{"twice", names + 6, []byte("dir"), ErrCorrupt, "comes behind"},
		{"slash", names + 7, []byte("/"), ErrCorrupt, "name"},
		{"zero in a name", names + 7, []byte{0}, ErrCorrupt, "name"},
		{"nid beyond the end", sub + 3*direntSize, u64(1 << 62), ErrCorrupt, "sub/one: "},
		{"nid of 64 bits", sub + 3*direntSize, u64(1<<64 - 1), ErrCorrupt, "sub/one: "},
		{"cycle", sub + 2*direntSize, u64(nid(".")), ErrCorrupt, "sub/dir: "},
		{"two parents", sub + 3*direntSize, u64(nid("sub/dir")), ErrCorrupt, "sub/one: "},
		{"dot", sub, u64(nid(".")), ErrCorrupt, `"." is inode`},
		{"dots", sub + direntSize, u64(nid("sub")), ErrCorrupt, `".." is inode`},
		{"empty directory", at("sub") + 8, u32(5), ErrCorrupt, "too few"},
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
	whole := build(t, Options{UUID: new([16]byte)}, dir("."), with(file("f", pattern(1, 5000)), func(e *tree.Entry) { e.UID = 1 << 20 }))
	whole[superOffset+8] &^= byte(compatChecksum)
	at := int(inodeAt(t, whole, "f").off)
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
		if err := drain(b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// However an image is cut short, that is an error.
func TestTruncated(t *testing.T) {
	b := build(t, Options{}, corpus()...)
	for n := 0; n < len(b); n += 1 + len(b)/97 {
		if err := drain(b[:n]); !errors.Is(err, ErrCorrupt) {
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
	img := open(t, build(t, Options{}, es...))
	for _, c := range []struct {
		budget int64
		ok     bool
	}{
		{32, false}, {1000, false}, {1010 + 32, false}, {1010 + 10*32, true},
	} {
		xs := &xattrReader{img: img, budget: c.budget}
		var err error
		for i := range 10 {
			if err == nil {
				_, err = xs.read(inodeFor(t, img, fmt.Sprint(i)))
			}
		}
		if c.ok && err != nil || !c.ok && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "overlaps")) {
			t.Errorf("budget of %d: %v", c.budget, err)
		}
	}
	src := img.Source().(*source)
	src.xs.budget = 1500
	if err := tree.Copy(context.Background(), tree.NewWriter(io.Discard, tree.WriterOptions{}), src); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("source: %v", err)
	}
}

// So do chunk maps.
func TestChunkMapBudget(t *testing.T) {
	const size = 8192 * 512
	es := []tree.Entry{sparse("a", size, []tree.Extent{{Off: 0, Len: 1}, {Off: 4096, Len: 1}})}
	b := build(t, Options{BlockSize: 512, UUID: new([16]byte)}, es...)
	src := open(t, b).Source().(*source)
	ino := inodeFor(t, src.img, "a")
	if chunk, unit := ino.chunks(512); src.metadata(ino) != size/chunk*unit || src.metadata(ino) < 8 {
		t.Errorf("a map of %d bytes is counted as %d", size/chunk*unit, src.metadata(ino))
	}
	src.xs.budget = 100 + src.metadata(ino) - 50
	if err := tree.Copy(context.Background(), tree.NewWriter(io.Discard, tree.WriterOptions{}), src); err == nil || !strings.Contains(err.Error(), "overlaps") {
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
		src := open(t, build(t, Options{}, es...)).Source().(*source)
		src.xs.budget = 128 << 10
		var names int
		var read tree.Entry
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", first.Path, err)
			}
			if e.Hardlink == "" {
				read = *e
				continue
			}
			names++
			want := read
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
	b := build(t, Options{UUID: new([16]byte)}, file("a/f", nil), file("b/f", nil))
	b[superOffset+8] &^= byte(compatChecksum)
	one, other := inodeAt(t, b, "a"), inodeAt(t, b, "b")
	copy(b[one.off:one.end()+one.size], b[other.off:other.end()+other.size])
	if err := drain(b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("have %v", err)
	}
}

func TestLookup(t *testing.T) {
	es := corpus()
	for i := range 3000 {
		es = append(es, file(fmt.Sprintf("huge/%d", i), nil))
	}
	img := open(t, build(t, Options{}, es...))
	for path, want := range list(t, img) {
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
		sparse("hole", 10000, []tree.Extent{}),
	}
	img := open(t, build(t, Options{}, es...))
	for i := range es {
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, &es[i]); err != nil {
			t.Fatal(err)
		}
		ino := inodeFor(t, img, es[i].Path)
		c, err := img.data(ino)
		if err != nil {
			t.Fatal(err)
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

func inodeFor(t *testing.T, img *Image, path string) *foundInode {
	t.Helper()
	root, err := img.readInode(uint64(img.super.RootNid))
	if err != nil {
		t.Fatal(err)
	}
	d, err := img.lookup(root, path)
	if err != nil {
		t.Fatal(err)
	}
	ino, err := img.readInode(d.nid)
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

// Long prefixes, as mkfs.erofs --xattr-prefix makes them.
func TestLongPrefixes(t *testing.T) {
	table := data("\x06\x00\x01long." + "\x08\x00\x04overlay" + "\x00\x00") // each padded to 4
	b := build(t, Options{Layer: true, UUID: new([16]byte)}, dir("."), file("table", table), xattrs(file("f", nil), "user.a", "value one"))
	b[superOffset+8] = 0
	b[superOffset+80] |= byte(incompatPrefixes)
	b[superOffset+91] = 2
	binary.LittleEndian.PutUint32(b[superOffset+92:], 4096/4)
	entry := bytes.Index(b, []byte("avalue one")) - xattrEntSize
	b[entry+1] = longPrefix | 0
	if e := list(t, open(t, b))["f"]; fmt.Sprint(e.Xattrs) != "[{user.long.a value one}]" {
		t.Errorf("xattrs %v", e.Xattrs)
	}
	b[entry+1] = longPrefix | 1
	if e := list(t, open(t, b))["f"]; fmt.Sprint(e.Xattrs) != "[{trusted.overlaya value one}]" {
		t.Errorf("xattrs %v", e.Xattrs)
	}
	for _, c := range []struct {
		name string
		off  int
		put  byte
		err  string
	}{
		{"no such prefix", entry + 1, longPrefix | 2, "xattr prefix 2 of 2"},
		{"empty prefix", 4096, 0, "prefix of 0 bytes"},
		{"long prefix", 4097, 2, "prefix of 518 bytes"},
		{"unknown short prefix", 4098, 9, "prefix index 9"},
		{"table beyond the end", superOffset + 95, 0x10, "beyond the end"},
	} {
		broken := bytes.Clone(b)
		broken[c.off] = c.put
		if err := drain(broken); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Since 6.15 the kernel takes a first block of all ones for a hole.
func TestFlatHole(t *testing.T) {
	whole := build(t, Options{Layer: true, UUID: new([16]byte)}, file("f", pattern(1, 5000)), with(file("g", pattern(2, 5000)), func(e *tree.Entry) { e.UID = 1 << 20 }))
	whole[superOffset+8] = 0
	for _, path := range []string{"f", "g"} {
		b := bytes.Clone(whole)
		ino := inodeAt(t, b, path)
		binary.LittleEndian.PutUint32(b[ino.off+16:], nullBlock)
		if ino.extended {
			if err := drain(b); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, high bits 0: %v", path, err)
			}
			binary.LittleEndian.PutUint16(b[ino.off+6:], 0xFFFF)
		}
		if e := list(t, open(t, b))[path]; e.Size != 5000 || e.Extents == nil || len(e.Extents) > 0 || e.Content != nil {
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
	b := build(t, Options{}, corpus()...)
	for _, off := range []int64{0, blockio.PageSize, 4 * blockio.PageSize} {
		img, err := Open(brokenReader{b, off}, int64(len(b)))
		if err == nil {
			err = tree.Copy(context.Background(), tree.NewWriter(io.Discard, tree.WriterOptions{}), img.Source())
		}
		if !errors.Is(err, errRead) || errors.Is(err, ErrCorrupt) {
			t.Errorf("broken at %d: %v", off, err)
		}
	}
}

// FuzzReader looks for images that make the reader fail in other ways than with an
// error, or take too long. What it accepts it must be able to write again.
func FuzzReader(f *testing.F) {
	seeds := [][]byte{
		goldenImage(f), victim(f),
		build(f, Options{BlockSize: 512, Layer: true, UUID: new([16]byte)}, layer()...),
		build(f, Options{BlockSize: 512, UUID: new([16]byte)}, xattrs(file("x/y", pattern(1, 600)), "user.a", "b"), sparse("s", 9000, []tree.Extent{{Off: 600, Len: 10}})),
	}
	for _, b := range seeds {
		b[superOffset+8] &^= byte(compatChecksum) // else every change only breaks the checksum
		if err := drain(b); err != nil {
			f.Fatalf("seed is not accepted: %v", err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if drain(b) != nil {
			return
		}
		img := open(t, b)
		reftest.Partly(t, false, func() (reftest.Next, error) { return partly(img.Source()), nil })
		again := &image{}
		w, err := NewWriter(again, Options{Layer: true, BlockSize: 512, Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(context.Background(), w, img.Source()); err != nil {
			if strings.Contains(err.Error(), "check: ") {
				t.Fatal(err)
			}
			return // something that the format has and this writer refuses
		}
		var first, second bytes.Buffer
		opts := tree.WriterOptions{Data: tree.None}
		if err := tree.Copy(context.Background(), tree.NewWriter(&first, opts), img.Source()); err != nil {
			return // more than a line of the stream holds
		}
		if err := tree.Copy(context.Background(), tree.NewWriter(&second, opts), open(t, again.b).Source()); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() && !bytes.Contains(first.Bytes(), []byte("nlink")) && !bytes.Contains(first.Bytes(), []byte("ocipipe")) && !bytes.Contains(first.Bytes(), []byte("overlay")) {
			t.Fatal(firstDifference(first.String(), second.String()))
		}
	})
}

// partly shows the entries of src, and their contents.
func partly(src tree.Source) reftest.Next {
	return func() (string, io.WriterTo, error) {
		e, err := src.Next()
		if err != nil {
			return "", nil, err
		}
		shown := *e
		shown.Content = nil
		return fmt.Sprintf("%+v", shown), e.Content, nil
	}
}

// mkfs.erofs 1.9.3 gives inodes that lie before the metadata's base a number of 59 bits
// that wraps around 2^64 when it is scaled, and the kernel finds them. Of a number with
// more bits the kernel takes the last for a flag (EUCLEAN).
func TestInodeBeforeBase(t *testing.T) {
	b := build(t, Options{}, dir("."), file("a", pattern(1, 10)))
	img, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	root := uint64(img.super.RootNid)
	want, err := img.readInode(root)
	if err != nil {
		t.Fatal(err)
	}
	img.super.MetaBlock = 7
	before := root - 7*uint64(img.bs)/slotSize // modulo 2^64
	got, err := img.readInode(before % (1 << 59))
	if err != nil || got.off != want.off || got.mode != want.mode {
		t.Errorf("inode before the base: %+v, %v; want %+v", got, err, want)
	}
	for _, nid := range []uint64{before, before % (1 << 63), 1 << 62, 1 << 59, 1<<59 | root, 1<<63 | root, 1<<59 - 7*4096/slotSize - 1, 1 << 58} {
		if _, err := img.readInode(nid); !errors.Is(err, ErrCorrupt) {
			t.Errorf("inode %#x: %v", nid, err)
		}
	}
}
