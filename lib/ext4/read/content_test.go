package read_test

import (
	"bytes"
	"io"
	"testing"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

func TestContentReadAt(t *testing.T) {
	m := corpusImage(t)
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ext4test.Corpus() {
		if e.Type != tree.File || e.Hardlink != "" || e.Size == 0 {
			continue
		}
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, e); err != nil {
			t.Fatal(err)
		}
		ino := probetest.Inode(t, img, e.Path)
		var c volume.Content
		if err := img.Volume().FindContent(&c, ino, nil); err != nil {
			t.Fatal(err)
		}
		for _, at := range [][2]int64{{0, 10}, {0, e.Size}, {4000, 200}, {e.Size - 5, 5}, {1, e.Size - 2}, {e.Size / 2, e.Size}} {
			from := max(at[0], 0)
			n := max(0, min(at[1], e.Size-from))
			b := make([]byte, n)
			if k, err := c.ReadAt(b, from); int64(k) != n && n > 0 || err != nil && err != io.EOF || n > 0 && !bytes.Equal(b, want.Bytes()[from:from+n]) {
				t.Errorf("%s: %d bytes at %d: %d, %v", e.Path, n, from, k, err)
			}
		}
		if n, err := c.ReadAt(make([]byte, 10), e.Size-1); n != 1 || err != io.EOF {
			t.Errorf("%s: at the end: %d, %v", e.Path, n, err)
		}
		if n, err := c.ReadAt(make([]byte, 1), e.Size); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end: %d, %v", e.Path, n, err)
		}
	}
}

func TestStored(t *testing.T) {
	m := corpusImage(t)
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	if img.Length() != m.Size {
		t.Errorf("length %d, expected %d", img.Length(), m.Size)
	}
	block, files, src := img.Volume().BlockSize(), 0, img.Source()
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		have, least := read.Stored(e), (e.DataSize()+block-1)/block*block
		if e.Content == nil {
			least = 0
		}
		if have < least || have > least+8*block || have%block != 0 {
			t.Errorf("%s: %d bytes, data of %d", e.Path, have, e.DataSize())
		}
		if have > 0 {
			files++
		}
	}
	if files < 3 {
		t.Errorf("%d files take space", files)
	}
	if n := read.Stored(&tree.Entry{Type: tree.File, Content: tree.Bytes("a")}); n != 0 {
		t.Errorf("content of another source: %d", n)
	}
}
