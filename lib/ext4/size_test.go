package ext4

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/audit"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// The size that the error names is enough, and a little less is not.
func TestTooSmall(t *testing.T) {
	entries := ext4test.Corpus()
	for i := range 30 {
		entries = append(entries, ext4test.File(fmt.Sprintf("large%d", i), ext4test.Pattern(i, 5<<20)))
	}
	many := []*tree.Entry{}
	for i := range 20000 {
		many = append(many, ext4test.File(fmt.Sprintf("f%d", i), nil))
	}
	for _, c := range []struct {
		name    string
		opts    Options
		entries []*tree.Entry
	}{
		{"upper", Options{Upper: true, Size: MinUpper}, entries},
		{"root", Options{Size: 20 << 20}, entries},
		{"tiny root", Options{Size: MinRoot}, entries},
		{"root, no journal", Options{Size: 20 << 20, Journal: new(int64)}, entries},
		{"many in a root", Options{Size: 5 << 20}, many},
		{"replaced in a root", Options{Size: 50 << 20}, append(slices.Clone(entries), entries...)},
		{"replaced in an upper disk", Options{Upper: true, Size: MinUpper}, append(slices.Clone(entries), entries...)},
		{"half a MiB", Options{Size: 20<<20 + 512<<10}, entries},
	} {
		err := writeTo(new(ext4test.Memory), c.opts, c.entries)
		var small *RoomError
		if !errors.As(err, &small) || small.Size == 0 || !strings.Contains(err.Error(), fmt.Sprint(c.opts.Size)) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		opts := c.opts
		opts.Size, opts.Check = small.Size, true
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, c.entries); err != nil {
			t.Errorf("%s: %d bytes are not enough: %v", c.name, small.Size, err)
			continue
		}
		s := probetest.Super(t, m)
		if have := int64(s.FreeBlocks()-min(s.FreeBlocks(), keptBlocks(s.Blocks()))) * disk.BlockSize; have>>20 != small.Free>>20 || opts.Upper && small.Free < 8<<20 {
			t.Errorf("%s: %d bytes are free, the error says %d", c.name, have, small.Free)
		}
		opts.Size -= 2 << 20
		if err := writeTo(new(ext4test.Memory), opts, c.entries); err == nil {
			t.Errorf("%s: less than %d bytes are enough", c.name, small.Size)
		}
	}
}

func TestTooFewInodes(t *testing.T) {
	reftest.OneThread(t)
	var entries []*tree.Entry
	for i := range 20000 {
		entries = append(entries, ext4test.File(fmt.Sprintf("f%d", i), nil))
	}
	const need = 20000 + 1 + 10 // lost+found, and those with a number of their own
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{Upper: true, Size: MinUpper}, fmt.Sprint(need+2+workInodes, " inodes are needed, there would be 16384")},
		{Options{Upper: true, Size: MinUpper, Inodes: need + 2 + workInodes}, ""},
		{Options{Upper: true, Size: MinUpper, Inodes: 40000}, "40000 inodes are needed, there would be 32768"},
		{Options{Inodes: 1000}, fmt.Sprint(need, " inodes are needed, there would be 1000")},
		{Options{Inodes: need}, ""},
		{Options{Size: 300 << 20, BytesPerInode: 1 << 20}, ""}, // the content comes first
		{Options{Size: 64 << 20, Inodes: 70000}, "70000 inodes are needed, there would be 32768"},
		{Options{Size: 64 << 20, Inodes: 1000}, fmt.Sprint(need, " inodes are needed, there would be 1008")},
	} {
		opts := c.opts
		opts.Check = true
		err := writeTo(new(ext4test.Memory), opts, entries)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.opts, err, c.want)
		}
		if err != nil {
			var few *RoomError
			if !errors.As(err, &few) || few.Size == 0 && few.Inodes == 0 {
				t.Errorf("%+v: %+v does not say what is enough", opts, few)
				continue
			}
			opts.Size, opts.Inodes = cmp.Or(few.Size, opts.Size), cmp.Or(few.Inodes, opts.Inodes)
			if err := writeTo(new(ext4test.Memory), opts, entries); err != nil {
				t.Errorf("%+v: what the error says does not help: %v", opts, err)
			}
		}
	}
}

// Sizes that follow from the content keep what was promised.
func TestSizes(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name           string
		opts           Options
		blocks, inodes uint64 // free ones, at least
		groups         uint64 // as many as these need, for their inodes
	}{
		{"default", Options{}, DefaultFree / disk.BlockSize, DefaultFree / freeBytesPerInode, 5},
		{"none", Options{FreeSpace: new(int64)}, 0, 0, 1},
		{"space", Options{FreeSpace: size(1 << 30)}, 1 << 18, 1 << 16, 9},
		{"a block", Options{FreeSpace: size(1)}, 1, 0, 1},
		{"no inodes", Options{FreeSpace: size(1 << 30), FreeInodes: new(int64)}, 1 << 18, 0, 9},
		{"inodes", Options{FreeInodes: size(200000)}, DefaultFree / disk.BlockSize, 200000, 7},
		{"many inodes", Options{Shrink: true, FreeInodes: size(200000)}, 0, 200000, 7},
		{"ratio", Options{FreeSpace: size(64 << 20), BytesPerInode: 1024}, 64 << 8, 64 << 10, 3},
		{"just over a group", Options{FreeSpace: size(100 << 20)}, 100 << 8, 0, 1},
		{"just below a group", Options{FreeSpace: size(114 << 20)}, 114 << 8, 0, 2},
	} {
		opts := c.opts
		opts.Check = true
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, ext4test.Corpus()); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s := probetest.Super(t, m)
		if s.FreeBlocks() < c.blocks || s.Groups() > c.groups || uint64(s.FreeInodes) < c.inodes {
			t.Errorf("%s: %d blocks and %d inodes are free in %d groups, promised were %d and %d in %d", c.name, s.FreeBlocks(), s.FreeInodes, s.Groups(), c.blocks, c.inodes, c.groups)
		}
		if opts.Shrink == (m.Size%sizeUnit == 0) {
			t.Errorf("%s: size is %d", c.name, m.Size)
		}
	}
	m := new(ext4test.Memory)
	if err := writeTo(m, Options{Shrink: true, Check: true}, ext4test.Corpus()); err != nil {
		t.Fatal(err)
	}
	if s := probetest.Super(t, m); s.FreeBlocks() > 100 || s.FreeInodes >= 16 {
		t.Errorf("the smallest has %d free blocks and %d inodes", s.FreeBlocks(), s.FreeInodes)
	}
	err := writeTo(new(ext4test.Memory), Options{MaxSize: 8 << 30, FreeSpace: size(9 << 30)}, ext4test.Corpus())
	if err == nil || !strings.Contains(err.Error(), "8589934592 bytes to which it can grow") {
		t.Errorf("more free space than it can grow: %v", err)
	}
}

// zeroContent is n zeros, of which only the first and the last piece are written to
// disk.
type zeroContent int64

func (n zeroContent) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, 1<<20)
	for left := int64(n); left > 0; {
		k, err := w.Write(b[:min(left, int64(len(b)))])
		if err != nil {
			return int64(n) - left, err
		}
		left -= int64(k)
	}
	return int64(n), nil
}

// holes is an Output that forgets zeros.
type holes struct{ ext4test.Memory }

func (h *holes) WriteAt(p []byte, off int64) (int, error) {
	for at := 0; at < len(p); at += disk.BlockSize {
		if end := min(at+disk.BlockSize, len(p)); !bytes.Equal(p[at:end], zeros[:end-at]) {
			h.Memory.WriteAt(p[at:end], off+int64(at))
		}
	}
	return len(p), nil
}

// A file of more than 4 GiB lies around all copies of superblocks, in more extents
// than the inode has room for.
func TestLargeFile(t *testing.T) {
	h := new(holes)
	large := &tree.Entry{Path: "large", Type: tree.File, Size: 5<<30 + 1, Content: zeroContent(5<<30 + 1)}
	last := ext4test.SparseFile("last", maxFileSize, tree.Extent{Off: 0, Len: 1}, tree.Extent{Off: maxFileSize - 1, Len: 1})
	id := [16]byte{1}
	if err := writeTo(h, Options{UUID: &id, KeepZeros: true}, []*tree.Entry{large, last}); err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(h, h.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.Check(context.Background(), img, audit.Options{Fresh: true}); err != nil {
		t.Fatal(err)
	}
	ino := probetest.Inode(t, img, "large")
	var head disk.ExtentHead
	head.Decode(ino.Block[:])
	if ino.Size != 5<<30+1 || head.Depth != 1 || ino.Blocks != (5<<18+1+1)*disk.SectorBlocks {
		t.Errorf("%d bytes, depth %d, %d sectors", ino.Size, head.Depth, ino.Blocks)
	}
	if s := probetest.Super(t, h); s.ReservedGDT == 0 {
		t.Error("no descriptors are reserved")
	}
	e, err := img.Lookup("last")
	if err != nil || e.Size != maxFileSize || len(e.Extents) != 2 || e.Extents[1].Off != maxFileSize-disk.BlockSize {
		t.Errorf("%+v, %v", e, err)
	}
}

// A file system whose size follows from the content has room for all descriptors
// that it may need, also where none are reserved in the end.
func TestLargeWithoutReserve(t *testing.T) {
	reftest.OneThread(t)
	h := new(holes)
	id := [16]byte{1}
	const size = 9 << 30 // more than a block of descriptors
	large := &tree.Entry{Path: "large", Type: tree.File, Size: size, Content: zeroContent(size)}
	if err := writeTo(h, Options{UUID: &id, Features: resizeInode, KeepZeros: true}, []*tree.Entry{large}); err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(h, h.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.Check(context.Background(), img, audit.Options{Fresh: true}); err != nil {
		t.Error(err)
	}
	if s := probetest.Super(t, h); s.ReservedGDT != 0 || s.Compat&disk.CompatResizeInode != 0 || s.Groups() < 73 {
		t.Errorf("%d blocks are reserved, features %#x", s.ReservedGDT, s.Compat)
	}
}
