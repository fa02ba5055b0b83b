package ext4

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// writeTo writes a file system of entries.
func writeTo(out Output, opts Options, entries []*tree.Entry) error {
	w, err := NewWriter(context.Background(), out, opts)
	if err != nil {
		return err
	}
	return ext4test.Write(w, entries)
}

// written is a file system of the corpus in memory.
func written(t testing.TB, opts Options) *ext4test.Memory {
	t.Helper()
	m := &ext4test.Memory{}
	opts.Check = true
	if err := writeTo(m, opts, ext4test.Corpus()); err != nil {
		t.Fatal(err)
	}
	return m
}

// smallRoot are options for a small root file system.
func smallRoot() Options { return Options{Size: 32 << 20} }

// What is read is what was added, and the other way round.
func TestReadBack(t *testing.T) {
	tr := tree.New()
	for _, e := range ext4test.Corpus() {
		if _, err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	want := treetest.Facts(t, tr.Source(tree.Flat))
	for _, opts := range []Options{smallRoot(), {Shrink: true}, {Upper: true, Size: 128 << 20}} {
		m := written(t, opts)
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		src := img.Source()
		if opts.Upper {
			if src, err = img.Subtree("upper"); err != nil {
				t.Fatal(err)
			}
		}
		reftest.Compare(t, want, treetest.Facts(t, src))
	}
}

// A tree that has a lost+found of its own keeps it.
func TestLostFound(t *testing.T) {
	own := func(mode uint16, sec int64) *tree.Entry {
		return &tree.Entry{Path: "lost+found", Type: tree.Dir, Mode: mode, Time: tree.Time{Sec: sec}}
	}
	epoch := int64(1700000000)
	for _, c := range []struct {
		entries []*tree.Entry
		want    int
	}{
		{nil, 1},
		{[]*tree.Entry{own(0o755, epoch)}, 2},
		{[]*tree.Entry{own(0o700, epoch-100)}, 2},
		{[]*tree.Entry{own(0o700, epoch+100)}, 2},
		{[]*tree.Entry{own(0o700, epoch), ext4test.File("lost+found/x", nil)}, 3},
		{[]*tree.Entry{ext4test.File("lost+found", nil)}, 2},
		{[]*tree.Entry{own(0o700, epoch)}, 1}, // nobody can tell
	} {
		m := &ext4test.Memory{}
		opts := smallRoot()
		opts.Check, opts.Epoch = true, &epoch
		if err := writeTo(m, opts, c.entries); err != nil {
			t.Fatal(err)
		}
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		if have := treetest.Facts(t, img.Source()); len(have) != c.want {
			t.Errorf("%v: %v", c.entries, have)
		}
	}
}

// Check finds whatever a faulty disk makes of what was written.
func TestCheckFinds(t *testing.T) {
	at := func(m *ext4test.Memory, path string) (*read.Image, *volume.Inode) {
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		ino := probetest.Inode(t, img, path)
		return img, ino
	}
	change := func(path string, fn func(n *disk.Inode)) func(m *ext4test.Memory) {
		return func(m *ext4test.Memory) {
			_, ino := at(m, path)
			fn(&ino.Inode)
			ino.Encode(ino.Raw)
			ino.Sum.Seal(ino.Raw)
			m.WriteAt(ino.Raw, ino.Off)
		}
	}
	content := func(path string, off int64) func(m *ext4test.Memory) {
		return func(m *ext4test.Memory) {
			img, ino := at(m, path)
			var c volume.Content
			if err := img.Volume().FindContent(&c, ino, nil); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			m.ReadAt(b, c.Runs[0].DiskOffset(disk.BlockSize)+off)
			b[0] ^= 0x80
			m.WriteAt(b, c.Runs[0].DiskOffset(disk.BlockSize)+off)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(m *ext4test.Memory)
		err   string
	}{
		{"nothing", func(m *ext4test.Memory) {}, ""},
		{"mode", change("one", func(n *disk.Inode) { n.Mode ^= 1 }), "one: mode: "},
		{"owner", change("one", func(n *disk.Inode) { n.GID++ }), "one: owner: "},
		{"time", change("one", func(n *disk.Inode) { n.Mtime.Extra += 4 }), "one: time: "},
		{"epoch", change("dir/dir", func(n *disk.Inode) { n.Mtime.Extra ^= 1 }), "dir/dir: time: "},
		{"size", change("one", func(n *disk.Inode) { n.Size++ }), "one: size: "},
		{"target", change("link", func(n *disk.Inode) { n.Block[0]++ }), "link target: "},
		{"device", change("char", func(n *disk.Inode) { n.Block[0]++ }), "char: device: "},
		{"type", change("one", func(n *disk.Inode) { n.Mode ^= disk.ModeFile ^ disk.ModeFifo }), "one: "},
		{"content", content("one", 0), "one: content is not what was written"},
		{"end of the content", content("large", 3<<20+16), "large: content is not what was written"},
		{"behind the data", content("sparse", 4095), "sparse: content is not what was written"},
		{"zeros in a block", content("tail hole", 5000), "tail hole: content is not what was written"},
		{"in a hole of a block that is kept", content("tail hole", 5000), "tail hole: there is something in a hole"},
		{"hole", change("tail hole", func(n *disk.Inode) { n.Block[16]--; n.Blocks -= 8 }), "tail hole: holes are not where they were"},
		{"no content", change("one", func(n *disk.Inode) { n.Block[2]--; n.Blocks -= 8 }), "one: holes are not where they were"},
		{"xattrs", func(m *ext4test.Memory) {
			_, ino := at(m, "x")
			i := bytes.LastIndexByte(ino.Raw, 0x20)
			ino.Raw[i]++
			ino.Sum.Seal(ino.Raw)
			m.WriteAt(ino.Raw, ino.Off)
		}, "x: xattrs: "},
		{"name", func(m *ext4test.Memory) {
			img, ino := at(m, "dir")
			_, c, err := img.Volume().ReadDir(ino, disk.RootIno, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := m.Page(c.Runs[0].DiskOffset(disk.BlockSize) / disk.BlockSize)
			b[2*disk.DotSize+disk.DirentHeadSize]++
			binary.LittleEndian.PutUint32(b[disk.DirTailOffset+disk.DirentHeadSize:], ino.Sum.DirLeaf(b))
		}, "dir/dir: not in the file system"},
		{"copy of the superblock", func(m *ext4test.Memory) { m.Page(disk.BlocksPerGroup)[100]++ }, "copy of the superblock has checksum"},
		{"copy of the superblock, sealed", func(m *ext4test.Memory) {
			b := m.Page(disk.BlocksPerGroup)
			b[100]++
			binary.LittleEndian.PutUint32(b[disk.SuperSumOffset:], disk.SuperChecksum(b))
		}, "copy of the superblock in group 1 differs"},
		{"copy of the descriptors", func(m *ext4test.Memory) { m.Page(disk.BlocksPerGroup + 1)[100]++ }, "copy of the descriptors in group 1 differs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &ext4test.Memory{BeforeRead: c.spoil}
			err := writeTo(m, Options{Size: 256 << 20, Check: true, KeepZeros: strings.HasSuffix(c.name, "kept")}, ext4test.Corpus())
			if c.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "check: ") {
				t.Errorf("%v, expected %q", err, c.err)
			}
		})
	}
}
