package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/reftest"
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
	super := make([]byte, SuperSize)
	if f, err := os.Open(image); err != nil {
		t.Fatal(err)
	} else if _, err = f.ReadAt(super, SuperOffset); err != nil {
		t.Fatal(err)
	} else {
		f.Close()
	}
	var s Superblock
	s.Decode(super)
	opt := s.DirOptions()
	b := blocks.Bytes()
	err := CheckIndex(uint32(len(b)/BlockSize), opt, func(i uint32) ([]byte, error) { return b[i*BlockSize:][:BlockSize], nil })
	if err != nil {
		t.Error(err)
	}
	var got []string
	for at := 0; at < len(b); at += BlockSize {
		ents, err := AppendDirents(nil, b[at:][:BlockSize])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ents {
			if d.Name == "." || d.Name == ".." {
				continue
			}
			got = append(got, d.Name)
			if ino, _ := kernelLookup(b, d.Name, opt); ino == 0 {
				t.Fatalf("%q is not where it should be", d.Name)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d names read, %d made", len(got), len(want))
	}
}
