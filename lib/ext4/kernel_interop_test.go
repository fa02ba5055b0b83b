package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/grow"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// workTree is a random tree with an empty directory "work" for what happens after.
func workTree(seed uint64, upper bool) []tree.Entry {
	return append(randomTree(seed, 200, upper), tree.Entry{Path: "work", Type: tree.Dir, Mode: 0o755})
}

// compareKept compares all but "work" with entries.
func compareKept(t *testing.T, entries []tree.Entry, dir string) {
	t.Helper()
	other := func(f reftest.Fact) bool { return f.Path == "work" || strings.HasPrefix(f.Path, "work/") }
	want := slices.DeleteFunc(treeFacts(t, entries), other)
	got := slices.DeleteFunc(reftest.Walk(t, dir, reftest.Look{Extents: true, DirLinks: true}), other)
	reftest.Compare(t, want, withoutLostFound(got))
}

// usedImages are images of every layout, each with the directory of its root.
func usedImages(t *testing.T, each func(t *testing.T, image, below string, entries []tree.Entry)) {
	features, err := ParseFeatures("^metadata_csum,^64bit,^resize_inode,^dir_index")
	if err != nil {
		t.Fatal(err)
	}
	free, journal := int64(24<<20), int64(4<<20)
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"root", Options{FreeSpace: &free, Journal: &journal}},
		{"upper", Options{Upper: true, Size: 80 << 20, Journal: &journal}},
		{"old", Options{FreeSpace: &free, Journal: &journal, Features: features}},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, below := workTree(7, c.opts.Upper), "."
			if c.opts.Upper {
				below = "upper"
			}
			each(t, imageFile(t, c.opts, entries...), below, entries)
		})
	}
}

// TestInteropFill: the kernel fills the disk up, deletes, and fills it again.
func TestInteropFill(t *testing.T) {
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		ext4test.WriteMounted(t, image, func(dir string) {
			work := filepath.Join(dir, below, "work")
			n := fill(t, work, 1<<20)
			removeThird(t, work, n)
			if again := fill(t, filepath.Join(work), 5000); again < n/3 {
				t.Errorf("room for %d files, then for %d", n, again)
			}
		})
		probetest.Fsck(t, image)
		ext4test.WriteMounted(t, image, func(dir string) {
			compareKept(t, entries, filepath.Join(dir, below))
			reftest.Run(t, "find", filepath.Join(dir, below, "work"), "-mindepth", "1", "-delete")
			if n := fill(t, filepath.Join(dir, below, "work"), 0); n < 1000 {
				t.Errorf("only %d inodes", n)
			}
		})
		probetest.Fsck(t, image)
	})
}

// fill makes files of up to size bytes in dir until no more fit, and reads the last
// of them back.
func fill(t *testing.T, dir string, size int) int {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(size), 2))
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	for n := 0; ; n++ {
		name := filepath.Join(dir, fmt.Sprintf("%d-%d", size, n))
		part := content[:r.IntN(size+1)]
		if err := os.WriteFile(name, part, 0o644); errors.Is(err, unix.ENOSPC) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		if n%50 == 0 {
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, part) {
				t.Fatalf("%s: %d bytes of %d, or others (%v)", name, len(got), len(part), err)
			}
		}
	}
}

func removeThird(t *testing.T, dir string, n int) {
	t.Helper()
	for i := 0; i <= n; i += 3 {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%d-%d", 1<<20, i))); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestInteropWork: much of everything at random, as fsstress does it. What the kernel
// shows before it unmounts it shows after.
func TestInteropWork(t *testing.T) {
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		workRandomly(t, image, below, entries, 3000)
	})
}

func TestInteropWorkLong(t *testing.T) {
	reftest.Long(t)
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		workRandomly(t, image, below, entries, 100000)
	})
}

// TestInteropWorkGrown works on images that we have grown, twice with work between.
func TestInteropWorkGrown(t *testing.T) {
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		for _, size := range []int64{700 << 20, 9 << 30} {
			if err := growImage(image, size); err != nil {
				t.Fatal(err)
			}
			probetest.Fsck(t, image)
			t.Run(fmt.Sprint(size), func(t *testing.T) { workRandomly(t, image, below, entries, 1500) })
		}
	})
}

func workRandomly(t *testing.T, image, below string, entries []tree.Entry, steps int) {
	t.Helper()
	var before []reftest.Fact
	look := reftest.Look{Extents: true, DirLinks: true}
	ext4test.WriteMounted(t, image, func(dir string) {
		work := filepath.Join(dir, below, "work")
		w := worker{Rand: rand.New(rand.NewPCG(uint64(steps), 3)), dir: work}
		for range steps {
			w.step(t)
		}
		before = reftest.Walk(t, work, look)
	})
	probetest.Fsck(t, image)
	mounted := reftest.Mount(t, "ext4", image, "noload")
	reftest.Compare(t, before, reftest.Walk(t, filepath.Join(mounted, below, "work"), look))
	compareKept(t, entries, filepath.Join(mounted, below))
	if len(before) < 50 {
		t.Errorf("only %d files after %d steps", len(before), steps)
	}
}

// worker does what it pleases below dir.
type worker struct {
	*rand.Rand
	dir string
}

// path is one of few, so that operations meet.
func (w *worker) path() string {
	p := filepath.Join(w.dir, fmt.Sprint("d", w.IntN(12)))
	if w.IntN(3) == 0 {
		return p
	}
	return filepath.Join(p, fmt.Sprintf("%d-%s", w.IntN(60), strings.Repeat("n", w.IntN(4)*60)))
}

// expected are the errors of operations on what happens to be there.
var expected = []error{
	unix.ENOENT, unix.EEXIST, unix.ENOTDIR, unix.EISDIR, unix.ENOTEMPTY, unix.ENOSPC, unix.EINVAL, unix.EPERM, unix.ENODATA, unix.ELOOP, unix.ENXIO, unix.EFBIG, unix.EOPNOTSUPP,
}

func (w *worker) step(t *testing.T) {
	t.Helper()
	p, q := w.path(), w.path()
	var err error
	switch w.IntN(14) {
	case 0, 1:
		err = os.Mkdir(p, 0o755)
	case 2, 3, 4:
		err = w.write(p)
	case 5:
		err = unix.Truncate(p, w.Int64N(1<<20))
	case 6:
		err = unix.Rename(p, q)
	case 7:
		err = os.Link(p, q)
	case 8:
		err = unix.Symlink(strings.Repeat("t", 1+w.IntN(200)), p)
	case 9:
		err = os.Remove(p)
	case 10:
		err = unix.Lsetxattr(p, fmt.Sprint("trusted.", w.IntN(9)), make([]byte, w.IntN(700)), 0)
	case 11:
		err = unix.Lremovexattr(p, fmt.Sprint("trusted.", w.IntN(9)))
	case 12:
		err = w.fallocate(p)
	case 13:
		err = unix.Mknod(p, pick[uint32](w.Rand, unix.S_IFIFO, unix.S_IFCHR, unix.S_IFSOCK)|0o600, w.IntN(1<<16))
	}
	if err != nil && !slices.ContainsFunc(expected, func(e error) bool { return errors.Is(err, e) }) {
		t.Fatal(err)
	}
}

func (w *worker) write(path string) error {
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, w.IntN(50000))
	for i := range b {
		b[i] = byte(i*w.IntN(2) + 1)
	}
	_, err = f.WriteAt(b, w.Int64N(1<<19))
	return err
}

func (w *worker) fallocate(path string) error {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	mode := pick[uint32](w.Rand, 0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE)
	return unix.Fallocate(int(f.Fd()), mode, w.Int64N(1<<19), 1+w.Int64N(1<<17))
}

// TestInteropDirectoryGrows: the kernel adds names to hashed directories of ours,
// whose leaves have to be split, and takes others away.
func TestInteropDirectoryGrows(t *testing.T) {
	for _, n := range []int{140, 1000, 41000} { // the last one full but for a few leaves
		var entries []tree.Entry
		for i := range n {
			entries = append(entries, tree.Entry{Path: fmt.Sprintf("d/ours-%d-%060d", i, i), Type: tree.Fifo})
		}
		image := imageFile(t, Options{}, entries...)
		ext4test.WriteMounted(t, image, func(dir string) {
			dir = filepath.Join(dir, "d")
			for i := range 3000 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("theirs-%d-%0100d", i, i)), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Join(dir, fmt.Sprintf("ours-%d-%060d", i, i))); err != nil && i < n {
					t.Fatal(err)
				}
			}
		})
		probetest.Fsck(t, image)
		names, err := os.ReadDir(filepath.Join(reftest.Mount(t, "ext4", image, "noload"), "d"))
		if want := 3000 + max(0, n-3000); err != nil || len(names) != want {
			t.Errorf("%d names, want %d (%v)", len(names), want, err)
		}
	}
}

// TestInteropResize: resize2fs makes our images larger and smaller, mounted and
// not.
func TestInteropResize(t *testing.T) {
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		fi, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		larger := fi.Size() + 300<<20
		if err := os.Truncate(image, larger); err != nil {
			t.Fatal(err)
		}
		reftest.Run(t, "resize2fs", image)
		probetest.Fsck(t, image)
		if err := os.Truncate(image, larger+9<<30); err != nil {
			t.Fatal(err)
		}
		growMounted(t, image, filepath.Join(below, "work"))
		probetest.Fsck(t, image)
		t.Run("work", func(t *testing.T) { workRandomly(t, image, below, entries, 1000) }) // which unmounts at its end
		reftest.Run(t, "e2fsck", "-fy", image)                                             // resize2fs wants to see that it was checked
		reftest.Run(t, "resize2fs", "-M", image)
		probetest.Fsck(t, image)
		compareKept(t, entries, filepath.Join(reftest.Mount(t, "ext4", image, "noload"), below))
	})
}

// growImage grows the image in a file to size bytes.
func growImage(image string, size int64) error {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return grow.Grow(context.Background(), f, grow.Options{Size: size})
}

// growMounted has the kernel grow the file system to all of the image while files
// are being written.
func growMounted(t *testing.T, image, below string) {
	t.Helper()
	dev := strings.TrimSpace(reftest.Run(t, "losetup", "-f", "--show", image))
	defer reftest.Run(t, "losetup", "-d", dev)
	dir := t.TempDir()
	reftest.Run(t, "mount", "-t", "ext4", dev, dir)
	defer reftest.Run(t, "umount", dir)
	var before, after unix.Statfs_t
	if err := unix.Statfs(dir, &before); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan bool), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(time.Millisecond):
			}
			if err := os.WriteFile(filepath.Join(dir, below, fmt.Sprint(i%100)), make([]byte, 10000), 0o644); err != nil {
				stopped <- err
				return
			}
		}
	}()
	_, err := reftest.Try(t, "resize2fs", dev)
	close(stop)
	if werr := <-stopped; werr != nil {
		t.Error(werr)
	}
	if err != nil && strings.Contains(err.Error(), "Permission denied to resize") {
		t.Logf("not allowed here: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Statfs(dir, &after); err != nil || after.Blocks <= before.Blocks {
		t.Errorf("%d blocks before, %d after (%v)", before.Blocks, after.Blocks, err)
	}
}

// TestInteropTune: tune2fs and e2fsck -D change our images, which stay good.
func TestInteropTune(t *testing.T) {
	usedImages(t, func(t *testing.T, image, below string, entries []tree.Entry) {
		for _, args := range [][]string{
			{"tune2fs", "-L", "another", image},
			{"tune2fs", "-U", "11111111-2222-3333-4444-555555555555", image},
			{"tune2fs", "-O", "^has_journal", image},
			{"tune2fs", "-j", image},
			{"tune2fs", "-m", "1", "-o", "acl,user_xattr", image},
		} {
			reftest.Run(t, "e2fsck", "-fy", image) // tune2fs wants to see that it was checked
			reftest.Run(t, args[0], args[1:]...)
			probetest.Fsck(t, image)
		}
		if out, err := reftest.Try(t, "e2fsck", "-fyD", image); err != nil && !strings.Contains(out, "FILE SYSTEM WAS MODIFIED") {
			t.Error(err)
		}
		probetest.Fsck(t, image)
		compareKept(t, entries, filepath.Join(reftest.Mount(t, "ext4", image, "noload"), below))
	})
}

// TestInteropOtherReaders: debugfs and fuse2fs find in our images what the kernel
// finds.
func TestInteropOtherReaders(t *testing.T) {
	entries := slices.DeleteFunc(randomTree(11, 150, false), func(e tree.Entry) bool {
		return strings.ContainsAny(e.Path, " \t\n\"\\") || e.Type == tree.Socket || e.Type == tree.Char || e.Type == tree.Block || e.Type == tree.Fifo || e.Hardlink != ""
	})
	for i := range 500 {
		entries = append(entries, tree.Entry{Path: fmt.Sprintf("many/%d", i), Type: tree.File, Mode: 0o644, Size: int64(i % 50), Content: noise{int64(i), int64(i % 50)}})
	}
	image := imageFile(t, Options{}, entries...)
	want := treeFacts(t, entries)
	t.Run("debugfs", func(t *testing.T) {
		dir := t.TempDir()
		reftest.Run(t, "debugfs", "-R", "rdump / "+dir, image)
		got := reftest.Walk(t, dir, reftest.Look{})
		reftest.Compare(t, want, dropLostFound(got), "Time", "Xattrs", "Nlink", "SameAs", "Extents", "Mode", "UID", "GID") // it sets those of some
	})
	t.Run("fuse2fs", func(t *testing.T) {
		if _, err := os.Stat("/dev/fuse"); err != nil {
			reftest.Skip(t, "no /dev/fuse")
		}
		dir := t.TempDir()
		reftest.Run(t, "fuse2fs", "-o", "ro,fakeroot,allow_other", image, dir)
		defer reftest.Run(t, "umount", dir)
		reftest.Compare(t, want, dropLostFound(reftest.Walk(t, dir, reftest.Look{})), "Time", "Xattrs", "Nlink", "Extents")
	})
}

func dropLostFound(list []reftest.Fact) []reftest.Fact {
	return slices.DeleteFunc(list, func(f reftest.Fact) bool { return f.Path == "lost+found" })
}

// TestInteropFreeSpace: a file can have as much as was to be free; the kernel keeps
// some of it for itself.
func TestInteropFreeSpace(t *testing.T) {
	free := int64(64 << 20)
	image := imageFile(t, Options{FreeSpace: &free}, large("large", 50<<20))
	ext4test.WriteMounted(t, image, func(dir string) {
		f, err := os.Create(filepath.Join(dir, "file"))
		if err == nil {
			_, err = noise{seed: 3, n: free}.WriteTo(f)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	probetest.Fsck(t, image)
}
