package read_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
)

// What the kernel wrote is read as the kernel reads it.
func TestInteropReadKernel(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		args []string
	}{
		{"default", 96 << 20, nil},
		{"all", 96 << 20, []string{"-O", "metadata_csum_seed,orphan_file,large_dir,ea_inode,mmp"}},
		{"old", 96 << 20, []string{"-O", "^64bit,^metadata_csum,uninit_bg,^has_journal,^resize_inode"}},
		{"meta_bg", 300 << 20, []string{"-O", "meta_bg,^resize_inode", "-N", "20000"}},
		{"small inodes", 96 << 20, []string{"-I", "128", "-O", "^extra_isize,^metadata_csum"}},
		{"large inodes", 96 << 20, []string{"-I", "1024"}},
		{"small groups", 96 << 20, []string{"-g", "8192"}},
		{"linear", 96 << 20, []string{"-O", "^dir_index,^flex_bg"}},
		{"1K", 96 << 20, []string{"-b", "1024"}},
		{"1K, old", 96 << 20, []string{"-b", "1024", "-O", "^64bit,^metadata_csum,^flex_bg"}},
		{"1K, meta_bg", 96 << 20, []string{"-b", "1024", "-O", "meta_bg,^resize_inode"}},
		{"2K", 96 << 20, []string{"-b", "2048"}},
		{"2K, sparse_super2", 96 << 20, []string{"-b", "2048", "-O", "sparse_super2"}},
		{"ext2", 96 << 20, []string{"-t", "ext2"}},
		{"ext3, 1K", 96 << 20, []string{"-t", "ext3", "-b", "1024"}},
		{"no extents", 96 << 20, []string{"-b", "1024", "-O", "^extents,^64bit,^flex_bg,^huge_file"}},
		{"no filetype", 96 << 20, []string{"-O", "^filetype"}},
		{"revision 0", 96 << 20, []string{"-t", "ext2", "-b", "1024", "-r", "0", "-O", "none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := ext4test.Mke2fs(t, c.size, c.args...)
			ext4test.WriteMounted(t, name, func(dir string) { ext4test.Populate(t, dir) })
			want := reftest.Walk(t, reftest.Mount(t, "ext4", name, "noload"), reftest.Look{DirLinks: true})
			want = slices.DeleteFunc(want, func(f reftest.Fact) bool { return f.Path == disk.LostFoundDir })
			want[0].Nlink--
			img := probetest.Open(t, name)
			reftest.Compare(t, want, ext4test.Facts(t, img.Source()))
			if img.Volume().Super.RoCompat&(disk.RoCompatGdtCsum|disk.RoCompatQuota) == 0 {
				probetest.Fsck(t, name)
			}
		})
	}
}

func TestInteropLookup(t *testing.T) {
	name := ext4test.Mke2fs(t, 96<<20)
	ext4test.WriteMounted(t, name, func(dir string) { ext4test.Populate(t, dir) })
	img := probetest.Open(t, name)
	src := img.Source()
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Path, "many/") && !strings.HasSuffix(e.Path, "00") {
			continue
		}
		want := *e
		want.Hardlink, want.Content = "", nil
		if e.Path == "." {
			want.Nlink++ // with lost+found
		}
		have, err := img.Lookup(e.Path)
		if err != nil {
			t.Errorf("%q: %v", e.Path, err)
			continue
		}
		have.Content = nil
		if fmt.Sprint(*have) != fmt.Sprint(want) {
			t.Errorf("%q: %+v, expected %+v", e.Path, *have, want)
		}
	}
	for _, path := range []string{"none", "many/none", "sub/none/x", "file1/x", "sym/x", "", "..", "many//1", "./file1"} {
		if e, err := img.Lookup(path); err == nil {
			t.Errorf("%q: found %+v", path, e)
		} else if tree.CheckPath(path) == nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// reference is a small image of mke2fs in memory.
func reference(t testing.TB) *ext4test.Memory {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
		os.WriteFile(filepath.Join(dir, "a/file"), []byte("content\n"), 0o644),
		os.Symlink("file", filepath.Join(dir, "a/link")),
		os.Symlink(strings.Repeat("long", 30), filepath.Join(dir, "longlink")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	name := ext4test.Mke2fs(t, 2<<20, "-N", "32", "-O", "^has_journal,^resize_inode", "-d", dir)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &ext4test.Memory{}
	m.WriteAt(b, 0)
	return m
}
