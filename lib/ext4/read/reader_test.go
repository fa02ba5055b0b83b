package read_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/audit"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// makeImage writes a file system of entries to m.
func makeImage(m *ext4test.Memory, opts ext4.Options, entries []*tree.Entry) error {
	w, err := ext4.NewWriter(context.Background(), m, opts)
	if err != nil {
		return err
	}
	return ext4test.Write(w, entries)
}

// corpusImage is a file system of the corpus.
func corpusImage(t testing.TB) *ext4test.Memory {
	t.Helper()
	m := new(ext4test.Memory)
	if err := makeImage(m, ext4.Options{Size: 32 << 20, Check: true}, ext4test.Corpus()); err != nil {
		t.Fatal(err)
	}
	return m
}

// victim is a small image for tests that break it.
func victim(t testing.TB, features ext4.Features) *ext4test.Memory {
	t.Helper()
	none := int64(0)
	big := ext4test.SparseFile("big", 1<<20, tree.Extent{Off: 4096, Len: 5000}, tree.Extent{Off: 40960, Len: 1}, tree.Extent{Off: 81920, Len: 1},
		tree.Extent{Off: 122880, Len: 1}, tree.Extent{Off: 1<<20 - 1, Len: 1})
	big.Xattrs = []tree.Xattr{{Name: "user.large", Value: strings.Repeat("v", 2000)}}
	m := &ext4test.Memory{}
	err := makeImage(m, ext4.Options{Size: 4 << 20, Inodes: 32, Journal: &none, Features: features, Check: true}, []*tree.Entry{
		big, ext4test.File("file", ext4test.Pattern(1, 100)),
		{Path: "hard", Type: tree.File, Mode: 0o644, Hardlink: "file"},
		{Path: "link", Type: tree.Link, Link: "target"},
		{Path: "longlink", Type: tree.Link, Link: strings.Repeat("l", 100)},
		{Path: "sub", Type: tree.Dir}, {Path: "sub/dir", Type: tree.Dir}, ext4test.File("sub/one", nil), ext4test.File("sub/two", nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := probetest.Drain(m, m.Size); err != nil {
		t.Fatal(err)
	}
	return m
}

// noSums is an image without checksums, so that every change counts for itself.
func noSums(t testing.TB) ext4.Features {
	t.Helper()
	f, err := ext4.ParseFeatures("^metadata_csum")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// dataAt is where the first extent of an inode lies.
func dataAt(ino *volume.Inode) int64 {
	var x disk.ExtentLeaf
	x.Decode(ino.Block[disk.ExtentHeadSize:])
	return int64(x.Physical) * disk.BlockSize
}

// What checksums would tell is told without them, with the place.
func TestHostile(t *testing.T) {
	v := victim(t, noSums(t))
	at := func(path string) *volume.Inode { return probetest.InodeIn(t, v, path) }
	var (
		le   = binary.LittleEndian
		u16  = func(v uint16) []byte { return le.AppendUint16(nil, v) }
		u32  = func(v uint32) []byte { return le.AppendUint32(nil, v) }
		desc = int64(disk.BlockSize)
		big  = at("big")
		sub  = at("sub")
		one  = at("sub/one")
		node disk.ExtentIndex
	)
	node.Decode(big.Block[disk.ExtentHeadSize:])
	tree1, acl, names := int64(node.Child)*disk.BlockSize, int64(big.FileACL)*disk.BlockSize, dataAt(sub)
	block := func(off int64) int64 { return disk.BlockOffset + off }
	for _, c := range []struct {
		name string
		off  int64
		put  []byte
		kind error
		err  string
	}{
		{"magic", disk.SuperOffset + 0x38, u16(1), disk.ErrCorrupt, "no ext4 superblock"},
		{"revision", disk.SuperOffset + 0x4C, u32(2), disk.ErrUnsupported, "revision 2"},
		{"small blocks", disk.SuperOffset + 0x18, u32(0), disk.ErrCorrupt, "clusters of 2^12 bytes"},
		{"large blocks", disk.SuperOffset + 0x18, u32(1 << 31), disk.ErrCorrupt, "block size"},
		{"clusters", disk.SuperOffset + 0x1C, u32(3), disk.ErrCorrupt, "clusters"},
		{"first block", disk.SuperOffset + 0x14, u32(1), disk.ErrCorrupt, "first data block"},
		{"no blocks in a group", disk.SuperOffset + 0x20, make([]byte, 8), disk.ErrCorrupt, "0 blocks in a group"},
		{"no inodes in a group", disk.SuperOffset + 0x28, u32(0), disk.ErrCorrupt, "0 inodes in a group"},
		{"many inodes in a group", disk.SuperOffset + 0x28, u32(1 << 30), disk.ErrCorrupt, "inodes in a group"},
		{"many inodes", disk.SuperOffset, u32(1<<32 - 1), disk.ErrCorrupt, "inodes in 1 groups"},
		{"tiny inodes", disk.SuperOffset + 0x58, u16(64), disk.ErrCorrupt, "inodes of 64 bytes"},
		{"odd inodes", disk.SuperOffset + 0x58, u16(300), disk.ErrCorrupt, "inodes of 300 bytes"},
		{"huge descriptors", disk.SuperOffset + 0xFE, u16(4096), disk.ErrCorrupt, "group descriptors of 4096"},
		{"more blocks than there are", disk.SuperOffset + 0x150, u32(1), disk.ErrCorrupt, "cut short"},
		{"2^64 blocks", disk.SuperOffset + 0x150, u32(1<<32 - 1), disk.ErrCorrupt, "cut short"},
		{"first inode", disk.SuperOffset + 0x54, u32(1 << 20), disk.ErrCorrupt, "first inode"},
		{"recovery", disk.SuperOffset + 0x60, u32(uint32(disk.IncompatFiletype | disk.IncompatExtents | disk.IncompatRecover)), disk.ErrUnsupported, "journal has to be replayed"},
		{"directory data", disk.SuperOffset + 0x60, u32(0x1001), disk.ErrUnsupported, "compression, dirdata"},
		{"journal device", disk.SuperOffset + 0x60, u32(uint32(disk.IncompatJournalDev)), disk.ErrUnsupported, "no file system"},
		{"unknown feature", disk.SuperOffset + 0x60, u32(1 << 30), disk.ErrUnsupported, "feature 0x40000000"},
		{"shared blocks", disk.SuperOffset + 0x64, u32(uint32(disk.RoCompatSharedBlocks)), disk.ErrUnsupported, "shared_blocks"},
		{"not unmounted", disk.SuperOffset + 0x3A, u16(0), disk.ErrUnsupported, "not unmounted"},
		{"damaged", disk.SuperOffset + 0x3A, u16(3), disk.ErrUnsupported, "damaged"},

		{"place of the table", desc + 8, u32(1 << 30), disk.ErrCorrupt, "bitmaps and table"},
		{"table's end", desc + 8, u32(1023), disk.ErrCorrupt, "bitmaps and table"},
		{"root", at(".").Off, u16(0o100644), disk.ErrCorrupt, "root is no directory"},

		{"mode", big.Off, u16(0o644), disk.ErrCorrupt, "big: byte"},
		{"links", big.Off + 0x1A, u16(0), disk.ErrCorrupt, "not in use"},
		{"more links", big.Off + 0x1A, u16(2), disk.ErrCorrupt, "1 names, counts 2"},
		{"fewer links", at("file").Off + 0x1A, u16(1), disk.ErrCorrupt, "hard: byte"},
		{"extra size", big.Off + 0x80, u16(1000), disk.ErrCorrupt, "1000 extra bytes"},
		{"nanoseconds", big.Off + 0x88, u32(1<<32 - 1), disk.ErrCorrupt, "nanoseconds"},
		{"encrypted", big.Off + 0x20, u32(uint32(disk.FlagExtents | disk.FlagEncrypt)), disk.ErrUnsupported, "encrypted"},
		{"casefold", sub.Off + 0x20, u32(uint32(disk.FlagExtents | disk.FlagCasefold)), disk.ErrUnsupported, "ignores the case"},
		{"inline data", big.Off + 0x20, u32(uint32(disk.FlagInlineData)), disk.ErrCorrupt, "without the feature"},
		{"block map", big.Off + 0x20, u32(0), disk.ErrCorrupt, "big: inode 12 at byte"},
		{"huge size", big.Off + 0x6C, u32(1 << 31), disk.ErrCorrupt, "bytes"},
		{"size beyond the format", big.Off + 0x6C, u32(1 << 20), disk.ErrCorrupt, "bytes"},
		{"short", big.Off + 4, u32(5000), disk.ErrCorrupt, "data up to block 3 of a file of 2"},

		{"extent magic", big.Off + block(0), u16(0), disk.ErrCorrupt, "magic number"},
		{"extent entries", big.Off + block(2), u16(5), disk.ErrCorrupt, "5 of 4 entries"},
		{"extent depth", big.Off + block(6), u16(6), disk.ErrCorrupt, "depth 6"},
		{"extent node", big.Off + block(16), u32(1 << 29), disk.ErrCorrupt, "blocks 536870912 to"},
		{"extent node 0", big.Off + block(16), u32(0), disk.ErrCorrupt, "blocks 0 to"},
		{"extent node in a loop", tree1 + 6, u16(1), disk.ErrCorrupt, "depth 1 where 0"},
		{"extent", tree1 + 20, u32(1 << 29), disk.ErrCorrupt, "big: "},
		{"extents overlap", tree1 + 24, u32(1), disk.ErrCorrupt, "big: "},
		{"two extents of one block", tree1 + 32, v.Page(tree1 / disk.BlockSize)[20:24], disk.ErrCorrupt, "more than one file"},
		{"extents of a directory", tree1 + 20, u32(uint32(names / disk.BlockSize)), disk.ErrCorrupt, "more than one file"},

		{"empty link", at("link").Off + 4, u32(0), disk.ErrCorrupt, "link target of 0"},
		{"long link", at("link").Off + 4, u32(50), disk.ErrCorrupt, "link target of 50"},
		{"zero in a link", at("link").Off + block(2), u16(0), disk.ErrCorrupt, "link target of 6"},
		{"longer than links are", at("longlink").Off + 4, u32(4096), disk.ErrCorrupt, "link target of 4096"},
		{"zero in a long link", dataAt(at("longlink")) + 5, u16(0), disk.ErrCorrupt, "link target of 100"},

		{"entry of length 0", names + 4, u16(0), disk.ErrCorrupt, "sub: "},
		{"entry of odd length", names + 2*disk.DotSize + 4, u16(13), disk.ErrCorrupt, "directory entry"},
		{"entry beyond the block", names + 2*disk.DotSize + 4, u16(60000), disk.ErrCorrupt, "directory entry"},
		{"name beyond the entry", names + 2*disk.DotSize + 6, []byte{255}, disk.ErrCorrupt, "directory entry"},
		{"no dot", names + 8, []byte("x"), disk.ErrCorrupt, "begin with itself"},
		{"wrong dots", names + disk.DotSize, u32(one.Number), disk.ErrCorrupt, "begin with itself"},
		{"slash", names + 2*disk.DotSize + 9, []byte("/"), disk.ErrCorrupt, "directory entry"},
		{"zero in a name", names + 2*disk.DotSize + 9, []byte{0}, disk.ErrCorrupt, "directory entry"},
		{"name twice", names + 3*disk.DotSize + 8, []byte("dir"), disk.ErrCorrupt, "twice"},
		{"a second dot", names + 2*disk.DotSize + 6, []byte{1, disk.KindDir, '.'}, disk.ErrCorrupt, `"." twice`},
		{"cycle", names + 2*disk.DotSize, u32(sub.Number), disk.ErrCorrupt, "sub/dir: "},
		{"cycle to the root", names + 2*disk.DotSize, u32(disk.RootIno), disk.ErrCorrupt, "sub/dir: "},
		{"two parents", names + 3*disk.DotSize, u32(at("sub/dir").Number), disk.ErrCorrupt, "sub/one: "},
		{"special inode", names + 3*disk.DotSize, u32(disk.ResizeIno), disk.ErrCorrupt, "inode 7, which has no name"},
		{"inode beyond the end", names + 3*disk.DotSize, u32(1 << 31), disk.ErrCorrupt, "sub/one: "},
		{"inode not in use", names + 3*disk.DotSize, u32(31), disk.ErrCorrupt, "not in use"},
		{"kind", names + 3*disk.DotSize + 7, []byte{disk.KindChar}, disk.ErrCorrupt, "its name says 3"},
		{"no kind", names + 3*disk.DotSize + 7, []byte{0}, nil, ""},
		{"kind of a directory", names + 2*disk.DotSize + 7, []byte{disk.KindFile}, disk.ErrCorrupt, "has 2 links"},
		{"size of a directory", sub.Off + 4, u32(4000), disk.ErrCorrupt, "4000 bytes"},
		{"empty directory", sub.Off + 4, u32(0), disk.ErrCorrupt, "sub: "},
		{"huge directory", sub.Off + 4, u32(1 << 31), disk.ErrCorrupt, "or holes"},
		{"links of a directory", sub.Off + 0x1A, u16(7), disk.ErrCorrupt, "has 3 links, counts 7"},
		{"directory with too many to count", sub.Off + 0x1A, u16(1), nil, ""},

		{"place of xattrs", big.Off + 0x68, u32(1 << 30), disk.ErrCorrupt, "block 1073741824 of"},
		{"xattrs of another block", big.Off + 0x68, u32(uint32(names / disk.BlockSize)), disk.ErrCorrupt, "magic number"},
		{"xattr value", acl + disk.XattrHeadSize + 2, u16(4000), disk.ErrCorrupt, "xattr at byte"},
		{"xattr length", acl + disk.XattrHeadSize + 8, u32(1 << 31), disk.ErrCorrupt, "xattr at byte"},
		{"xattr name", acl + disk.XattrHeadSize, []byte{255}, disk.ErrCorrupt, "xattr"},
		{"xattr in an inode", acl + disk.XattrHeadSize + 4, u32(12), disk.ErrUnsupported, "in inode 12"},
	} {
		b := &ext4test.Memory{Pages: make(map[int64][]byte), Size: v.Size}
		for n, page := range v.Pages {
			b.Pages[n] = bytes.Clone(page)
		}
		b.WriteAt(c.put, c.off)
		err := probetest.Drain(b, b.Size)
		if c.kind == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "byte ") && !strings.Contains(err.Error(), "inode ") {
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || c.kind == disk.ErrCorrupt {
				t.Errorf("%s: %v, expected %q", c.name, err, c.err)
			}
		}
	}
}

// However an image is cut short, that is an error.
func TestTruncated(t *testing.T) {
	m := victim(t, 0)
	for n := int64(0); n < m.Size; n += 1 + m.Size/97 {
		if err := probetest.Drain(m, n); !errors.Is(err, disk.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, m.Size, err)
		}
	}
}

// A file system that was not unmounted is an error of its own.
func TestDirty(t *testing.T) {
	m := victim(t, noSums(t))
	m.Page(0)[disk.SuperOffset+0x3A] = 0
	_, err := read.Open(m, m.Size)
	var dirty *volume.DirtyError
	if !errors.As(err, &dirty) || dirty.Problem != "it was not unmounted" {
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
	m := corpusImage(t)
	for off := int64(0); off < 9<<20; off += 1 << 20 {
		if err := probetest.Drain(brokenReader{m, off}, m.Size); !errors.Is(err, errRead) || errors.Is(err, disk.ErrCorrupt) {
			t.Errorf("broken at %d: %v", off, err)
		}
	}
}

// What a huge sparse image claims takes no memory.
func TestReadMemory(t *testing.T) {
	m := &ext4test.Memory{}
	if err := makeImage(m, ext4.Options{Upper: true, Size: 8 << 40}, nil); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := probetest.Drain(m, m.Size); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// packed is the parts of an image that are not zero, for the fuzzer: the number of
// blocks, then each with its number before it.
func packed(m *ext4test.Memory) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(m.Size/disk.BlockSize))
	for n := range m.Size / disk.BlockSize {
		if page := m.Pages[n]; len(bytes.Trim(page, "\x00")) > 0 {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(n)), page...)
		}
	}
	return b
}

func unpacked(b []byte) *ext4test.Memory {
	m := &ext4test.Memory{Pages: make(map[int64][]byte)}
	if len(b) < 2 {
		return m
	}
	m.Size = int64(binary.LittleEndian.Uint16(b)) * disk.BlockSize
	for b = b[2:]; len(b) > 2; {
		n := int64(binary.LittleEndian.Uint16(b))
		b = b[2:]
		page := make([]byte, disk.BlockSize)
		b = b[copy(page, b):]
		m.Pages[n] = page
	}
	return m
}

// FuzzReader looks for images that make the reader fail in other ways than with an
// error, or take too long. What it accepts it must be able to write again, and
// what audit accepts it must be able to read.
func FuzzReader(f *testing.F) {
	var seeds []*ext4test.Memory
	for _, list := range []string{"^resize_inode", "^resize_inode,^metadata_csum", "^resize_inode,^metadata_csum,^64bit,^dir_index"} {
		features, err := ext4.ParseFeatures(list)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, victim(f, features))
	}
	seeds = append(seeds, reference(f))
	if os.Geteuid() == 0 {
		for _, features := range []string{"^extents,^64bit,^flex_bg,^has_journal", "inline_data,^has_journal", "ea_inode,^has_journal", "bigalloc,^has_journal"} {
			seeds = append(seeds, fromKernel(f, "-O", "^metadata_csum,"+features))
		}
		seeds = append(seeds, fromKernel(f, "-J", "size=1", "-O", "^metadata_csum,^64bit"))
	}
	for _, m := range seeds {
		seed := packed(m)
		if err := drainRecovered(unpacked(seed)); err != nil {
			f.Fatalf("seed is not accepted: %v", err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := unpacked(b)
		if err := drainRecovered(m); err == nil {
			reftest.Partly(t, false, func() (reftest.Next, error) {
				img, err := read.OpenRecovered(m, m.Size)
				return treetest.Next(img.Source()), err
			})
		}
		readErr := probetest.Drain(m, m.Size)
		img, err := read.Open(m, m.Size)
		if err != nil {
			return
		}
		if err := audit.Check(context.Background(), img, audit.Options{}); err == nil && readErr != nil && errors.Is(readErr, disk.ErrCorrupt) {
			t.Fatalf("audited, but cannot be read: %v", readErr)
		}
		if readErr != nil {
			return
		}
		reftest.Partly(t, false, func() (reftest.Next, error) { return treetest.Next(img.Source()), nil })
		again := &ext4test.Memory{}
		features, err := ext4.ParseFeatures("^resize_inode")
		if err != nil {
			t.Fatal(err)
		}
		w, err := ext4.NewWriter(context.Background(), again, ext4.Options{Upper: true, Size: ext4.MinUpper, Features: features, Journal: new(int64), Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Copy(context.Background(), w, img.Source()); err != nil {
			if strings.Contains(err.Error(), "check: ") {
				t.Fatal(err)
			}
			return // something that the format has and this writer refuses
		}
		second, err := read.Open(again, again.Size)
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
		ino := probetest.InodeIn(t, m, "sub")
		(&disk.ExtentHead{Magic: disk.ExtentMagic, Entries: 2, Max: disk.ExtentRootMax}).Encode(ino.Block[:])
		(&disk.ExtentLeaf{Logical: 1, Length: 1, Physical: uint64(dataAt(ino) / disk.BlockSize)}).Encode(ino.Block[disk.ExtentHeadSize+disk.ExtentSize:])
		ino.Size = 2 * disk.BlockSize
		ino.Encode(ino.Raw)
		m.WriteAt(ino.Raw, ino.Off)
		err := probetest.Drain(m, m.Size)
		if !source {
			img, _ := read.Open(m, m.Size)
			_, err = img.Lookup("sub/one")
		}
		if !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), "more than one file") {
			t.Errorf("have %v", err)
		}
	}
}
