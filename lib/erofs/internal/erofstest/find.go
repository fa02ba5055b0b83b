package erofstest

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
)

// Inode is an inode in an image, and where it is.
type Inode struct {
	disk.Inode
	Nid uint64
	Off int64 // in the image
}

// End is the offset of the end of the inode and its xattrs.
func (n *Inode) End() int64 { return n.Off + n.RecordSize() + disk.XattrBodySize(n.XattrCount) }

// Super is the superblock of b.
func Super(t testing.TB, b []byte) *disk.Superblock {
	t.Helper()
	s, ok := disk.FindSuperblock(b)
	if !ok {
		t.Fatal("not an EROFS image")
	}
	return &s
}

// Find finds the inode of path in the image b. It knows no more than the tests need:
// directories in blocks of their own or inline, names in any order.
func Find(t testing.TB, b []byte, path string) *Inode {
	t.Helper()
	super := Super(t, b)
	ino := inodeAt(t, b, super, uint64(super.RootNid))
	for name := range strings.SplitSeq(path, "/") {
		if name == "." {
			continue
		}
		nid, ok := child(b, super, ino, name)
		if !ok {
			t.Fatalf("%s: no %q in inode %d", path, name, ino.Nid)
		}
		ino = inodeAt(t, b, super, nid)
	}
	return ino
}

func inodeAt(t testing.TB, b []byte, super *disk.Superblock, nid uint64) *Inode {
	t.Helper()
	bs, _ := super.BlockSize()
	ino := &Inode{Nid: nid, Off: int64(super.MetaBlock)*bs + int64(nid)*disk.NidUnit}
	if !ino.Decode(b[ino.Off:], super) {
		t.Fatalf("inode %d cannot be decoded", nid)
	}
	return ino
}

// child finds name in the directory dir.
func child(b []byte, super *disk.Superblock, dir *Inode, name string) (nid uint64, ok bool) {
	bs, _ := super.BlockSize()
	for off := int64(0); off < dir.Size; off += bs {
		at, n := int64(dir.Data)*bs+off, min(bs, dir.Size-off)
		if dir.Layout == disk.FlatInline && off+bs > dir.Size {
			at = dir.End()
		}
		block := b[at : at+n]
		first := disk.DecodeDirent(block).Name
		for i := 0; i < int(first); i += disk.DirentSize {
			d, end := disk.DecodeDirent(block[i:]), n
			if next := i + disk.DirentSize; next < int(first) {
				end = int64(disk.DecodeDirent(block[next:]).Name)
			}
			if found, _, _ := strings.Cut(string(block[d.Name:end]), "\x00"); found == name {
				return d.Nid, true
			}
		}
	}
	return 0, false
}

// RawXattrs are the xattrs of path as they are stored, marks included.
func RawXattrs(t testing.TB, b []byte, path string) map[string]string {
	t.Helper()
	super, ino := Super(t, b), Find(t, b, path)
	xs := make(map[string]string)
	entry := func(b []byte) int64 {
		e := disk.DecodeXattrEntry(b)
		prefix, ok := disk.ShortPrefix(e.Prefix)
		if !ok {
			t.Fatalf("%s: prefix %d", path, e.Prefix)
		}
		rest := b[disk.XattrEntrySize:e.Size()]
		xs[prefix+string(rest[:e.NameLen])] = string(rest[e.NameLen:])
		return disk.RoundUp(e.Size(), disk.XattrAlign)
	}
	bs, _ := super.BlockSize()
	body := b[ino.Off+ino.RecordSize() : ino.End()]
	if len(body) == 0 {
		return xs
	}
	own := disk.XattrHeadSize + disk.XattrIDSize*disk.SharedXattrs(body)
	for at := disk.XattrHeadSize; at < own; at += disk.XattrIDSize {
		id := binary.LittleEndian.Uint32(body[at:])
		entry(b[int64(super.XattrBlock)*bs+disk.XattrIDSize*int64(id):])
	}
	for at := int64(own); at < int64(len(body)); {
		at += entry(body[at:])
	}
	return xs
}

// Whole is all of r, an image of size bytes.
func Whole(t testing.TB, r io.ReaderAt, size int64) []byte {
	t.Helper()
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}
