package ext4test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// Mke2fs makes an image of size bytes: of ext4, and with blocks of 4096 bytes, if args do not
// say otherwise.
func Mke2fs(t testing.TB, size int64, args ...string) string {
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
	all := append([]string{"-q", "-F", "-b", "4096"}, args...)
	if !slices.Contains(args, "-t") {
		all = append(all, "-t", "ext4")
	}
	reftest.Run(t, "mke2fs", append(all, name)...)
	return name
}

// WriteMounted mounts image to be written, lets fn do so, and unmounts it.
func WriteMounted(t testing.TB, image string, fn func(dir string)) {
	t.Helper()
	reftest.NeedRoot(t)
	dir := t.TempDir()
	reftest.Run(t, "mount", "-o", "loop", image, dir)
	defer reftest.Run(t, "umount", dir)
	fn(dir)
}

// Populate fills dir with everything that a file system can hold, and leaves traces
// of what was removed.
func Populate(t testing.TB, dir string) {
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
	err := os.Symlink(strings.Repeat("x/", 2000), at("longsym"))
	if errors.Is(err, unix.ENAMETOOLONG) { // small blocks hold less
		err = os.Symlink(strings.Repeat("x/", 500), at("longsym"))
	}
	must(err)
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
			err := unix.Lsetxattr(at(name), k, []byte(v), 0)
			if errors.Is(err, unix.ENOSPC) { // small blocks hold less
				err = unix.Lsetxattr(at(name), k, []byte(v[:min(len(v), 500)]), 0)
			}
			must(err)
		}
	}
	for i := range 40 { // some of them inline, where that is a feature
		write(fmt.Sprint("small", i), bytes(i*11))
	}
	must(os.Truncate(at("small3"), 20000))
	must(os.Truncate(at("small9"), 7))
	for _, n := range []int{1, 3, 12} {
		must(os.Mkdir(at(fmt.Sprint("names", n)), 0o755))
		for i := range n {
			must(os.Mkdir(at(fmt.Sprintf("names%d/%d", n, i)), 0o755))
		}
	}
	for i, name := range []string{"small1", "small2", "many", "sym60"} {
		for _, value := range []string{strings.Repeat("same", 5000), strings.Repeat("own", 10000+i)} {
			attr := "trusted.huge" + value[:1]
			if err := unix.Lsetxattr(at(name), attr, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOSPC) { // without ea_inode
				t.Fatal(err)
			}
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

// sparse makes a file of 600 extents, of reserved blocks inside and after its
// end, and of holes.
func sparse(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range int64(600) {
		if _, err = f.WriteAt([]byte(fmt.Sprint(i)), i*3*pageSize+i%7); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(
		unix.Fallocate(int(f.Fd()), 0, 1<<24, 1<<16),
		unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 1<<25, 1<<16),
	)
	if errors.Is(err, unix.EOPNOTSUPP) { // block maps have no reserved blocks
		err = nil
	}
	for _, off := range []int64{1<<24 + 1<<15, 70<<20 + 12345} { // far enough for each level of a block map, with blocks of 1024 bytes
		if err == nil {
			_, err = f.WriteAt([]byte("in the midst"), off)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
