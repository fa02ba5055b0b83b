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
	"ocipipe/lib/tree/treetest"
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
		{"1K, meta_bg", 96 << 20, []string{"-b", "1024", "-g", "2048", "-O", "meta_bg,^resize_inode"}},
		{"2K", 96 << 20, []string{"-b", "2048"}},
		{"2K, sparse_super2", 96 << 20, []string{"-b", "2048", "-O", "sparse_super2"}},
		{"ext2", 96 << 20, []string{"-t", "ext2"}},
		{"ext3, 1K", 96 << 20, []string{"-t", "ext3", "-b", "1024"}},
		{"no extents", 96 << 20, []string{"-b", "1024", "-O", "^extents,^64bit,^flex_bg,^huge_file"}},
		{"no filetype", 96 << 20, []string{"-O", "^filetype"}},
		{"bigalloc", 400 << 20, []string{"-O", "bigalloc", "-C", "32768"}},
		{"bigalloc, 1K", 96 << 20, []string{"-b", "1024", "-O", "bigalloc"}},
		{"inline data", 96 << 20, []string{"-O", "inline_data"}},
		{"inline data, 1K", 96 << 20, []string{"-b", "1024", "-I", "512", "-O", "inline_data,ea_inode,^metadata_csum"}},
		{"inline data, large inodes", 96 << 20, []string{"-I", "4096", "-N", "8192", "-O", "inline_data,ea_inode"}},
		{"ea_inode, 2K", 96 << 20, []string{"-b", "2048", "-O", "ea_inode"}},
		{"revision 0", 96 << 20, []string{"-t", "ext2", "-b", "1024", "-r", "0", "-O", "none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := ext4test.Mke2fs(t, c.size, c.args...)
			ext4test.WriteMounted(t, name, func(dir string) { ext4test.Populate(t, dir) })
			want := reftest.Walk(t, reftest.Mount(t, "ext4", name, "noload"), reftest.Look{DirLinks: true})
			want = slices.DeleteFunc(want, func(f reftest.Fact) bool { return f.Path == disk.LostFoundDir })
			want[0].Nlink--
			img := probetest.Open(t, name)
			reftest.Compare(t, want, treetest.Facts(t, img.Source()))
			if img.Volume().Super.RoCompat&disk.RoCompatGdtCsum == 0 {
				probetest.Fsck(t, name)
			}
		})
	}
}

// Features that no file uses, and that not every kernel mounts, do no harm.
func TestInteropReadUnused(t *testing.T) {
	name := ext4test.Mke2fs(t, 96<<20)
	ext4test.WriteMounted(t, name, func(dir string) { ext4test.Populate(t, dir) })
	want := treetest.Facts(t, probetest.Open(t, name).Source())
	reftest.Run(t, "tune2fs", "-O", "project,quota", "-Q", "usrquota,grpquota,prjquota", name)
	reftest.Run(t, "debugfs", "-w", "-R", "feature casefold encrypt verity fast_commit stable_inodes", name)
	if s := probetest.SuperOfFile(t, name); s.Incompat&(disk.IncompatCasefold|disk.IncompatEncrypt) != disk.IncompatCasefold|disk.IncompatEncrypt {
		t.Fatalf("features are %s", s.Incompat)
	}
	reftest.Compare(t, want, treetest.Facts(t, probetest.Open(t, name).Source()))
}

// An index of three levels is passed over like others.
func TestInteropReadLargeDir(t *testing.T) {
	name := ext4test.Mke2fs(t, 96<<20, "-b", "1024", "-O", "large_dir", "-N", "200")
	const names = 48000 // three in a block
	ext4test.WriteMounted(t, name, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "0"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for i := range names {
			if err := os.Link(filepath.Join(dir, "0"), filepath.Join(dir, fmt.Sprintf("%0250d", i))); err != nil {
				t.Fatal(err)
			}
		}
	})
	out := reftest.Run(t, "debugfs", "-R", "htree_dump /", name)
	if !strings.Contains(out, "Number of entries (count)") || !strings.Contains(out, "Indirect levels: 2") {
		t.Fatalf("the index does not have three levels: %.400s", out)
	}
	src := probetest.Open(t, name).Source()
	for i := -2; ; i++ {
		e, err := src.Next()
		if err == io.EOF && i == names {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%0250d", i); i >= 0 && e.Path != want || i > -2 && e.Nlink != names+1 {
			t.Fatalf("entry %d is %s with %d links", i, e.Path, e.Nlink)
		}
	}
}

// Blocks of 64 KiB, which no kernel here mounts, are read as debugfs reads them.
func TestInteropRead64K(t *testing.T) {
	dir := t.TempDir()
	want := strings.Repeat("content ", 20000)
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "file"), []byte(want), 0o644),
		os.Symlink(strings.Repeat("l", 200), filepath.Join(dir, "link")),
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, "a/b", fmt.Sprintf("%0100d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, features := range []string{"metadata_csum", "^metadata_csum", "^extents,^metadata_csum,^64bit"} {
		img := probetest.Open(t, ext4test.Mke2fs(t, 128<<20, "-b", "65536", "-N", "8192", "-O", features, "-d", dir))
		facts := treetest.Facts(t, img.Source())
		if len(facts) != 1000+5 {
			t.Errorf("%s: %d entries", features, len(facts))
		}
		e, err := img.Lookup("file")
		if err != nil {
			t.Fatal(err)
		}
		var have strings.Builder
		if _, err := e.Content.WriteTo(&have); err != nil || have.String() != want {
			t.Errorf("%s: content differs: %v", features, err)
		}
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
