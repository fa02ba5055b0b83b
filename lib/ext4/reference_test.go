package ext4

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// mke2fs makes an image of size bytes.
func mke2fs(t testing.TB, size int64, args ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.ext4")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	reftest.Run(t, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4", "-b", "4096"}, args...), name)...)
	return name
}

// writeMounted mounts image to be written, lets fn do so, and unmounts it.
func writeMounted(t testing.TB, image string, fn func(dir string)) {
	t.Helper()
	reftest.NeedRoot(t)
	dir := t.TempDir()
	reftest.Run(t, "mount", "-o", "loop", image, dir)
	defer reftest.Run(t, "umount", dir)
	fn(dir)
}

// populate fills dir with everything that a file system can hold, and leaves traces
// of what was removed.
func populate(t testing.TB, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) { must(os.WriteFile(at(name), b, 0o644)) }
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i>>12 + i*7 + n)
		}
		return b
	}
	for _, n := range []int{0, 1, 4095, 4096, 4097, 3<<20 + 17} {
		write(fmt.Sprint("file", n), bytes(n))
	}
	must(os.MkdirAll(at("sub/empty"), 0o750))
	must(os.Link(at("file1"), at("sub/link")))
	must(os.Link(at("file1"), at("!first")))
	must(os.Symlink("short", at("sym")))
	must(os.Symlink(strings.Repeat("y", 59), at("sym59")))
	must(os.Symlink(strings.Repeat("z", 60), at("sym60")))
	must(os.Symlink(strings.Repeat("x/", 2000), at("longsym")))
	must(os.Link(at("sym"), at("symlink")))
	must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Mknod(at("disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(300, 70000))))
	must(unix.Mknod(at("whiteout"), unix.S_IFCHR, 0))
	must(unix.Mknod(at("fifo"), unix.S_IFIFO|0o644, 0))
	must(unix.Mknod(at("socket"), unix.S_IFSOCK|0o755, 0))
	write(strings.Repeat("n", 255), nil)
	write("\xff raw\n", bytes(3))
	must(os.Mkdir(at("many"), 0o755))
	for i := range 4000 {
		write(fmt.Sprintf("many/a rather long name %04d", i), nil)
	}
	for i := range 4000 {
		if i%3 == 0 {
			must(os.Remove(at(fmt.Sprintf("many/a rather long name %04d", i))))
		}
	}
	must(os.Mkdir(at("acl"), 0o755))
	entry := func(tag, perm uint16, id uint32) string {
		return string([]byte{byte(tag), byte(tag >> 8), byte(perm), byte(perm >> 8), byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)})
	}
	acl := "\x02\x00\x00\x00" + entry(1, 7, 1<<32-1) + entry(2, 5, 70000) + entry(4, 5, 1<<32-1) + entry(8, 4, 5) + entry(16, 7, 1<<32-1) + entry(32, 0, 1<<32-1)
	for name, attrs := range map[string]map[string]string{
		"file1":    {"user.a": "", "user.mime": "text/plain", "trusted.t": "v"},
		"file4096": {"user.large": strings.Repeat("v", 3000), "security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		"file4097": {"user.large": strings.Repeat("v", 3000), "user." + strings.Repeat("k", 250): "long name"},
		"sub":      {"trusted.overlay.opaque": "y"},
		"sym60":    {"trusted.s": "on a link"},
		"acl":      {"system.posix_acl_access": acl, "system.posix_acl_default": acl, "user.x": "y"},
	} {
		for k, v := range attrs {
			must(unix.Lsetxattr(at(name), k, []byte(v), 0))
		}
	}
	sparse(t, at("sparse"))
	must(os.Lchown(at("file4095"), 1<<32-2, 70000))
	must(os.Chmod(at("file4097"), 0o4755|os.ModeSetuid))
	for name, ns := range map[string]int64{"file0": -1500000001, "fifo": 1 << 41 * 1000, "socket": (2<<32 + 5) * 1e9, "sub/empty": 1700000000123456789} {
		ts := unix.NsecToTimespec(ns)
		must(unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// sparse makes a file of 600 extents, of reserved blocks inside and behind its
// end, and of holes.
func sparse(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range int64(600) {
		if _, err = f.WriteAt([]byte(fmt.Sprint(i)), i*3*blockSize+i%7); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(
		unix.Fallocate(int(f.Fd()), 0, 1<<24, 1<<16),
		unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 1<<25, 1<<16),
	)
	if err == nil {
		_, err = f.WriteAt([]byte("in the midst"), 1<<24+1<<15)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// facts are what src yields, in the form of reftest.Walk.
func facts(t testing.TB, src tree.Source) (list []reftest.Fact) {
	t.Helper()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fact(t, e, list))
	}
}

func fact(t testing.TB, e *tree.Entry, before []reftest.Fact) reftest.Fact {
	t.Helper()
	f := reftest.Fact{
		Path: e.Path, Type: e.Type.String(), Mode: reftest.Octal(e.Mode), UID: e.UID, GID: e.GID, Nlink: uint64(e.Nlink),
		Time: fmt.Sprintf("%d.%09d", e.Time.Sec, e.Time.Nsec), Link: e.Link, SameAs: e.Path, Size: e.Size + int64(len(e.Link)),
	}
	if e.Type == tree.Char || e.Type == tree.Block {
		f.Dev = fmt.Sprintf("%d:%d", e.Dev.Major, e.Dev.Minor)
	}
	for _, x := range e.Xattrs {
		if f.Xattrs == nil {
			f.Xattrs = reftest.Xattrs{}
		}
		f.Xattrs[x.Name] = x.Value
	}
	if e.Hardlink != "" {
		f.SameAs = e.Hardlink
		for _, b := range before {
			if b.Path == e.Hardlink {
				f.Sum = b.Sum
			}
		}
	} else if e.Type == tree.File {
		h := sha256.New()
		if err := tree.WriteExpanded(h, e); err != nil {
			t.Fatalf("%s: %v", e.Path, err)
		}
		f.Sum = fmt.Sprintf("%x", h.Sum(nil))
	}
	return f
}

// openFile opens the image in a file.
func openFile(t testing.TB, name string) *Image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

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
	} {
		t.Run(c.name, func(t *testing.T) {
			name := mke2fs(t, c.size, c.args...)
			writeMounted(t, name, func(dir string) { populate(t, dir) })
			want := reftest.Walk(t, reftest.Mount(t, "ext4", name, "noload"), reftest.Look{DirLinks: true})
			want = slices.DeleteFunc(want, func(f reftest.Fact) bool { return f.Path == lostFoundDir })
			want[0].Nlink--
			img := openFile(t, name)
			reftest.Compare(t, want, facts(t, img.Source()))
			if img.super.RoCompat&roCompatGdtCsum == 0 {
				fsck(t, name)
			}
		})
	}
}

func TestInteropLookup(t *testing.T) {
	name := mke2fs(t, 96<<20)
	writeMounted(t, name, func(dir string) { populate(t, dir) })
	img := openFile(t, name)
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
func reference(t testing.TB) *memory {
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
	name := mke2fs(t, 2<<20, "-N", "32", "-O", "^has_journal,^resize_inode", "-d", dir)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	m.WriteAt(b, 0)
	return m
}

// An upper disk that an overlay has used is read as the kernel reads it, whiteouts
// that have a name in the work directory too.
func TestInteropReadUpper(t *testing.T) {
	lower := t.TempDir()
	for _, name := range []string{"a", "b", "c", "dir/x", "dir/y", "other/z"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(lower, name)), 0o755), os.WriteFile(filepath.Join(lower, name), []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	image := build(t, Options{Upper: true, Size: 256 << 20, Check: true})
	overlay(t, lower, image, func(dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		if err := errors.Join(
			os.Remove(at("a")), os.Remove(at("b")), os.Chmod(at("c"), 0o600), os.Link(at("c"), at("d")),
			os.RemoveAll(at("dir")), os.Mkdir(at("dir"), 0o711), os.WriteFile(at("dir/new"), []byte("new"), 0o644),
			os.Rename(at("other/z"), at("z")), os.WriteFile(at("large"), make([]byte, 5<<20), 0o644),
		); err != nil {
			t.Fatal(err)
		}
	})
	fsck(t, image)
	img := openFile(t, image)
	src, err := img.Subtree("upper")
	if err != nil {
		t.Fatal(err)
	}
	want := reftest.Walk(t, filepath.Join(reftest.Mount(t, "ext4", image, "noload"), "upper"), reftest.Look{DirLinks: true})
	have := facts(t, src)
	reftest.Compare(t, want, have)
	whiteouts := 0
	for _, f := range have {
		if f.Type == "char" {
			whiteouts++
		}
	}
	if e, err := img.Lookup("upper/dir"); err != nil || !e.IsOpaque() || whiteouts != 3 {
		t.Errorf("%+v, %v, and %d whiteouts", e, err, whiteouts)
	}
	if _, err := img.Subtree("upper/c"); err == nil {
		t.Error("a file is the root of a tree")
	}
	if _, err := img.Subtree("lower"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what does not exist is the root of a tree: %v", err)
	}
	if err := drain(img.r, img.size); err != nil {
		t.Error(err)
	}
}
