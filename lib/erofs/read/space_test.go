package read_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// storedOf returns what each file of the image takes.
func storedOf(t testing.TB, img *read.Image) (byPath map[string]int64, all int64) {
	t.Helper()
	space, src := new(read.Space), img.Source()
	byPath = map[string]int64{}
	for {
		e, err := src.Next()
		if err == io.EOF {
			return byPath, all
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := space.Stored(e)
		if err != nil {
			t.Fatal(err)
		}
		byPath[e.Path] = n
		all += n
	}
}

func TestSpace(t *testing.T) {
	b := build(t, erofs.Options{BlockSize: 512}, dir("."), file("a", pattern(1, 512)), file("b", pattern(2, 513)), file("c", pattern(3, 100)),
		file("d", nil), file("e", pattern(4, 1<<15*512+512)), hardlink("f", "e"), symlink("g", "target"),
		sparse("h", 100000, []tree.Extent{{Off: 512, Len: 1024}, {Off: 51200, Len: 512}}))
	have, _ := storedOf(t, open(t, b))
	for path, want := range map[string]int64{".": 0, "a": 512, "b": 513, "c": 100, "d": 0, "e": 1<<15*512 + 512, "f": 0, "g": 0, "h": 1536} {
		if have[path] != want {
			t.Errorf("%s: %d, expected %d", path, have[path], want)
		}
	}
	e := tree.Entry{Type: tree.File, Size: 3, Content: tree.Bytes("abc")}
	if n, err := new(read.Space).Stored(&e); n != 0 || err != nil {
		t.Errorf("content of another source: %d, %v", n, err)
	}
}

// Whatever files of an image share, they take no more than it has, and hardly less if it has
// little else.
func TestSpaceOfCompressed(t *testing.T) {
	images, err := compressedImages()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range images {
		_, all := storedOf(t, open(t, b))
		if size := int64(len(b)); all > size || all < size/3 && !strings.HasPrefix(name, "tiny") {
			t.Errorf("%s: files take %d bytes of %d", name, all, size)
		}
	}
	plain, _ := storedOf(t, open(t, images["plain"]))
	for _, name := range []string{"zstd-65536", "zstd-65536-fragments", "lz4-4096-tails"} {
		have, _ := storedOf(t, open(t, compressedImage(t, name)))
		if n := have["seq"]; n <= 0 || n >= plain["seq"] {
			t.Errorf("%s: seq takes %d bytes, and %d as it is", name, n, plain["seq"])
		}
		if n := have["zeros"]; n > 1<<20 {
			t.Errorf("%s: zeros takes %d bytes", name, n)
		}
	}
}

// A broken index is an error, and never more.
func TestSpaceOfBroken(t *testing.T) {
	b := append([]byte(nil), compressedImage(t, "zstd-65536-fragments")...)
	dropChecksum(b)
	at, size, ok := open(t, b).Packed().IndexPlace()
	if !ok {
		t.Fatal("parts of files are not compressed")
	}
	for i := at; i < at+size; i++ {
		broken := append([]byte(nil), b...)
		broken[i] ^= 0xff
		img, err := read.Open(strings.NewReader(string(broken)), int64(len(broken)))
		if err != nil {
			continue
		}
		space, src := new(read.Space), img.Source()
		for err == nil {
			var e *tree.Entry
			if e, err = src.Next(); err == nil {
				_, err = space.Stored(e)
			}
		}
		if err != io.EOF && !errors.Is(err, read.ErrCorrupt) && !errors.Is(err, read.ErrUnsupported) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// Files with data say where they begin, and those with other data somewhere else.
func TestStart(t *testing.T) {
	images, err := compressedImages()
	if err != nil {
		t.Fatal(err)
	}
	images["holes"] = build(t, erofs.Options{}, dir("."), sparse("hole", 1<<20, []tree.Extent{}), file("empty", nil),
		sparse("late", 1<<20, []tree.Extent{{Off: 1 << 19, Len: 4096}}), file("data", pattern(1, 5000)),
		file("small", pattern(2, 100)), file("small too", pattern(3, 100))) // behind their inodes
	parts := false
	for name, b := range images {
		type start struct {
			device    int
			pos, size int64
		}
		seen := map[start]string{}
		space, src := new(read.Space), open(t, b).Source()
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			c, isContent := e.Content.(*read.Content)
			if !isContent {
				continue
			}
			stored, err := space.Stored(e)
			if err != nil {
				t.Fatal(err)
			}
			at := start{size: e.Size}
			var ok bool
			if at.device, at.pos, ok = c.Start(); !ok && stored > 0 || ok && stored == 0 && name == "holes" {
				t.Errorf("%s: %s: start %v, %v, and takes %d bytes", name, e.Path, at, ok, stored)
			}
			if first, shared := seen[at]; shared && ok && stored > 0 {
				t.Errorf("%s: %s begins where %s does", name, e.Path, first)
			}
			seen[at] = e.Path
			parts = parts || at.device < 0
		}
	}
	if !parts {
		t.Error("no file is a part of another one")
	}
}
