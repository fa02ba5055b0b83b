package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goerofs "github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// unpack makes the files of src below a directory of its own.
func unpack(t testing.TB, src tree.Source) string {
	t.Helper()
	reftest.NeedRoot(t)
	root := filepath.Join(t.TempDir(), "root")
	var dirs []tree.Entry
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(root, e.Path)
		if err := makeFile(root, name, e); err != nil {
			t.Fatalf("%q: %v", e.Path, err)
		}
		if e.Type == tree.Dir {
			dirs = append(dirs, *e)
		} else if e.Hardlink == "" {
			setTime(t, name, e)
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- { // what is made in them changes their times
		setTime(t, filepath.Join(root, dirs[i].Path), &dirs[i])
	}
	return root
}

func makeFile(root, name string, e *tree.Entry) error {
	if e.Hardlink != "" {
		return os.Link(filepath.Join(root, e.Hardlink), name)
	}
	var err error
	switch e.Type {
	case tree.Dir:
		err = os.Mkdir(name, 0o700)
	case tree.Link:
		err = os.Symlink(e.Link, name)
	case tree.File:
		err = makeRegular(name, e)
	default:
		err = unix.Mknod(name, uint32(disk.ModeOf(e.Type)), int(unix.Mkdev(e.Dev.Major, e.Dev.Minor)))
	}
	if err == nil {
		err = os.Lchown(name, int(e.UID), int(e.GID))
	}
	if err == nil && e.Type != tree.Link {
		err = unix.Chmod(name, uint32(e.Mode))
	}
	for _, x := range e.Xattrs {
		if err == nil {
			err = unix.Lsetxattr(name, x.Name, []byte(x.Value), 0)
		}
	}
	return err
}

func makeRegular(name string, e *tree.Entry) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var b bytes.Buffer
	if e.Content != nil {
		if _, err := e.Content.WriteTo(&b); err != nil {
			return err
		}
	}
	xs := e.Extents
	if xs == nil {
		xs = []tree.Extent{{Len: e.Size}}
	}
	for _, x := range xs {
		if _, err := f.WriteAt(b.Next(int(x.Len)), x.Off); err != nil {
			return err
		}
	}
	return f.Truncate(e.Size)
}

func setTime(t testing.TB, name string, e *tree.Entry) {
	t.Helper()
	ts := unix.Timespec{Sec: e.Time.Sec, Nsec: int64(e.Time.Nsec)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		t.Fatalf("%q: %v", e.Path, err)
	}
}

// onDisk is the corpus without what other file systems do not hold.
func onDisk() []tree.Entry {
	return withAll(corpus(), func(e *tree.Entry) {
		if e.Time.Sec > 1<<33 {
			e.Time.Sec = 1 << 33
		}
		if len(e.Path) == disk.MaxName { // too much for mkfs.erofs 1.5
			e.Path = e.Path[:200]
		}
	})
}

// lines is a tree stream without contents and without the extents, which writers
// choose in different ways.
func lines(t testing.TB, src tree.Source) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(stream(t, src), "\n") {
		var words []string
		for _, w := range strings.Split(line, " ") {
			if !strings.HasPrefix(w, "extents=") {
				words = append(words, w)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "\n")
}

func TestReadsMkfs(t *testing.T) {
	root := unpack(t, sourceOf(t, onDisk()))
	want := lines(t, sourceOf(t, onDisk()))
	for _, args := range [][]string{
		nil,
		{"-Eforce-inode-extended"},
		{"-Enoinline_data"},
		{"--chunksize=4096"},
		{"--chunksize=4096", "-Eforce-chunk-indexes"},
		{"--chunksize=65536"},
		{"-x1"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "mkfs.erofs")
			reftest.Run(t, "mkfs.erofs", append(args, "--quiet", name, root)...)
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if d := firstDifference(want, lines(t, open(t, b).Source())); d != "" {
				t.Error(d)
			}
		})
	}
}

// Files that mkfs.erofs has compressed are read.
func TestCompressed(t *testing.T) {
	root := unpack(t, sourceOf(t, []tree.Entry{dir("."), file("zeros", make(data, 100000)), file("noise", pattern(1, 20000)), symlink("l", "zeros")}))
	name := filepath.Join(t.TempDir(), "mkfs.erofs")
	reftest.Run(t, "mkfs.erofs", "--quiet", "-zlz4", name, root)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := list(t, open(t, b).Source())
	for path, want := range map[string][]byte{"zeros": make([]byte, 100000), "noise": pattern(1, 20000)} {
		e := files[path]
		if _, ok := e.Content.(*read.Content).Header(); !ok && path == "zeros" {
			t.Error("zeros is not compressed")
		}
		var got bytes.Buffer
		if _, err := e.Content.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) || e.Extents != nil {
			t.Errorf("%s: %d bytes, %v, holes %v", path, got.Len(), err, e.Extents)
		}
	}
}

// Data on another device is listed, too, and read where the device is part of the
// file.
func TestExtraDevice(t *testing.T) {
	root := unpack(t, sourceOf(t, []tree.Entry{dir("."), file("far", pattern(1, 20000))}))
	tmp := t.TempDir()
	blob, name := filepath.Join(tmp, "blob"), filepath.Join(tmp, "mkfs.erofs")
	reftest.Run(t, "mkfs.erofs", "--quiet", "--chunksize=4096", "--blobdev="+blob, name, root)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	e := list(t, open(t, b).Source())["far"]
	if _, err := e.Content.WriteTo(io.Discard); e.Size != 20000 || !errors.Is(err, read.ErrUnsupported) {
		t.Errorf("%+v: %v", e, err)
	}
	extra, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	// The device table says where the device begins if it is appended.
	img := open(t, b)
	at := img.DeviceTable()[0].First
	if at == 0 { // mkfs.erofs 1.5 leaves that to whoever appends it
		at = uint32(len(b) / 4096)
		off := int(erofstest.Super(t, b).DeviceTable()) + 68
		b[off], b[off+1] = byte(at), byte(at>>8)
		dropChecksum(b)
	}
	b = append(b, make([]byte, int(at)*4096-len(b))...)
	b = append(b, extra...)
	var content bytes.Buffer
	e = list(t, open(t, b).Source())["far"]
	if _, err := e.Content.WriteTo(&content); err != nil || !bytes.Equal(content.Bytes(), pattern(1, 20000)) {
		t.Errorf("%d bytes from the appended device, %v", content.Len(), err)
	}
}

// go-erofs sees in our images what we put there.
func TestGoErofsReads(t *testing.T) {
	for _, opts := range []Options{{}, {Layer: true}, {BlockSize: 512}} {
		b := build(t, opts, corpus()...)
		fsys, err := goerofs.Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		src := sourceOf(t, corpus())
		n := 0
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if n++; !fs.ValidPath(e.Path) {
				continue // it takes only UTF-8
			}
			if err := compareGoErofs(fsys, e, opts.Layer); err != nil {
				t.Errorf("%+v: %q: %v", opts, e.Path, err)
			}
		}
		if n < 300 {
			t.Errorf("only %d files", n)
		}
	}
}

func compareGoErofs(fsys fs.FS, e *tree.Entry, layer bool) error {
	fi, err := fsys.(interface {
		Lstat(string) (fs.FileInfo, error)
	}).Lstat(e.Path)
	if err != nil {
		return err
	}
	st := fi.Sys().(*goerofs.Stat)
	xs := make(map[string]string)
	for _, x := range e.Xattrs {
		xs[x.Name] = x.Value
	}
	delete(st.Xattrs, disk.MarkImplied.Name)
	for _, f := range []struct {
		what       string
		have, want any
	}{
		{"mode", uint16(fi.Mode().Perm()), e.Mode & 0o777},
		{"owner", fmt.Sprint(st.UID, st.GID), fmt.Sprint(e.UID, e.GID)},
		{"time", tree.Time{Sec: int64(st.Mtime), Nsec: st.MtimeNs}, e.Time},
		{"links", st.Nlink, int(e.Nlink)},
		{"device", st.Rdev, disk.EncodeDevice(e.Dev)},
		{"xattrs", fmt.Sprint(st.Xattrs), fmt.Sprint(xs)},
	} {
		if f.have != f.want {
			return fmt.Errorf("%s is %v, expected %v", f.what, f.have, f.want)
		}
	}
	switch e.Type {
	case tree.Link:
		if target, err := fs.ReadLink(fsys, e.Path); err != nil || target != e.Link {
			return fmt.Errorf("target %q, %w", target, err)
		}
	case tree.File:
		if e.Hardlink != "" {
			return nil
		}
		b, err := fs.ReadFile(fsys, e.Path)
		if err != nil {
			return err
		}
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, e); err != nil {
			return err
		}
		if !bytes.Equal(b, want.Bytes()) {
			return fmt.Errorf("content of %d bytes differs", len(b))
		}
	}
	return nil
}

// What go-erofs writes we read.
func TestReadsGoErofs(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "go.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := goerofs.Create(f, goerofs.WithBuildTime(1700000000, 0))
	want := []tree.Entry{
		dir("."), dir("d"), file("d/small", pattern(1, 100)), file("d/large", pattern(2, 100001)), file("empty", nil), symlink("l", "d/small"),
		device("c", tree.Char, 1, 3), xattrs(file("x", pattern(3, 4096)), "user.a", "b", "security.selinux", "label"),
	}
	for i := range 500 {
		want = append(want, file(fmt.Sprintf("many-%d", i), pattern(byte(i), i)))
	}
	for i := range want {
		e := &want[i]
		e.Time.Nsec = 0
		if err := addGoErofs(w, e); err != nil {
			t.Fatalf("%s: %v", e.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	if d := firstDifference(lines(t, sourceOf(t, want)), lines(t, img.Source())); d != "" {
		t.Error(d)
	}
}

func addGoErofs(w *goerofs.Writer, e *tree.Entry) error {
	var err error
	name := "/" + e.Path
	switch e.Type {
	case tree.Dir:
		if e.Path != "." {
			err = w.Mkdir(name, fs.FileMode(e.Mode))
		}
	case tree.Link:
		err = w.Symlink(e.Link, name)
	case tree.File:
		var f *goerofs.File
		if f, err = w.Create(name); err == nil {
			if e.Content != nil {
				_, err = e.Content.WriteTo(f)
			}
			err = errors.Join(err, f.Close(), w.Chmod(name, fs.FileMode(e.Mode)))
		}
	default:
		err = w.Mknod(name, disk.ModeOf(e.Type)|e.Mode, disk.EncodeDevice(e.Dev))
	}
	at := time.Unix(e.Time.Sec, int64(e.Time.Nsec))
	err = errors.Join(err, w.Chtimes(name, at, at))
	for _, x := range e.Xattrs {
		err = errors.Join(err, w.Setxattr(name, x.Name, x.Value))
	}
	return err
}

// Ours is never larger than what mkfs.erofs makes of the same files.
func TestSmallerThanMkfs(t *testing.T) {
	reftest.OneThread(t)
	var es []tree.Entry
	for i := range 3000 {
		size := 100 + 1<<(i%14) + i%97 // most are small
		es = append(es, file(fmt.Sprintf("%03d/%d", i%50, i), pattern(byte(i), size)))
	}
	for i := range 50 {
		es = append(es, with(dir(fmt.Sprintf("%03d", i)), func(e *tree.Entry) { e.Time.Sec -= int64(bits.Len(uint(i))) }))
	}
	es = append(es, dir("."))
	root := unpack(t, sourceOf(t, es))
	name := filepath.Join(t.TempDir(), "mkfs.erofs")
	reftest.Run(t, "mkfs.erofs", "--quiet", name, root)
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	ours := int64(len(build(t, Options{}, es...)))
	t.Logf("%d bytes, mkfs.erofs %d: %.4f", ours, fi.Size(), float64(ours)/float64(fi.Size()))
	if ours > fi.Size() {
		t.Errorf("%d bytes, mkfs.erofs makes %d", ours, fi.Size())
	}
}
