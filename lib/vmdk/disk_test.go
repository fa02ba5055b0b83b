package vmdk

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := file(t, dir, "good", make([]byte, 512))
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want error
		text string
	}{
		{"missing", fs.ErrNotExist, "open "},
		{".", unix.EISDIR, "open "},
		{"fifo", nil, "not a file or block device"},
		{file(t, dir, "empty", nil), nil, "empty: is empty"},
		{file(t, dir, "odd", make([]byte, 1000)), nil, "odd: size of 1000 bytes is not a multiple of 512"},
		{file(t, dir, "script", []byte("#!/bin/sh\n")), nil, "script: is a script, not a raw disk"},
		{file(t, dir, "text", []byte("hello\n")), nil, "text: size of 6 bytes is not a multiple of 512"},
		{file(t, dir, "cut", append(erofsHead{blocks: 2}.image(), 0)), nil, "cut: size of 8193 bytes is not a multiple of 512"},
		{"/dev/null", nil, "not a file or block device"},
	} {
		path := c.name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		_, err := Open([]string{good, path})
		says(t, c.name, err, c.want, c.text)
	}
	huge := []string{}
	for _, name := range []string{"a", "b", "c"} { // ext4 ends at 16 TiB, so the size is made up
		huge = append(huge, file(t, dir, name, make([]byte, 512)))
	}
	d := open(t, huge...)
	says(t, "8 EiB", d.add(&extent{path: "x", size: 1<<63 - 1024}), nil, "larger than 8 EiB")
}

// TestSameFile: whatever its name, a file is one extent, at its first place.
func TestSameFile(t *testing.T) {
	dir := t.TempDir()
	a, b := file(t, dir, "a", noise(512, 1)), file(t, dir, "b", noise(1024, 2))
	copied := file(t, dir, "copied", noise(512, 1)) // the same bytes are not the same file
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(b, hard); err != nil {
		t.Fatal(err)
	}
	d := open(t, a, b, link, copied, hard, a)
	var have []string
	for _, e := range d.extents {
		have = append(have, filepath.Base(e.path))
	}
	if want := []string{"a", "b", "copied"}; !reflect.DeepEqual(have, want) || d.Size() != 2048 {
		t.Errorf("extents %q of %d bytes, want %q", have, d.Size(), want)
	}
}

func TestDescriptorOf(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("real/deep", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real/deep", "out"); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	file(t, dir, "a.erofs", noise(512, 1))
	file(t, dir, "layers/b.erofs", noise(1024, 2))
	file(t, dir, "real/deep/c.erofs", noise(1536, 3))
	paths := []string{"a.erofs", "./layers/../layers/b.erofs", filepath.Join(dir, "out/c.erofs")}
	d := open(t, paths...)
	for _, c := range []struct {
		o    FlatOptions
		want [3]string
	}{
		{FlatOptions{}, [3]string{"a.erofs", "layers/b.erofs", "real/deep/c.erofs"}},
		{FlatOptions{Dir: "layers"}, [3]string{"../a.erofs", "b.erofs", "../real/deep/c.erofs"}},
		// ".." of a symbolic link is where the kernel says.
		{FlatOptions{Dir: "out"}, [3]string{"../../a.erofs", "../../layers/b.erofs", "c.erofs"}},
		{FlatOptions{Absolute: true}, [3]string{root + "/a.erofs", root + "/layers/b.erofs", root + "/real/deep/c.erofs"}},
	} {
		desc, err := d.Descriptor(c.o)
		if err != nil {
			t.Errorf("%+v: %v", c.o, err)
			continue
		}
		want := []Line{{1, typeFlat, c.want[0], 0}, {2, typeFlat, c.want[1], 0}, {3, typeFlat, c.want[2], 0}}
		if !reflect.DeepEqual(desc.Lines, want) || desc.CreateType != createSplit || desc.CID != d.CID() {
			t.Errorf("%+v: %+v, want %+v", c.o, desc, want)
		}
	}
	if desc, err := open(t, "a.erofs").Descriptor(FlatOptions{}); err != nil || desc.CreateType != createFlat {
		t.Errorf("one extent is %+v, %v", desc, err)
	}
	if _, err := d.Descriptor(FlatOptions{Dir: "none"}); err == nil {
		t.Error("the directory of the descriptor does not exist")
	}
}

func TestNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		name         string
		plain, force bool // whether it is taken
	}{
		{"a-B_9.erofs", true, true}, {"a b", false, true}, {"it's", false, true}, {"a:b", false, true},
		{"é", false, true}, {"\xff", false, true}, {"a%20#", false, true}, {"a\tb", false, true},
		{`a"b`, false, false}, {"a\nb", false, false}, {"a\rb", false, false},
	} {
		file(t, ".", c.name, make([]byte, 512))
		d := open(t, c.name)
		if _, err := d.Descriptor(FlatOptions{}); (err == nil) != c.plain {
			t.Errorf("%q: %v", c.name, err)
		}
		if desc, err := d.Descriptor(FlatOptions{Force: true}); (err == nil) != c.force || err == nil && desc.Lines[0].Name != c.name {
			t.Errorf("%q forced: %+v, %v", c.name, desc, err)
		}
	}
}

func TestSplit(t *testing.T) {
	dir := t.TempDir()
	const piece = splitSectors * SectorSize
	d := open(t, sparse(t, dir, "a", piece), sparse(t, dir, "b", 2*piece+512), sparse(t, dir, "c", 512))
	desc, err := d.Descriptor(FlatOptions{Dir: dir, Split: true})
	want := []Line{{splitSectors, typeFlat, "a", 0}, {splitSectors, typeFlat, "b", 0}, {splitSectors, typeFlat, "b", splitSectors},
		{1, typeFlat, "b", 2 * splitSectors}, {1, typeFlat, "c", 0}}
	if err != nil || !reflect.DeepEqual(desc.Lines, want) {
		t.Errorf("%+v, %v", desc, err)
	}
	desc, err = d.Descriptor(FlatOptions{Dir: dir})
	if err != nil || len(desc.Lines) != 3 || desc.Lines[1].Sectors != 2*splitSectors+1 {
		t.Errorf("not split: %+v, %v", desc, err)
	}
	huge := &Disk{extents: []*extent{{path: filepath.Join(dir, "a"), size: 4 << 40}}, size: 4 << 40}
	_, err = huge.Descriptor(FlatOptions{Dir: dir, Split: true})
	says(t, "too many lines", err, ErrUnsupported, "VirtualBox reads")
	if _, err := huge.Descriptor(FlatOptions{Dir: dir, Split: true, Force: true}); err != nil {
		t.Errorf("too many lines, forced: %v", err)
	}
}

// TestCID: it changes with each size and the beginning of each extent, and with
// nothing else.
func TestCID(t *testing.T) {
	base := [][]byte{noise(8192, 1), noise(512, 2)}
	cid := func(extents ...[]byte) uint32 {
		dir, paths := t.TempDir(), []string{}
		for i, b := range extents {
			paths = append(paths, file(t, dir, string(rune('a'+i)), b))
		}
		return open(t, paths...).CID()
	}
	want := cid(base...)
	if cid(base...) != want {
		t.Error("other directories, another CID")
	}
	changed := bytes.Clone(base[1])
	changed[511]++
	for name, extents := range map[string][][]byte{
		"order": {base[1], base[0]}, "content": {base[0], changed}, "size": {append(base[0], make([]byte, 512)...), base[1]},
		"one less": base[:1],
	} {
		if cid(extents...) == want {
			t.Errorf("%s: the same CID", name)
		}
	}
	for _, reserved := range [][4]byte{{}, {255, 255, 255, 255}, {255, 255, 255, 254}} {
		if id := contentID([32]byte(append(reserved[:], make([]byte, 28)...))); id == 0 || id >= 0xFFFFFFFE {
			t.Errorf("%x becomes %x", reserved, id)
		}
	}
}

func TestDeviceMapper(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	root, _ := filepath.EvalSymlinks(dir)
	d := open(t, file(t, ".", "a", make([]byte, 512)), file(t, ".", "b", make([]byte, 8192)))
	d.extents[1].node = true
	var warnings []string
	table, err := d.DeviceMapper(func(s string) { warnings = append(warnings, s) })
	if want := "0 1 linear " + root + "/a 0\n1 16 linear " + root + "/b 0\n"; err != nil || string(table) != want {
		t.Errorf("%s%v; want %s", table, err, want)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "a: is a file") {
		t.Errorf("warnings: %q", warnings)
	}
	_, err = open(t, file(t, ".", "a b", make([]byte, 512))).DeviceMapper(nil)
	says(t, "a space", err, ErrUnsupported, "a b")
}

// TestRaw: both ways to write a raw disk, with the holes of the extents.
func TestRaw(t *testing.T) {
	dir := t.TempDir()
	paths := []string{
		file(t, dir, "a", noise(4096, 1)), sparse(t, dir, "b", 3<<20, 1<<20),
		file(t, dir, "c", noise(2<<20+512, 3)), sparse(t, dir, "d", 1<<20),
	}
	var want []byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, b...)
	}
	d := open(t, paths...)
	if !bytes.Equal(content(t, d), want) {
		t.Error("other bytes in order")
	}
	var st unix.Stat_t
	out := rawFile(t, d)
	have, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("other bytes at random, %v", err)
	}
	if err := unix.Stat(out, &st); err != nil || st.Blocks*512 > 2<<20+256<<10 {
		t.Errorf("%d bytes are allocated, %v", st.Blocks*512, err)
	}
	memory, err := FromReaderAt("m", bytes.NewReader(want), int64(len(want)))
	if err != nil || !bytes.Equal(content(t, memory), want) {
		t.Errorf("from a reader: %v", err)
	}
}

func rawFile(t testing.TB, d *Disk) string {
	t.Helper()
	f := create(t)
	if err := d.WriteFile(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func create(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestShrunk: an extent that loses its end while it is read is an error.
func TestShrunk(t *testing.T) {
	path := file(t, t.TempDir(), "a", noise(1<<20, 1))
	d := open(t, path)
	if err := os.Truncate(path, 1<<19); err != nil {
		t.Fatal(err)
	}
	says(t, "in order", d.WriteRaw(t.Context(), io.Discard), io.ErrUnexpectedEOF, path)
	says(t, "stream", d.WriteStream(t.Context(), &bytes.Buffer{}, StreamOptions{}), io.ErrUnexpectedEOF, path)
	says(t, "at random", d.WriteFile(t.Context(), create(t)), io.ErrUnexpectedEOF, path)
	d.extents[0].file = nil // as if the file system did not tell of holes
	says(t, "all of it", d.WriteRaw(t.Context(), io.Discard), io.ErrUnexpectedEOF, path+": byte 524288")
}
