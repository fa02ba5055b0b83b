package overlay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/erofs"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/layer"
	"ocipipe/lib/lower"
	"ocipipe/lib/overlay"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// machine is an upper disk above images, and what was seen in their overlay.
type machine struct {
	lowers []string // EROFS images, from bottom to top
	tars   [][]byte // the same as layers
	upper  string   // ext4 image
	user   bool     // mounted with userxattr
}

// tarOf is the content of dir as a layer.
func tarOf(t testing.TB, dir string) []byte {
	t.Helper()
	return []byte(reftest.Run(t, "tar", "-C", dir, "--xattrs", "--xattrs-include=*", "--sparse", "--format=pax", "--sort=name", "--numeric-owner", "-cf", "-", "."))
}

// newMachine makes the lower images of tars, layers from bottom to top, and an empty upper disk.
func newMachine(t testing.TB, tars ...[]byte) *machine {
	t.Helper()
	m := &machine{tars: tars, upper: filepath.Join(t.TempDir(), "upper.ext4")}
	for i, b := range tars {
		src, err := layer.NewReader(bytes.NewReader(b), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), fmt.Sprintf("lower%d.erofs", i))
		m.lowers = append(m.lowers, name)
		write(t, name, src, func(f *os.File) (tree.Sink, error) {
			return erofs.NewWriter(t.Context(), f, erofs.Options{Layer: len(tars) > 1, SpoolDir: t.TempDir()})
		})
	}
	write(t, m.upper, tree.New().Source(tree.Layer), func(f *os.File) (tree.Sink, error) {
		return ext4.NewWriter(t.Context(), f, ext4.Options{Upper: true, Size: 128 << 20})
	})
	return m
}

func write(t testing.TB, name string, src tree.Source, open func(f *os.File) (tree.Sink, error)) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := open(f)
	if err == nil {
		err = tree.Copy(context.Background(), w, src)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mounted mounts the overlay with options, and calls fn with its directory.
func (m *machine) mounted(t testing.TB, options string, fn func(dir string)) {
	t.Helper()
	reftest.NeedRoot(t)
	top := t.TempDir()
	var undo []string
	defer func() {
		slices.Reverse(undo)
		for _, dir := range undo {
			reftest.Run(t, "umount", dir)
		}
	}()
	mount := func(dir string, args ...string) string {
		dir = filepath.Join(top, dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := reftest.Try(t, "mount", append(args, dir)...); err != nil {
			reftest.Skip(t, "mounting is not allowed here: %v", err)
		}
		undo = append(undo, dir)
		return dir
	}
	below := ""
	for i, l := range m.lowers {
		below = ":" + mount(fmt.Sprint("lower", i), "-t", "erofs", "-o", "loop,ro", l) + below
	}
	disk := mount("disk", "-o", "loop", m.upper)
	fn(mount("overlay", "-t", "overlay", "overlay", "-o", fmt.Sprintf("%slowerdir=%s,upperdir=%s/upper,workdir=%s/work", options, below[1:], disk, disk)))
}

// below merges the images below.
func (m *machine) below(t testing.TB) *overlay.Below {
	t.Helper()
	names := &overlay.Names{UserXattr: m.user}
	var inputs []lower.Input
	for _, name := range m.lowers {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		inputs = append(inputs, lower.Input{Name: name, R: f})
	}
	l, err := lower.Merge(t.Context(), inputs, lower.Options{Visit: names.Visit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &overlay.Below{Tree: l.Tree, UUIDs: l.UUIDs, Names: names}
}

// changes reads the upper disk. Of a warning it makes an error.
func (m *machine) changes(t testing.TB, below *overlay.Below) (tree.Source, error) {
	t.Helper()
	f, err := os.Open(m.upper)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := read.OpenRecovered(f, info.Size())
	if err != nil {
		return nil, err
	}
	return overlay.Changes(img, overlay.Options{UserXattr: m.user, Below: below, Warn: func(s string) { t.Errorf("warning: %s", s) }})
}

// layerOf is src as the tar of a layer.
func layerOf(t testing.TB, src tree.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := layer.NewWriter(&b, layer.WriterOptions{Layer: true})
	if err == nil {
		err = tree.Copy(context.Background(), w, src)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// applied is what layers show when they are merged.
func applied(t testing.TB, tars ...[]byte) []reftest.Fact {
	t.Helper()
	var inputs []layer.Input
	for i, b := range tars {
		inputs = append(inputs, layer.Input{Name: fmt.Sprint("layer ", i), Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b)), nil
		}})
	}
	l, err := layer.Merge(t.Context(), inputs, layer.LoadOptions{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return treetest.Facts(t, l.Source(tree.Flat))
}

// unpacked is the directory to which umoci unpacks layers.
func unpacked(t testing.TB, tars [][]byte) string {
	t.Helper()
	reftest.Need(t, "umoci")
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "unpacked")
	reftest.Run(t, "umoci", "init", "--layout", image)
	reftest.Run(t, "umoci", "new", "--image", image+":l")
	for i, b := range tars {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		reftest.Run(t, "umoci", "raw", "add-layer", "--image", image+":l", name)
	}
	reftest.Run(t, "umoci", "raw", "unpack", "--image", image+":l", dir)
	return dir
}

// withoutSockets leaves out what tar does not have.
func withoutSockets(list []reftest.Fact) []reftest.Fact {
	return slices.DeleteFunc(list, func(f reftest.Fact) bool { return f.Type == "socket" })
}

// settings are options of overlay mounts.
var settings = []struct {
	name, options string
	redirects     bool // the images below may be needed
}{
	{"plain", "redirect_dir=off,metacopy=off,index=off,", false},
	{"default", "", true},
	{"redirect_dir", "redirect_dir=on,", true},
	{"metacopy", "redirect_dir=on,metacopy=on,", true},
	{"index", "index=on,redirect_dir=off,", true},
	{"all", "index=on,redirect_dir=on,metacopy=on,", true},
	{"nfs_export", "index=on,nfs_export=on,redirect_dir=on,", true},
	{"userxattr", "userxattr,", false},
	{"xino", "xino=on,redirect_dir=on,", true},
}

// What was done at random in an overlay is in the layer: above what was below, it is the tree
// that was seen.
func TestInteropRandomWork(t *testing.T) {
	seeds := 3
	if os.Getenv("SOAK") == "true" {
		seeds = 300
	}
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { randomWork(t, s.options, s.redirects, uint64(seed)) })
			}
		})
	}
}

func randomWork(t *testing.T, options string, redirects bool, seed uint64) {
	reftest.NeedRoot(t)
	r := rand.New(rand.NewPCG(seed, uint64(len(options))))
	base := t.TempDir()
	w := &worker{t: t, r: r, dir: base}
	w.populate()
	m := newMachine(t, tarOf(t, base))
	if seed%3 == 2 {
		second := t.TempDir()
		(&worker{t: t, r: r, dir: second}).populate()
		m = newMachine(t, m.tars[0], tarOf(t, second))
	}
	m.user = strings.HasPrefix(options, "userxattr")
	m.mounted(t, options, func(dir string) {
		(&worker{t: t, r: r, dir: dir}).work(120)
	})
	if r.IntN(2) == 0 { // what copy-up leaves is different the second time
		m.mounted(t, options, func(dir string) { (&worker{t: t, r: r, dir: dir}).work(40) })
	}
	var seen []reftest.Fact
	m.mounted(t, options, func(dir string) { seen = withoutSockets(reftest.Walk(t, dir, reftest.Look{})) })
	src, err := m.changes(t, m.below(t))
	if err != nil {
		t.Fatal(err)
	}
	tar := layerOf(t, src)
	reftest.Compare(t, seen, applied(t, append(m.tars, tar)...), "Nlink", "Extents")
	if seed == 0 {
		reftest.Compare(t, seen, reftest.Walk(t, unpacked(t, append(m.tars, tar)), reftest.Look{}), "Nlink")
	}
	if redirects {
		return
	}
	if src, err = m.changes(t, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tar, layerOf(t, src)) {
		t.Error("the images below make a difference")
	}
}

// worker does random things in a directory.
type worker struct {
	t   testing.TB
	r   *rand.Rand
	dir string
}

func (w *worker) populate() {
	w.t.Helper()
	if err := os.Chmod(w.dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.work(150)
}

// paths are all files below w.dir, without it.
func (w *worker) paths() (list []string) {
	filepath.Walk(w.dir, func(path string, _ os.FileInfo, err error) error {
		if err == nil && path != w.dir {
			list = append(list, path)
		}
		return nil
	})
	return list
}

func (w *worker) work(steps int) {
	w.t.Helper()
	done := 0
	for range steps {
		if w.step(w.paths()) == nil {
			done++
		}
	}
	if done < steps/4 {
		w.t.Fatalf("only %d of %d steps succeeded", done, steps)
	}
}

// fresh is a path in some directory, that may exist.
func (w *worker) fresh(all []string) string {
	dir := w.dir
	for range 3 {
		if len(all) == 0 {
			break
		}
		if p := all[w.r.IntN(len(all))]; isDir(p) {
			dir = p
			break
		}
	}
	return filepath.Join(dir, string(rune('a'+w.r.IntN(9))))
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func (w *worker) data() []byte {
	return bytes.Repeat([]byte{byte('a' + w.r.IntN(26))}, []int{0, 1, 100, 4096, 9000}[w.r.IntN(5)])
}

// step does one thing. Many fail: names exist, files are of the wrong kind.
func (w *worker) step(all []string) error {
	if len(all) == 0 {
		return os.Mkdir(w.fresh(nil), 0o755)
	}
	old := all[w.r.IntN(len(all))]
	switch w.r.IntN(22) {
	case 0, 1, 2:
		path, mode := w.fresh(all), os.FileMode(0o600|w.r.IntN(0o200))
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			return unix.EINVAL // a pipe would wait, and a device is no place to write to
		}
		return os.WriteFile(path, w.data(), mode)
	case 3, 4:
		return os.Mkdir(w.fresh(all), os.FileMode(0o700|w.r.IntN(0o100)))
	case 5:
		if info, err := os.Lstat(old); err != nil || !info.Mode().IsRegular() {
			return unix.EINVAL
		}
		f, err := os.OpenFile(old, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Write([]byte("more"))
		return err
	case 6:
		if info, err := os.Lstat(old); err != nil || !info.Mode().IsRegular() {
			return unix.EINVAL
		}
		return os.Truncate(old, int64(w.r.IntN(20000)))
	case 7, 8:
		return os.Remove(old)
	case 9:
		if len(all) < 20 {
			return unix.EINVAL
		}
		if err := os.RemoveAll(old); err != nil || w.r.IntN(2) == 0 {
			return err
		}
		return os.Mkdir(old, 0o711)
	case 10, 11, 12:
		return os.Rename(old, w.fresh(all))
	case 13:
		if info, err := os.Lstat(old); err != nil || info.Mode().Type() == os.ModeSymlink {
			return unix.EINVAL
		}
		return os.Chmod(old, os.FileMode(w.r.IntN(0o1000)|0o400))
	case 14:
		return os.Lchown(old, w.r.IntN(100000), w.r.IntN(100000))
	case 15:
		at := unix.NsecToTimespec(w.r.Int64N(4e18))
		return unix.UtimesNanoAt(unix.AT_FDCWD, old, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	case 16, 17:
		return os.Link(old, w.fresh(all))
	case 18:
		return os.Symlink([]string{"a", "../b/c", "/none"}[w.r.IntN(3)], w.fresh(all))
	case 19:
		mode := []uint32{unix.S_IFIFO | 0o640, unix.S_IFCHR | 0o600, unix.S_IFBLK | 0o660, unix.S_IFSOCK | 0o755}[w.r.IntN(4)]
		return unix.Mknod(w.fresh(all), mode, int(unix.Mkdev(240, uint32(1+w.r.IntN(300))))) // of no driver
	case 20:
		name := []string{"user.a", "user.b", "trusted.c", "security.d"}[w.r.IntN(4)]
		if w.r.IntN(3) == 0 {
			return unix.Lremovexattr(old, name)
		}
		return unix.Lsetxattr(old, name, []byte(strings.Repeat("x", w.r.IntN(100))), 0)
	default:
		acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x05\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x05\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
		name := "system.posix_acl_access"
		if isDir(old) && w.r.IntN(2) == 0 {
			name = "system.posix_acl_default"
		}
		return unix.Lsetxattr(old, name, []byte(acl), 0)
	}
}
