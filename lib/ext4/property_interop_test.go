package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// noise is content of n bytes that look like none of another seed, made as it is
// read.
type noise struct{ seed, n int64 }

func (c noise) WriteTo(w io.Writer) (written int64, err error) {
	buf := make([]byte, 1<<16)
	x := uint64(c.seed)*0x9E3779B97F4A7C15 + 1
	for written < c.n && err == nil {
		for i := 0; i < len(buf); i += 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			binary.LittleEndian.PutUint64(buf[i:], x|1)
		}
		var k int
		k, err = w.Write(buf[:min(int64(len(buf)), c.n-written)])
		written += int64(k)
	}
	return written, err
}

// forest grows random trees.
type forest struct {
	*rand.Rand
	upper   bool // with whiteouts and opaque directories
	entries []tree.Entry
	taken   map[string]bool
	dirs    []string
	inodes  []int // of entries that can have another name
}

// randomTree is a tree of about n files of all kinds.
func randomTree(seed uint64, n int, upper bool) []tree.Entry {
	f := &forest{Rand: rand.New(rand.NewPCG(seed, 1)), upper: upper, taken: map[string]bool{}, dirs: []string{"."}}
	root := tree.Entry{Path: ".", Type: tree.Dir}
	f.attributes(&root)
	f.entries = append(f.entries, root)
	for range n {
		f.grow()
	}
	return f.entries
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func (f *forest) name() string {
	name := fmt.Sprintf("%x", f.Uint32())
	switch f.IntN(12) {
	case 0:
		name = name[:1]
	case 1:
		name += strings.Repeat("long", 63)[:255-len(name)]
	case 2:
		name = "." + name
	case 3:
		name += "\xff\x80 \n\t\"\\"
	case 4:
		name = "файл-" + name
	case 5:
		name += "="
	}
	return name
}

func (f *forest) path() string {
	for {
		path := filepath.Join(f.dirs[f.IntN(len(f.dirs))], f.name())
		if len(path) < 2000 && !f.taken[path] && path != "lost+found" {
			f.taken[path] = true
			return path
		}
	}
}

func (f *forest) grow() {
	e := tree.Entry{Path: f.path()}
	switch k := f.IntN(100); {
	case k < 45:
		e.Type = tree.File
		f.content(&e)
	case k < 65:
		e.Type = tree.Dir
		f.dirs = append(f.dirs, e.Path)
	case k < 77:
		e.Type = tree.Link
		e.Link = f.text(pick(f.Rand, 1, 5, 58, 59, 60, 61, 300, 4095))
	case k < 85:
		e.Type = pick(f.Rand, tree.Char, tree.Block)
		e.Dev = pick(f.Rand, tree.Device{Major: 1, Minor: 3}, tree.Device{Major: 255, Minor: 255}, tree.Device{Major: 256},
			tree.Device{Major: 4095, Minor: 1<<20 - 1}, tree.Device{Minor: 1}, tree.Device{Major: 8, Minor: 256})
		if f.upper && f.IntN(2) == 0 {
			e.Type, e.Dev = tree.Char, tree.Device{}
		}
	case k < 90:
		e.Type = pick(f.Rand, tree.Fifo, tree.Socket)
	default:
		if len(f.inodes) > 0 {
			e = f.entries[pick(f.Rand, f.inodes...)]
			e.Hardlink, e.Path, e.Content = e.Path, f.path(), nil
			f.entries = append(f.entries, e)
		}
		return
	}
	f.attributes(&e)
	if e.Type != tree.Dir {
		f.inodes = append(f.inodes, len(f.entries))
	}
	f.entries = append(f.entries, e)
}

func (f *forest) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + f.IntN(255))
	}
	return string(b)
}

func (f *forest) attributes(e *tree.Entry) {
	e.Mode = uint16(f.IntN(0o10000))
	e.UID = pick[uint32](f.Rand, 0, 1000, 65535, 65536, 70000, 1<<32-2)
	e.GID = pick[uint32](f.Rand, 0, 5, 65535, 65536, 1<<31, 1<<32-2)
	e.Time = tree.Time{Sec: pick[int64](f.Rand, disk.MinTime, -1, 0, 1<<31-1, 1<<31, 1<<32-1, 1<<32, 6<<30, disk.MaxTime, 1700000000), Nsec: pick[uint32](f.Rand, 0, 1, disk.MaxNsec, 123456789)}
	// e2fsck takes the years 2310 to 2378 for a mistake about those before 1970.
	if sec := disk.MinTime + f.Int64N(disk.MaxTime-disk.MinTime+1); f.IntN(3) > 0 && (sec < 3<<32-1<<31 || sec >= 3<<32) {
		e.Time.Sec = sec
	}
	if f.IntN(4) == 0 {
		f.xattrs(e)
	}
}

func (f *forest) xattrs(e *tree.Entry) {
	name := f.name()
	x := tree.Xattr{Name: "trusted." + name[:min(len(name), 200)], Value: f.text(f.IntN(100))}
	e.Xattrs = append(e.Xattrs, x)
	if e.Type == tree.File || e.Type == tree.Dir {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: "user.shared", Value: strings.Repeat("the same ", f.IntN(3))})
		if f.IntN(3) == 0 {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: "user.large", Value: f.text(f.IntN(3000))})
		}
		if f.IntN(3) == 0 {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: "system.posix_acl_access", Value: pick(f.Rand, ext4test.ShortACL, ext4test.LongACL)})
		}
	}
	if e.Type == tree.File {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: "security.capability", Value: "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"})
	}
	if e.Type == tree.Dir {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: "system.posix_acl_default", Value: ext4test.LongACL})
		if f.upper {
			e.Xattrs = append(e.Xattrs, tree.Opaque)
		}
	}
	e.Xattrs = disk.SortXattrs(e.Xattrs)
}

func (f *forest) content(e *tree.Entry) {
	switch f.IntN(8) {
	case 0:
		e.Size = pick[int64](f.Rand, 0, 1, 4095, 4096, 4097)
	case 1:
		e.Size = f.Int64N(3 << 20)
	case 2:
		f.sparse(e, 1+f.IntN(10), 1<<20)
	case 3:
		if f.IntN(10) == 0 {
			f.sparse(e, 300+f.IntN(1500), 3*disk.BlockSize)
		}
	default:
		e.Size = f.Int64N(30000)
	}
	if n := e.DataSize(); n > 0 {
		e.Content = noise{f.Int64N(1 << 40), n}
	}
}

// sparse gives e n extents with gaps of up to gap bytes, some of less than a block.
func (f *forest) sparse(e *tree.Entry, n int, gap int64) {
	e.Extents = []tree.Extent{}
	for range n {
		off := e.Size + f.Int64N(gap)
		if len(e.Extents) > 0 {
			off++
		}
		x := tree.Extent{Off: off, Len: 1 + f.Int64N(3000)}
		e.Extents, e.Size = append(e.Extents, x), x.End()
	}
	e.Size += f.Int64N(gap)
	if f.IntN(8) == 0 {
		e.Extents = []tree.Extent{}
	}
}

// treeFacts are what a mount of entries should show, holes and all.
func treeFacts(t testing.TB, entries []tree.Entry) []reftest.Fact {
	t.Helper()
	tr := tree.New()
	extents := map[string]string{}
	for i := range entries {
		e := &entries[i]
		if _, err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
		if e.Type == tree.File {
			extents[e.Path] = wholeBlocks(e)
		}
	}
	list := treetest.Facts(t, tr.Source(tree.Flat))
	for i := range list {
		list[i].Extents = extents[list[i].Path]
	}
	return list
}

// wholeBlocks says where e has data on disk, in the form of reftest.
func wholeBlocks(e *tree.Entry) string {
	xs := e.Extents
	if xs == nil {
		xs = []tree.Extent{{Len: e.Size}}
	}
	var list []string
	var last tree.Extent
	put := func() {
		if last.Len > 0 {
			list = append(list, fmt.Sprintf("%d+%d", last.Off, last.Len))
		}
	}
	for _, x := range xs {
		off, end := x.Off&^(disk.BlockSize-1), min((x.End()+disk.BlockSize-1)&^(disk.BlockSize-1), e.Size)
		if off > last.End() || last.Len == 0 {
			put()
			last = tree.Extent{Off: off}
		}
		last.Len = end - last.Off
	}
	if put(); list == nil {
		return "-"
	}
	return strings.Join(list, ",")
}

// imageFile writes a file system of entries, and has e2fsck look at it.
func imageFile(t testing.TB, opts Options, entries ...tree.Entry) string {
	t.Helper()
	list := make([]*tree.Entry, len(entries))
	for i := range entries {
		list[i] = &entries[i]
	}
	name := build(t, opts, list...)
	probetest.Fsck(t, name)
	return name
}

// TestInteropProperty mounts random trees and compares them with what they were
// made of.
func TestInteropProperty(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compareRandom(t, seed, 300) })
	}
}

func TestInteropPropertyLong(t *testing.T) {
	reftest.Long(t)
	for seed := uint64(100); seed < 180; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compareRandom(t, seed, 100+int(seed)*5) })
	}
}

func compareRandom(t *testing.T, seed uint64, files int) {
	opts := Options{Check: true, Label: fmt.Sprint("seed ", seed)}
	small := int64(4 << 20)
	none := int64(0)
	entries := randomTree(seed, files, false)
	below := "."
	switch seed % 8 {
	case 1:
		opts.Shrink = true
	case 2:
		opts.FreeSpace, opts.Journal = &none, &small
	case 3:
		opts.Size, opts.Journal = 1<<30, &none
	case 4, 5:
		entries = randomTree(seed, files, true)
		opts.Upper, opts.Size, below = true, 2<<30, "upper"
	case 6:
		opts.Features, _ = ParseFeatures("^metadata_csum,^64bit,^huge_file,^dir_nlink,^resize_inode")
	case 7:
		opts.Features, _ = ParseFeatures("metadata_csum_seed,^dir_index")
		opts.FreeInodes = &none
	}
	mounted := reftest.Mount(t, "ext4", imageFile(t, opts, entries...), "noload")
	want := treeFacts(t, entries)
	got := reftest.Walk(t, filepath.Join(mounted, below), reftest.Look{Extents: true, DirLinks: true})
	reftest.Compare(t, want, withoutLostFound(got))
	if len(want) < files/2 {
		t.Errorf("only %d files", len(want))
	}
}

// withoutLostFound takes out what the writer adds at the root.
func withoutLostFound(list []reftest.Fact) []reftest.Fact {
	n := len(list)
	list = slices.DeleteFunc(list, func(f reftest.Fact) bool { return f.Path == "lost+found" })
	if len(list) < n && list[0].Nlink > 0 {
		list[0].Nlink-- // of the root
	}
	return list
}

// TestInteropNames: the kernel finds every name of large directories, which Walk
// asks it for one by one.
func TestInteropNames(t *testing.T) {
	var entries []tree.Entry
	for dir, n := range map[string]int{"linear": 60, "two": 130, "hashed": 5000, "levels": 62000} {
		entries = append(entries, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755})
		for i := range n {
			name := fmt.Sprintf("%s/name-%d\xff of a file", dir, i)
			entries = append(entries, tree.Entry{Path: name, Type: tree.Fifo, Mode: 0o644, UID: uint32(i)})
		}
	}
	image := imageFile(t, Options{Check: true}, entries...)
	reftest.Compare(t, treeFacts(t, entries), withoutLostFound(reftest.Walk(t, reftest.Mount(t, "ext4", image, "noload"), reftest.Look{DirLinks: true})))
	for dir, want := range map[string]string{"hashed": "Indirect levels: 0", "levels": "Indirect levels: 1"} {
		if out := reftest.Run(t, "debugfs", "-R", "htree_dump /"+dir, image); !strings.Contains(out, want) {
			t.Errorf("%s: htree_dump does not say %q", dir, want)
		}
	}
}

// TestInteropCollisions: two names of one hash, in different leaves.
func TestInteropCollisions(t *testing.T) {
	reftest.Long(t)
	var entries []tree.Entry
	var seed [4]uint32
	for i := range 200000 {
		entries = append(entries, tree.Entry{Path: fmt.Sprintf("d/%d-%0200d", i, i), Type: tree.Fifo, UID: uint32(i)})
	}
	image := imageFile(t, Options{Check: true}, entries...)
	seed = probetest.Open(t, image).Volume().Super.HashSeed
	hashes, double := map[uint32]bool{}, 0
	for _, e := range entries {
		h := disk.HashName(e.Path[2:], seed, false).Major
		if hashes[h] {
			double++
		}
		hashes[h] = true
	}
	t.Logf("%d collisions", double)
	mounted := reftest.Mount(t, "ext4", image, "noload")
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(mounted, e.Path)); err != nil {
			t.Error(err)
		}
	}
	if double < 3 {
		t.Error("too few for one to lie at the end of a leaf")
	}
}

func TestInteropManyFiles(t *testing.T) {
	reftest.Long(t)
	var entries []tree.Entry
	for i := range 100000 {
		e := tree.Entry{Path: fmt.Sprintf("%d/%d/%d", i%7, i/7%100, i), Type: tree.File, Mode: 0o644, Size: int64(i % 9000)}
		if e.Size > 0 {
			e.Content = noise{int64(i), e.Size}
		}
		entries = append(entries, e)
	}
	image := imageFile(t, Options{Check: true}, entries...)
	reftest.Compare(t, treeFacts(t, entries), withoutLostFound(reftest.Walk(t, reftest.Mount(t, "ext4", image, "noload"), reftest.Look{Extents: true, DirLinks: true})))
}

// TestInteropExtents: files in so many pieces that their extent trees have one and
// two levels of nodes.
func TestInteropExtents(t *testing.T) {
	var entries []tree.Entry
	for name, n := range map[string]int{"four": 4, "five": 5, "leaf": 340, "leaves": 341, "level": 4 * 340, "levels": 4*340 + 1} {
		e := tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Extents: []tree.Extent{}}
		for i := range int64(n) {
			e.Extents = append(e.Extents, tree.Extent{Off: 2 * i * disk.BlockSize, Len: disk.BlockSize})
		}
		e.Size = int64(2 * n * disk.BlockSize)
		e.Content = noise{int64(n), e.DataSize()}
		entries = append(entries, e)
	}
	image := imageFile(t, Options{Check: true}, entries...)
	reftest.Compare(t, treeFacts(t, entries), withoutLostFound(reftest.Walk(t, reftest.Mount(t, "ext4", image, "noload"), reftest.Look{Extents: true, DirLinks: true})))
	if out := reftest.Run(t, "debugfs", "-R", "dump_extents -n /levels", image); !strings.Contains(out, " 0/ 2 ") {
		t.Errorf("not two levels:\n%s", out)
	}
}

// TestInteropLarge: 5 GiB in one file, and a sparse one of 10 TiB.
func TestInteropLarge(t *testing.T) {
	reftest.Long(t)
	const size = 5<<30 + 12345
	entries := []tree.Entry{
		{Path: "large", Type: tree.File, Mode: 0o644, Size: size, Content: noise{5, size}},
		{Path: "sparse", Type: tree.File, Mode: 0o644, Size: 10 << 40, Extents: []tree.Extent{{Off: 0, Len: 5}, {Off: 5 << 40, Len: 10000}}, Content: noise{6, 10005}},
	}
	image := imageFile(t, Options{Check: true}, entries...)
	mounted := reftest.Mount(t, "ext4", image, "noload")
	got := reftest.Walk(t, filepath.Join(mounted, "large"), reftest.Look{Extents: true})
	got[0].Path, got[0].SameAs = "large", "large"
	reftest.Compare(t, treeFacts(t, entries[:1])[1:], got)
	f, err := os.Open(filepath.Join(mounted, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]byte, 10005)
	noise{6, 10005}.WriteTo((*sliceWriter)(&want))
	part := make([]byte, 10000)
	if _, err := f.ReadAt(part, 5<<40); err != nil || string(part) != string(want[5:]) {
		t.Errorf("content in the midst of the sparse file differs (%v)", err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != 10<<40 {
		t.Errorf("%v, %v", fi, err)
	}
}

type sliceWriter []byte

func (s *sliceWriter) Write(p []byte) (int, error) {
	*s = append((*s)[:0], p...)
	return len(p), nil
}
