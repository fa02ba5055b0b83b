package ext4

import (
	"bytes"
	"fmt"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/reftest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInteropKernelDirectory: we find in directories that the kernel made what it
// put there, in the order in which it looks for it.
func TestInteropKernelDirectory(t *testing.T) {
	image := ext4test.Mke2fs(t, 96<<20)
	var want []string
	ext4test.WriteMounted(t, image, func(dir string) {
		for i := range 20000 {
			name := fmt.Sprintf("%d\xff%s", i, strings.Repeat("n", i%50))
			want = append(want, name)
			if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "d", name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	var blocks bytes.Buffer
	blocks.WriteString(reftest.Run(t, "debugfs", "-R", "cat /d", image))
	super := make([]byte, superSize)
	if f, err := os.Open(image); err != nil {
		t.Fatal(err)
	} else if _, err = f.ReadAt(super, superOffset); err != nil {
		t.Fatal(err)
	} else {
		f.Close()
	}
	var s superblock
	s.decode(super)
	opt := s.dirOptions()
	b := blocks.Bytes()
	err := checkIndex(uint32(len(b)/blockSize), opt, func(i uint32) ([]byte, error) { return b[i*blockSize:][:blockSize], nil })
	if err != nil {
		t.Error(err)
	}
	var got []string
	for at := 0; at < len(b); at += blockSize {
		ents, err := appendDirents(nil, b[at:][:blockSize])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ents {
			if d.name == "." || d.name == ".." {
				continue
			}
			got = append(got, d.name)
			if ino, _ := kernelLookup(b, d.name, opt); ino == 0 {
				t.Fatalf("%q is not where it should be", d.name)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d names read, %d made", len(got), len(want))
	}
}
