package ext4

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// drain reads everything in an image.
func drain(r io.ReaderAt, size int64) error {
	img, err := Open(r, size)
	if err != nil {
		return err
	}
	src := tree.Limit(img.Source(), tree.Limits{TotalSize: 64 << 20, FileSize: 1 << 44, Entries: 1 << 20})
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

// victim is a small image for tests that break it.
func victim(t testing.TB, features Features) *memory {
	t.Helper()
	none := int64(0)
	big := sparseFile("big", 1<<20, tree.Extent{Off: 4096, Len: 5000}, tree.Extent{Off: 40960, Len: 1}, tree.Extent{Off: 81920, Len: 1},
		tree.Extent{Off: 122880, Len: 1}, tree.Extent{Off: 1<<20 - 1, Len: 1})
	big.Xattrs = []tree.Xattr{{Name: "user.large", Value: strings.Repeat("v", 2000)}}
	m := &memory{}
	err := writeTo(m, Options{Size: 4 << 20, Inodes: 32, Journal: &none, Features: features, Check: true}, []*tree.Entry{
		big, file("file", pattern(1, 100)),
		{Path: "hard", Type: tree.File, Mode: 0o644, Hardlink: "file"},
		{Path: "link", Type: tree.Link, Link: "target"},
		{Path: "longlink", Type: tree.Link, Link: strings.Repeat("l", 100)},
		{Path: "sub", Type: tree.Dir}, {Path: "sub/dir", Type: tree.Dir}, file("sub/one", nil), file("sub/two", nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(m, m.size); err != nil {
		t.Fatal(err)
	}
	return m
}

// noSums is an image without checksums, so that every change counts for itself.
func noSums(t testing.TB) Features {
	t.Helper()
	f, err := ParseFeatures("^metadata_csum")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (m *memory) find(t testing.TB, path string) *foundInode {
	t.Helper()
	img, err := Open(m, m.size)
	if err != nil {
		t.Fatal(err)
	}
	ino, _, err := img.lookup(path)
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

// dataAt is where the first extent of an inode lies.
func dataAt(ino *foundInode) int64 {
	var x extentLeaf
	x.decode(ino.Block[extentHeadSize:])
	return int64(x.Physical) * blockSize
}

// What checksums would tell is told without them, with the place.
func TestHostile(t *testing.T) {
	v := victim(t, noSums(t))
	at := func(path string) *foundInode { return v.find(t, path) }
	var (
		le   = binary.LittleEndian
		u16  = func(v uint16) []byte { return le.AppendUint16(nil, v) }
		u32  = func(v uint32) []byte { return le.AppendUint32(nil, v) }
		desc = int64(blockSize)
		big  = at("big")
		sub  = at("sub")
		one  = at("sub/one")
		node extentIndex
	)
	node.decode(big.Block[extentHeadSize:])
	tree1, acl, names := int64(node.Child)*blockSize, int64(big.FileACL)*blockSize, dataAt(sub)
	block := func(off int64) int64 { return blockOffset + off }
	for _, c := range []struct {
		name string
		off  int64
		put  []byte
		kind error
		err  string
	}{
		{"magic", superOffset + 0x38, u16(1), ErrCorrupt, "no ext4 superblock"},
		{"revision", superOffset + 0x4C, u32(0), ErrUnsupported, "revision 0"},
		{"small blocks", superOffset + 0x18, u32(0), ErrUnsupported, "blocks of 1024 bytes"},
		{"large blocks", superOffset + 0x18, u32(1 << 31), ErrCorrupt, "block size"},
		{"clusters", superOffset + 0x1C, u32(3), ErrCorrupt, "clusters"},
		{"first block", superOffset + 0x14, u32(1), ErrCorrupt, "first data block"},
		{"no blocks in a group", superOffset + 0x20, make([]byte, 8), ErrCorrupt, "0 blocks in a group"},
		{"no inodes in a group", superOffset + 0x28, u32(0), ErrCorrupt, "0 inodes in a group"},
		{"many inodes in a group", superOffset + 0x28, u32(1 << 30), ErrCorrupt, "inodes in a group"},
		{"many inodes", superOffset, u32(1<<32 - 1), ErrCorrupt, "inodes in 1 groups"},
		{"tiny inodes", superOffset + 0x58, u16(64), ErrCorrupt, "inodes of 64 bytes"},
		{"odd inodes", superOffset + 0x58, u16(300), ErrCorrupt, "inodes of 300 bytes"},
		{"huge descriptors", superOffset + 0xFE, u16(4096), ErrCorrupt, "group descriptors of 4096"},
		{"more blocks than there are", superOffset + 0x150, u32(1), ErrCorrupt, "cut short"},
		{"2^64 blocks", superOffset + 0x150, u32(1<<32 - 1), ErrCorrupt, "cut short"},
		{"first inode", superOffset + 0x54, u32(1 << 20), ErrCorrupt, "first inode"},
		{"recovery", superOffset + 0x60, u32(uint32(incompatFiletype | incompatExtents | incompatRecover)), ErrUnsupported, "journal has to be replayed"},
		{"inline data", superOffset + 0x60, u32(uint32(incompatInlineData | incompatCasefold)), ErrUnsupported, "inline_data, casefold"},
		{"journal device", superOffset + 0x60, u32(uint32(incompatJournalDev)), ErrUnsupported, "no file system"},
		{"unknown feature", superOffset + 0x60, u32(1 << 30), ErrUnsupported, "feature 0x40000000"},
		{"bigalloc", superOffset + 0x64, u32(uint32(roCompatBigalloc)), ErrUnsupported, "bigalloc"},
		{"not unmounted", superOffset + 0x3A, u16(0), ErrUnsupported, "not unmounted"},
		{"damaged", superOffset + 0x3A, u16(3), ErrUnsupported, "damaged"},

		{"place of the table", desc + 8, u32(1 << 30), ErrCorrupt, "bitmaps and table"},
		{"table's end", desc + 8, u32(1023), ErrCorrupt, "bitmaps and table"},
		{"root", at(".").off, u16(0o100644), ErrCorrupt, "root is no directory"},

		{"mode", big.off, u16(0o644), ErrCorrupt, "big: byte"},
		{"links", big.off + 0x1A, u16(0), ErrCorrupt, "not in use"},
		{"more links", big.off + 0x1A, u16(2), ErrCorrupt, "1 names, counts 2"},
		{"fewer links", at("file").off + 0x1A, u16(1), ErrCorrupt, "hard: byte"},
		{"extra size", big.off + 0x80, u16(1000), ErrCorrupt, "1000 extra bytes"},
		{"nanoseconds", big.off + 0x88, u32(1<<32 - 1), ErrCorrupt, "nanoseconds"},
		{"encrypted", big.off + 0x20, u32(uint32(flagExtents | flagEncrypt)), ErrUnsupported, "encrypted"},
		{"block map", big.off + 0x20, u32(0), ErrUnsupported, "block map"},
		{"huge size", big.off + 0x6C, u32(1 << 31), ErrCorrupt, "bytes"},
		{"size beyond the format", big.off + 0x6C, u32(1 << 20), ErrCorrupt, "bytes"},
		{"short", big.off + 4, u32(5000), ErrCorrupt, "data up to block 3 of a file of 2"},

		{"extent magic", big.off + block(0), u16(0), ErrCorrupt, "magic number"},
		{"extent entries", big.off + block(2), u16(5), ErrCorrupt, "5 of 4 entries"},
		{"extent depth", big.off + block(6), u16(6), ErrCorrupt, "depth 6"},
		{"extent node", big.off + block(16), u32(1 << 29), ErrCorrupt, "blocks 536870912 to"},
		{"extent node 0", big.off + block(16), u32(0), ErrCorrupt, "blocks 0 to"},
		{"extent node in a loop", tree1 + 6, u16(1), ErrCorrupt, "depth 1 where 0"},
		{"extent", tree1 + 20, u32(1 << 29), ErrCorrupt, "big: "},
		{"extents overlap", tree1 + 24, u32(1), ErrCorrupt, "big: "},
		{"two extents of one block", tree1 + 32, v.page(tree1 / blockSize)[20:24], ErrCorrupt, "more than one file"},
		{"extents of a directory", tree1 + 20, u32(uint32(names / blockSize)), ErrCorrupt, "more than one file"},

		{"empty link", at("link").off + 4, u32(0), ErrCorrupt, "link target of 0"},
		{"long link", at("link").off + 4, u32(50), ErrCorrupt, "link target of 50"},
		{"zero in a link", at("link").off + block(2), u16(0), ErrCorrupt, "link target of 6"},
		{"longer than links are", at("longlink").off + 4, u32(4096), ErrCorrupt, "link target of 4096"},
		{"zero in a long link", dataAt(at("longlink")) + 5, u16(0), ErrCorrupt, "link target of 100"},

		{"entry of length 0", names + 4, u16(0), ErrCorrupt, "sub: "},
		{"entry of odd length", names + 2*dotSize + 4, u16(13), ErrCorrupt, "directory entry"},
		{"entry beyond the block", names + 2*dotSize + 4, u16(60000), ErrCorrupt, "directory entry"},
		{"name beyond the entry", names + 2*dotSize + 6, []byte{255}, ErrCorrupt, "directory entry"},
		{"no dot", names + 8, []byte("x"), ErrCorrupt, "begin with itself"},
		{"wrong dots", names + dotSize, u32(one.number), ErrCorrupt, "begin with itself"},
		{"slash", names + 2*dotSize + 9, []byte("/"), ErrCorrupt, "directory entry"},
		{"zero in a name", names + 2*dotSize + 9, []byte{0}, ErrCorrupt, "directory entry"},
		{"name twice", names + 3*dotSize + 8, []byte("dir"), ErrCorrupt, "twice"},
		{"a second dot", names + 2*dotSize + 6, []byte{1, kindDir, '.'}, ErrCorrupt, `"." twice`},
		{"cycle", names + 2*dotSize, u32(sub.number), ErrCorrupt, "sub/dir: "},
		{"cycle to the root", names + 2*dotSize, u32(rootIno), ErrCorrupt, "sub/dir: "},
		{"two parents", names + 3*dotSize, u32(at("sub/dir").number), ErrCorrupt, "sub/one: "},
		{"special inode", names + 3*dotSize, u32(resizeIno), ErrCorrupt, "inode 7, which has no name"},
		{"inode beyond the end", names + 3*dotSize, u32(1 << 31), ErrCorrupt, "sub/one: "},
		{"inode not in use", names + 3*dotSize, u32(31), ErrCorrupt, "not in use"},
		{"kind", names + 3*dotSize + 7, []byte{kindChar}, ErrCorrupt, "its name says 3"},
		{"no kind", names + 3*dotSize + 7, []byte{0}, nil, ""},
		{"kind of a directory", names + 2*dotSize + 7, []byte{kindFile}, ErrCorrupt, "has 2 links"},
		{"size of a directory", sub.off + 4, u32(4000), ErrCorrupt, "4000 bytes"},
		{"empty directory", sub.off + 4, u32(0), ErrCorrupt, "sub: "},
		{"huge directory", sub.off + 4, u32(1 << 31), ErrCorrupt, "or holes"},
		{"links of a directory", sub.off + 0x1A, u16(7), ErrCorrupt, "has 3 links, counts 7"},
		{"directory with too many to count", sub.off + 0x1A, u16(1), nil, ""},

		{"place of xattrs", big.off + 0x68, u32(1 << 30), ErrCorrupt, "block 1073741824 of"},
		{"xattrs of another block", big.off + 0x68, u32(uint32(names / blockSize)), ErrCorrupt, "magic number"},
		{"xattr value", acl + xattrHeadSize + 2, u16(4000), ErrCorrupt, "xattr at byte"},
		{"xattr length", acl + xattrHeadSize + 8, u32(1 << 31), ErrCorrupt, "xattr at byte"},
		{"xattr name", acl + xattrHeadSize, []byte{255}, ErrCorrupt, "xattr"},
		{"xattr in an inode", acl + xattrHeadSize + 4, u32(12), ErrUnsupported, "in inode 12"},
	} {
		b := &memory{pages: make(map[int64][]byte), size: v.size}
		for n, page := range v.pages {
			b.pages[n] = bytes.Clone(page)
		}
		b.WriteAt(c.put, c.off)
		err := drain(b, b.size)
		if c.kind == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "byte ") && !strings.Contains(err.Error(), "inode ") {
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || c.kind == ErrCorrupt {
				t.Errorf("%s: %v, expected %q", c.name, err, c.err)
			}
		}
	}
}

// However an image is cut short, that is an error.
func TestTruncated(t *testing.T) {
	m := victim(t, 0)
	for n := int64(0); n < m.size; n += 1 + m.size/97 {
		if err := drain(m, n); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, m.size, err)
		}
	}
}

// The hint says what to do about a file system that was not unmounted.
func TestDirtyHint(t *testing.T) {
	m := victim(t, noSums(t))
	m.page(0)[superOffset+0x3A] = 0
	_, err := Open(m, m.size)
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "e2fsck") {
		t.Errorf("have %v", err)
	}
}

var errRead = errors.New("disk is broken")

// brokenReader fails from some offset on.
type brokenReader struct {
	io.ReaderAt
	off int64
}

func (r brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.off {
		return 0, errRead
	}
	return r.ReaderAt.ReadAt(p, off)
}

func TestReadError(t *testing.T) {
	m := written(t, smallRoot())
	for off := int64(0); off < 9<<20; off += 1 << 20 {
		if err := drain(brokenReader{m, off}, m.size); !errors.Is(err, errRead) || errors.Is(err, ErrCorrupt) {
			t.Errorf("broken at %d: %v", off, err)
		}
	}
}

// What a huge sparse image claims takes no memory.
func TestReadMemory(t *testing.T) {
	m := &memory{}
	if err := writeTo(m, Options{Upper: true, Size: 8 << 40}, nil); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := drain(m, m.size); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestClaims(t *testing.T) {
	var c claims
	for i := range uint64(20000) {
		n := (i*7919 + 1) % 20011
		if err := c.add(1+2*n, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.settle(); err != nil || len(c.sorted) != 20000 {
		t.Errorf("%d runs, %v", len(c.sorted), err)
	}
	for _, twice := range []claim{{1, 2}, {0, 2}, {1, 5}, {0, 100000}, {40001, 40002}} {
		d := claims{sorted: c.sorted}
		err := d.add(twice.first, twice.end-twice.first)
		if err == nil {
			err = d.settle()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v again: %v", twice, err)
		}
	}
	c = claims{}
	for _, x := range []claim{{5, 7}, {7, 9}, {0, 5}, {20, 30}} {
		if err := c.add(x.first, x.end-x.first); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.settle(); err != nil || fmt.Sprint(c.sorted) != "[{0 9} {20 30}]" {
		t.Errorf("%v, %v", c.sorted, err)
	}
}

// packed is the parts of an image that are not zero, for the fuzzer: the number of
// blocks, then each with its number before it.
func packed(m *memory) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(m.size/blockSize))
	for n := range m.size / blockSize {
		if page := m.pages[n]; len(bytes.Trim(page, "\x00")) > 0 {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(n)), page...)
		}
	}
	return b
}

func unpacked(b []byte) *memory {
	m := &memory{pages: make(map[int64][]byte)}
	if len(b) < 2 {
		return m
	}
	m.size = int64(binary.LittleEndian.Uint16(b)) * blockSize
	for b = b[2:]; len(b) > 2; {
		n := int64(binary.LittleEndian.Uint16(b))
		b = b[2:]
		page := make([]byte, blockSize)
		b = b[copy(page, b):]
		m.pages[n] = page
	}
	return m
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

// FuzzReader looks for images that make the reader fail in other ways than with an
// error, or take too long. What it accepts it must be able to write again, and
// what audit accepts it must be able to read.
func FuzzReader(f *testing.F) {
	var seeds []*memory
	for _, list := range []string{"^resize_inode", "^resize_inode,^metadata_csum", "^resize_inode,^metadata_csum,^64bit,^dir_index"} {
		features, err := ParseFeatures(list)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, victim(f, features))
	}
	for _, m := range append(seeds, reference(f)) {
		seed := packed(m)
		if again := unpacked(seed); drain(again, again.size) != nil {
			f.Fatalf("seed is not accepted: %v", drain(again, again.size))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := unpacked(b)
		read := drain(m, m.size)
		img, err := Open(m, m.size)
		if err != nil {
			return
		}
		if err := img.audit(false, nil); err == nil && read != nil && errors.Is(read, ErrCorrupt) {
			t.Fatalf("audited, but cannot be read: %v", read)
		}
		if read != nil {
			return
		}
		reftest.Partly(t, false, func() (reftest.Next, error) { return partly(img.Source()), nil })
		again := &memory{}
		w, err := NewWriter(again, Options{Upper: true, Size: MinUpper, Features: resizeInode, Journal: new(int64), Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(context.Background(), w, img.Source()); err != nil {
			if strings.Contains(err.Error(), "check: ") {
				t.Fatal(err)
			}
			return // something that the format has and this writer refuses
		}
		second, err := Open(again, again.size)
		if err != nil {
			t.Fatal(err)
		}
		below, err := second.Subtree("upper")
		if err != nil {
			t.Fatal(err)
		}
		var want, have bytes.Buffer
		opts := tree.WriterOptions{Data: tree.None} // no digests: holes may be long
		if err := tree.Copy(context.Background(), tree.NewWriter(&want, opts), img.Source()); err != nil {
			return // more than a line of the stream holds
		}
		if err := tree.Copy(context.Background(), tree.NewWriter(&have, opts), below); err != nil {
			t.Fatal(err)
		}
		if want.String() != have.String() && !bytes.Contains(want.Bytes(), []byte("ocipipe")) {
			t.Fatalf("read\n%s\nand, written again,\n%s", want.String(), have.String())
		}
	})
}

// A directory that has one block over and over is not read over and over.
func TestRepeatedDirectoryBlock(t *testing.T) {
	for _, source := range []bool{true, false} {
		m := victim(t, noSums(t))
		ino := m.find(t, "sub")
		(&extentHead{Magic: extentMagic, Entries: 2, Max: extentRootMax}).encode(ino.Block[:])
		(&extentLeaf{1, 1, uint64(dataAt(ino) / blockSize)}).encode(ino.Block[extentHeadSize+extentSize:])
		ino.Size = 2 * blockSize
		ino.encode(ino.raw)
		m.WriteAt(ino.raw, ino.off)
		err := drain(m, m.size)
		if !source {
			img, _ := Open(m, m.size)
			_, err = img.Lookup("sub/one")
		}
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "more than one file") {
			t.Errorf("have %v", err)
		}
	}
}
