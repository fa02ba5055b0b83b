package lib_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

// deep is a tree at whose bottom there are many inodes of two names, and with wide
// many directories that are deep themselves.
func deep(wide bool) *tree.Tree {
	t := tree.NewFlat()
	bottom := strings.Repeat("d/", 2040)
	for i := range 1000 {
		e, _ := t.Put(&tree.Entry{Path: fmt.Sprintf("%sf%04d", bottom, i), Type: tree.Fifo, Mode: 0o644})
		t.Set(fmt.Sprintf("%sg%04d", bottom, i), e)
	}
	for i := 0; wide && i < 10; i++ {
		t.Put(&tree.Entry{Path: fmt.Sprintf("%c%c/", 'A'+i/10, 'A'+i%10) + bottom[:4000] + "f", Type: tree.Fifo, Mode: 0o644})
	}
	return t
}

// TestDeepSources reads deep trees to their end. What a source holds then must not
// grow with the depth of each inode: whole paths would be 4 MB for the names of the
// links alone, 40 MB for the wide tree.
func TestDeepSources(t *testing.T) {
	open := map[string]func(t *testing.T) (tree.Source, uint64){
		"tree": func(t *testing.T) (tree.Source, uint64) { return deep(false).Source(tree.Flat), 2 << 20 },
		"EROFS": func(t *testing.T) (tree.Source, uint64) {
			f, size := imageFile(t, func(f *os.File) {
				w := must[*erofs.Writer](t)(erofs.NewWriter(f, erofs.Options{SpoolDir: t.TempDir()}))
				if err := tree.Copy(context.Background(), w, deep(true).Source(tree.Flat)); err != nil {
					t.Fatal(err)
				}
			})
			return must[*erofs.Image](t)(erofs.Open(f, size)).Source(), 15 << 20
		},
		"ext4": func(t *testing.T) (tree.Source, uint64) {
			f, size := imageFile(t, func(f *os.File) {
				w := must[*ext4.Writer](t)(ext4.NewWriter(f, ext4.Options{}))
				if err := tree.Copy(context.Background(), w, deep(false).Source(tree.Flat)); err != nil {
					t.Fatal(err)
				}
			})
			return must[*ext4.Image](t)(ext4.Open(f, size)).Source(), 6 << 20
		},
	}
	for name, open := range open {
		src, most := open(t)
		before := live()
		entries, deepest := 0, 0
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			entries++
			deepest = max(deepest, strings.Count(e.Path, "/"))
			if e.Hardlink != "" && e.Hardlink != strings.Replace(e.Path, "/g", "/f", 1) {
				t.Fatalf("%s: %s is a link to %s", name, e.Path[4080:], e.Hardlink)
			}
		}
		if held := live() - before; held > most && live() > before {
			t.Errorf("%s holds %d KiB, over %d", name, held>>10, most>>10)
		}
		if entries < 4041 || deepest != 2040 {
			t.Errorf("%s: %d entries, %d deep", name, entries, deepest)
		}
		src.Close()
	}
}

// live is how much memory is in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
