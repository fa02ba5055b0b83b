package ext4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// build writes a file system of entries and returns its path.
func build(t testing.TB, opts Options, entries ...*tree.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeTo(f, opts, entries); err != nil {
		t.Fatal(err)
	}
	return path
}

func dir(path string, mode uint16) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.Dir, Mode: mode, Time: tree.Time{Sec: 1700000000}}
}

func whiteout(path string) *tree.Entry { return &tree.Entry{Path: path, Type: tree.Char} }

// superOf is the superblock of what is in m.
func superOf(t testing.TB, m io.ReaderAt) (s superblock) {
	t.Helper()
	b := make([]byte, superSize)
	if _, err := m.ReadAt(b, superOffset); err != nil {
		t.Fatal(err)
	}
	s.decode(b)
	return s
}

func TestWriterRefuses(t *testing.T) {
	opaque := dir("d", 0o755)
	opaque.Xattrs = []tree.Xattr{tree.Opaque}
	huge := &tree.Entry{Path: "huge", Type: tree.File, Size: maxFileSize + 1, Extents: []tree.Extent{}}
	two := &tree.Entry{Path: "two", Type: tree.File, Size: 2 << 40, Content: text{}}
	short := file("short", pattern(1, 100))
	short.Size = 101
	long := file("long", pattern(1, 100))
	long.Size = 99
	lower := &tree.Entry{Path: "l", Type: tree.File, Lower: &tree.Lower{Targets: []string{"below"}}}
	big := file("x", nil)
	big.Xattrs = []tree.Xattr{{Name: "user.big", Value: strings.Repeat("v", 5000)}}
	upper := Options{Upper: true, Size: MinUpper}
	for _, c := range []struct {
		name string
		opts Options
		e    *tree.Entry
		want string
	}{
		{"whiteout", Options{}, whiteout("gone"), "gone: whiteout: only the upper disk"},
		{"opaque", Options{}, opaque, "d: opaque directory: only the upper disk"},
		{"link to a lower layer", upper, lower, "l: hard link to below in a layer below"},
		{"path", Options{}, file("a/../b", nil), "a/../b"},
		{"empty target", Options{}, &tree.Entry{Path: "l", Type: tree.Link}, "l: link target of 0 bytes"},
		{"long target", Options{}, &tree.Entry{Path: "l", Type: tree.Link, Link: strings.Repeat("x", linkMax+1)}, "4096 bytes"},
		{"device", Options{}, &tree.Entry{Path: "c", Type: tree.Char, Dev: tree.Device{Major: 4096}}, "c: device 4096:0"},
		{"huge", Options{}, huge, "huge: 17592186040321 bytes"},
		{"2 TiB", Options{Features: hugeFile}, two, "two: 536870912 blocks: without huge_file"},
		{"short content", Options{}, short, "short: content ends 1 bytes early"},
		{"long content", Options{}, long, "long: content is longer"},
		{"no content", Options{}, &tree.Entry{Path: "n", Type: tree.File, Size: 1}, "n: comes without its content"},
		{"extents", Options{}, sparseFile("s", 10, tree.Extent{Off: 5, Len: 6}), "s: bad extent 5+6"},
		{"type", Options{}, &tree.Entry{Path: "t", Type: 99}, "t: unknown type"},
		{"xattr", Options{}, big, "x: xattr user.big"},
		{"large xattr of an upper disk", upper, big, "x: xattr user.big"},
	} {
		err := writeTo(new(memory), c.opts, []*tree.Entry{c.e})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
	}
}

func TestWriterErrorsStick(t *testing.T) {
	w, err := NewWriter(new(memory), Options{})
	if err != nil {
		t.Fatal(err)
	}
	first := w.Add(whiteout("gone"))
	if !errors.Is(first, ErrNeedsUpper) || w.Add(file("a", nil)) != first || w.Close() != first {
		t.Errorf("first error is %v", first)
	}
	w, _ = NewWriter(new(memory), Options{})
	cause := errors.New("given up")
	if w.Abort(cause); w.Add(file("a", nil)) != cause || w.Close() != cause {
		t.Error("goes on after Abort")
	}
	w, _ = NewWriter(new(memory), Options{})
	if err := w.Close(); err != nil || w.Close() != nil || w.Add(file("a", nil)) != errClosed {
		t.Errorf("goes on after Close: %v", err)
	}
}

// badOutput fails when it is written to above a block.
type badOutput struct {
	memory
	above int64
}

var errBad = errors.New("no space left")

func (b *badOutput) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.above {
		return 0, errBad
	}
	return b.memory.WriteAt(p, off)
}

func TestWriterFullDisk(t *testing.T) {
	for _, above := range []int64{0, 100 * blockSize, 600 * blockSize, 5 << 20} {
		if err := writeTo(&badOutput{above: above}, Options{Size: 64 << 20, FreeInodes: new(int64)}, corpus()); !errors.Is(err, errBad) {
			t.Errorf("full above %d: %v", above, err)
		}
	}
}

func TestOptions(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		opts Options
		want string // "": these are good
	}{
		{Options{}, ""},
		{Options{Upper: true, Size: MinUpper}, ""},
		{Options{Upper: true, Size: MaxSize}, ""},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 8 << 40}, ""},
		{Options{Upper: true, Size: 14 << 40, MaxSize: 16<<40 - blockSize}, ""},
		{Options{Size: 1 << 20, Journal: new(int64)}, ""},
		{Options{Label: strings.Repeat("x", 16)}, ""},
		{Options{Epoch: size(1<<40 - 1)}, ""},
		{Options{Upper: true}, "too small"},
		{Options{Upper: true, Size: MinUpper - 1}, "too small"},
		{Options{Upper: true, Size: MaxSize + 1}, "too large"},
		{Options{Upper: true, Size: 16 << 40, Features: bit64}, "too large"},
		{Options{Size: -1}, "negative"},
		{Options{Upper: true, Size: MinUpper, Shrink: true}, "upper disk has a size"},
		{Options{Size: 1 << 30, Shrink: true}, "there is a size"},
		{Options{Size: 1 << 30, FreeSpace: size(1)}, "there is a size"},
		{Options{Shrink: true, FreeSpace: size(1)}, "no free space"},
		{Options{FreeSpace: size(-1)}, "out of range"},
		{Options{MaxSize: 1 << 40, Features: resizeInode}, "without resize_inode"},
		{Options{Size: 1 << 30, MaxSize: 1 << 29}, "cannot grow"},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 16 << 40}, "resize_inode ends"},
		{Options{Upper: true, Size: 17 << 40, MaxSize: 18 << 40}, "resize_inode ends"},
		{Options{Upper: true, Size: 4 << 30, MaxSize: 9 << 40}, "no room to reserve"},
		{Options{Journal: size(4<<20 - 1)}, "journal"},
		{Options{Journal: size(41943040001)}, "journal"},
		{Options{BytesPerInode: 1023}, "bytes for an inode"},
		{Options{Label: strings.Repeat("x", 17)}, "label"},
		{Options{Label: "a\x00b"}, "label"},
		{Options{Epoch: size(1 << 40)}, "superblock"},
		{Options{Epoch: size(-1)}, "superblock"},
		{Options{Features: flexBG}, "flex_bg"},
	} {
		err := c.opts.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.opts, err, c.want)
		}
	}
}

// The size that the error names is enough, and a little less is not.
func TestTooSmall(t *testing.T) {
	entries := corpus()
	for i := range 30 {
		entries = append(entries, file(fmt.Sprintf("large%d", i), pattern(i, 5<<20)))
	}
	many := []*tree.Entry{}
	for i := range 20000 {
		many = append(many, file(fmt.Sprintf("f%d", i), nil))
	}
	for _, c := range []struct {
		name    string
		opts    Options
		entries []*tree.Entry
	}{
		{"upper", Options{Upper: true, Size: MinUpper}, entries},
		{"root", Options{Size: 20 << 20}, entries},
		{"tiny root", Options{Size: MinRoot}, entries},
		{"root, no journal", Options{Size: 20 << 20, Journal: new(int64)}, entries},
		{"many in a root", Options{Size: 5 << 20}, many},
		{"replaced in a root", Options{Size: 50 << 20}, append(slices.Clone(entries), entries...)},
		{"replaced in an upper disk", Options{Upper: true, Size: MinUpper}, append(slices.Clone(entries), entries...)},
		{"half a MiB", Options{Size: 20<<20 + 512<<10}, entries},
	} {
		err := writeTo(new(memory), c.opts, c.entries)
		var hint interface{ Hint() string }
		if !errors.As(err, &hint) || !strings.Contains(err.Error(), fmt.Sprint(c.opts.Size)) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var mib, free int64
		if _, err := fmt.Sscanf(hint.Hint(), "--size %dM is enough, with %dM free", &mib, &free); err != nil {
			t.Errorf("%s: hint is %q", c.name, hint.Hint())
			continue
		}
		opts := c.opts
		opts.Size, opts.Check = mib<<20, true
		m := new(memory)
		if err := writeTo(m, opts, c.entries); err != nil {
			t.Errorf("%s: %d MiB are not enough: %v", c.name, mib, err)
			continue
		}
		s := superOf(t, m)
		if have := int64(s.freeBlocks()-min(s.freeBlocks(), keptBlocks(s.blocks()))) * blockSize >> 20; have != free || opts.Upper && free < 8 {
			t.Errorf("%s: %d MiB are free, the hint says %d", c.name, have, free)
		}
		opts.Size -= 2 << 20
		if err := writeTo(new(memory), opts, c.entries); err == nil {
			t.Errorf("%s: less than %d MiB are enough", c.name, mib)
		}
	}
}

func TestTooFewInodes(t *testing.T) {
	var entries []*tree.Entry
	for i := range 20000 {
		entries = append(entries, file(fmt.Sprintf("f%d", i), nil))
	}
	const need = 20000 + 1 + 10 // lost+found, and those with a number of their own
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{Upper: true, Size: MinUpper}, fmt.Sprint(need+2+workInodes, " inodes are needed, there would be 16384")},
		{Options{Upper: true, Size: MinUpper, Inodes: need + 2 + workInodes}, ""},
		{Options{Upper: true, Size: MinUpper, Inodes: 40000}, "40000 inodes are needed, there would be 32768"},
		{Options{Inodes: 1000}, fmt.Sprint(need, " inodes are needed, there would be 1000")},
		{Options{Inodes: need}, ""},
		{Options{Size: 300 << 20, BytesPerInode: 1 << 20}, ""}, // the content comes first
		{Options{Size: 64 << 20, Inodes: 70000}, "70000 inodes are needed, there would be 32768"},
		{Options{Size: 64 << 20, Inodes: 1000}, fmt.Sprint(need, " inodes are needed, there would be 1008")},
	} {
		opts := c.opts
		opts.Check = true
		err := writeTo(new(memory), opts, entries)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.opts, err, c.want)
		}
		if err != nil {
			hinted(t, &opts, err)
			if err := writeTo(new(memory), opts, entries); err != nil {
				t.Errorf("%+v: what the hint says does not help: %v", opts, err)
			}
		}
	}
}

// hinted does what the hint of err says: "--size 3M --inodes 4 is enough".
func hinted(t *testing.T, opts *Options, err error) {
	t.Helper()
	var h interface{ Hint() string }
	if !errors.As(err, &h) {
		t.Fatalf("%v: no hint", err)
	}
	hint := strings.TrimSuffix(h.Hint(), " is enough")
	for _, flag := range strings.Split(hint, "--")[1:] {
		var n int64
		if _, err := fmt.Sscanf(flag, "size %dM", &n); err == nil {
			opts.Size = n << 20
		} else if _, err := fmt.Sscanf(flag, "inodes %d", &n); err == nil {
			opts.Inodes = n
		} else {
			t.Fatalf("hint %q", hint)
		}
	}
}

// Sizes that follow from the content keep what was promised.
func TestSizes(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name           string
		opts           Options
		blocks, inodes uint64 // free ones, at least
		groups         uint64 // as many as these need, for their inodes
	}{
		{"default", Options{}, DefaultFree / blockSize, DefaultFree / freeBytesPerInode, 5},
		{"none", Options{FreeSpace: new(int64)}, 0, 0, 1},
		{"space", Options{FreeSpace: size(1 << 30)}, 1 << 18, 1 << 16, 9},
		{"a block", Options{FreeSpace: size(1)}, 1, 0, 1},
		{"no inodes", Options{FreeSpace: size(1 << 30), FreeInodes: new(int64)}, 1 << 18, 0, 9},
		{"inodes", Options{FreeInodes: size(200000)}, DefaultFree / blockSize, 200000, 7},
		{"many inodes", Options{Shrink: true, FreeInodes: size(200000)}, 0, 200000, 7},
		{"ratio", Options{FreeSpace: size(64 << 20), BytesPerInode: 1024}, 64 << 8, 64 << 10, 3},
		{"just over a group", Options{FreeSpace: size(100 << 20)}, 100 << 8, 0, 1},
		{"just below a group", Options{FreeSpace: size(114 << 20)}, 114 << 8, 0, 2},
	} {
		opts := c.opts
		opts.Check = true
		m := new(memory)
		if err := writeTo(m, opts, corpus()); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s := superOf(t, m)
		if s.freeBlocks() < c.blocks || s.groups() > c.groups || uint64(s.FreeInodes) < c.inodes {
			t.Errorf("%s: %d blocks and %d inodes are free in %d groups, promised were %d and %d in %d", c.name, s.freeBlocks(), s.FreeInodes, s.groups(), c.blocks, c.inodes, c.groups)
		}
		if opts.Shrink == (m.size%sizeUnit == 0) {
			t.Errorf("%s: size is %d", c.name, m.size)
		}
	}
	m := new(memory)
	if err := writeTo(m, Options{Shrink: true, Check: true}, corpus()); err != nil {
		t.Fatal(err)
	}
	if s := superOf(t, m); s.freeBlocks() > 100 || s.FreeInodes >= 16 {
		t.Errorf("the smallest has %d free blocks and %d inodes", s.freeBlocks(), s.FreeInodes)
	}
	err := writeTo(new(memory), Options{MaxSize: 8 << 30, FreeSpace: size(9 << 30)}, corpus())
	if err == nil || !strings.Contains(err.Error(), "8589934592 bytes to which it can grow") {
		t.Errorf("more free space than it can grow: %v", err)
	}
}

// Content that was replaced takes no space.
func TestReplacedContent(t *testing.T) {
	other := dir("d", 0o700)
	link := &tree.Entry{Path: "b", Type: tree.Link, Link: "a"}
	replaced := []*tree.Entry{file("a", pattern(1, 1<<20)), file("b", pattern(2, 1<<20)), file("d", pattern(3, 1<<20)), file("a", pattern(4, 5)), link, other}
	plain := []*tree.Entry{file("a", pattern(4, 5)), link, other}
	opts := Options{Size: 64 << 20, Check: true}
	var free [2]uint64
	for i, entries := range [][]*tree.Entry{replaced, plain} {
		m := new(memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		s := superOf(t, m)
		free[i] = s.freeBlocks()
	}
	if free[0] != free[1] {
		t.Errorf("%d blocks are free, %d without what was replaced", free[0], free[1])
	}
}

// Every bit of what is written follows from entries and options.
func TestSameBytes(t *testing.T) {
	sum := func(opts Options, entries []*tree.Entry) string {
		m := new(memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		return hashOf(m)
	}
	at := int64(1700000000)
	for _, opts := range []Options{{}, {Shrink: true, Epoch: &at}, {Upper: true, Size: 1 << 30}} {
		want := sum(opts, corpus())
		opts.Check = true
		if have := sum(opts, corpus()); have != want {
			t.Errorf("%+v: other bytes the second time", opts)
		}
		opts.Label = "other"
		if have := sum(opts, corpus()); have == want {
			t.Errorf("%+v: the same bytes for another label", opts)
		}
	}
}

func hashOf(m *memory) string {
	h := sha256.New()
	var numbers []int64
	for n := range m.pages {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if bytes.Equal(m.pages[n], zeros[:]) {
			continue
		}
		fmt.Fprintln(h, n)
		h.Write(m.pages[n])
	}
	fmt.Fprintln(h, m.size)
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestUUID(t *testing.T) {
	ids := map[[16]byte]string{}
	seeds := map[[4]uint32]string{}
	at, free := int64(5), int64(1<<20)
	id := [16]byte{1, 2, 3}
	changed := file("one", pattern(77, 1))
	for _, c := range []struct {
		name string
		opts Options
		e    *tree.Entry
	}{
		{"plain", Options{}, nil}, {"content", Options{}, changed}, {"name", Options{}, file("another", nil)},
		{"xattr", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Xattrs: []tree.Xattr{{Name: "user.a", Value: "b"}}}},
		{"a hole behind", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Size: 8192, Extents: []tree.Extent{{Off: 0, Len: 4096}}, Content: pattern(1, 4096)}},
		{"a hole before", Options{}, &tree.Entry{Path: "empty", Type: tree.File, Size: 8192, Extents: []tree.Extent{{Off: 4096, Len: 4096}}, Content: pattern(1, 4096)}},
		{"label", Options{Label: "x"}, nil}, {"time", Options{Epoch: &at}, nil}, {"size", Options{Size: 1 << 30}, nil},
		{"free", Options{FreeSpace: &free}, nil}, {"features", Options{Features: bit64}, nil}, {"journal", Options{Journal: new(int64)}, nil},
		{"upper", Options{Upper: true, Size: 1 << 30}, nil}, {"given", Options{UUID: &id}, nil},
	} {
		entries := corpus()
		if c.e != nil {
			entries = append(entries, c.e)
		}
		m := new(memory)
		if err := writeTo(m, c.opts, entries); err != nil {
			t.Fatal(err)
		}
		s := superOf(t, m)
		if other, ok := ids[s.UUID]; ok {
			t.Errorf("%s has the UUID of %s", c.name, other)
		}
		if other, ok := seeds[s.HashSeed]; ok || s.HashSeed == [4]uint32{} {
			t.Errorf("%s has the hash seed of %s", c.name, other)
		}
		ids[s.UUID], seeds[s.HashSeed] = c.name, c.name
		if c.opts.UUID == nil && (s.UUID[6]>>4 != 8 || s.UUID[8]>>6 != 2) {
			t.Errorf("%s: UUID %x is not of version 8", c.name, s.UUID)
		}
	}
	if ids[id] != "given" {
		t.Error("the UUID that was given is nowhere")
	}
}

func TestSuperblockOptions(t *testing.T) {
	at := int64(1<<32 + 5)
	m := new(memory)
	if err := writeTo(m, Options{Label: "sixteen bytes...", Epoch: &at, Features: metadataCsumSeed}, nil); err != nil {
		t.Fatal(err)
	}
	s := superOf(t, m)
	if string(s.Label[:]) != "sixteen bytes..." || s.MakeTime != 5 || s.MakeTimeHi != 1 || s.WriteTimeHi != 1 || s.LastCheck != 5 ||
		s.MountOptions != 0 || s.ChecksumSeed != uint32(newSeed(s.UUID)) || s.reservedBlocks() != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWriterTimes(t *testing.T) {
	at := tree.Time{Sec: 1000}
	odd := []*tree.Entry{file("past", nil), file("future", nil), file("now", nil)}
	odd[0].Time, odd[1].Time = tree.Time{Sec: -62135596800}, tree.Time{Sec: 1 << 40, Nsec: 7}
	for _, c := range []struct {
		opts Options
		want [3]tree.Time
		warn bool
	}{
		{Options{}, [3]tree.Time{{Sec: minTime}, {Sec: maxTime, Nsec: maxNsec}, {Sec: 1700000000, Nsec: 5}}, true},
		{Options{Clamp: &at}, [3]tree.Time{{Sec: minTime}, at, at}, true},
		{Options{Mtime: &at}, [3]tree.Time{at, at, at}, false},
	} {
		var said []string
		c.opts.Warn = func(s string) { said = append(said, s) }
		c.opts.Check = true
		m := new(memory)
		if err := writeTo(m, c.opts, odd); err != nil {
			t.Fatal(err)
		}
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range odd {
			if have, err := img.Lookup(e.Path); err != nil || have.Time != c.want[i] {
				t.Errorf("%s: %v, expected %v; %v", e.Path, have.Time, c.want[i], err)
			}
		}
		if (len(said) == 1 && strings.HasPrefix(said[0], "past: its time is outside")) != c.warn {
			t.Errorf("said %q", said)
		}
	}
}

func TestUpper(t *testing.T) {
	root := dir(".", 0o1750)
	root.UID, root.Xattrs = 7, []tree.Xattr{{Name: "user.r", Value: "1"}}
	opaque := &tree.Entry{Path: "implied/opaque", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}}
	link := file("link", nil)
	link.Hardlink = "implied/f"
	plain := file("plain", nil)
	plain.Xattrs = []tree.Xattr{{Name: "other.prefix", Value: "x"}, {Name: "trusted.ocipipe.implied", Value: "y"}, {Name: "user.kept", Value: "z"}}
	entries := []*tree.Entry{root, file("implied/f", pattern(1, 10)), link, opaque, whiteout("gone"), plain, file("known/g", nil)}
	mode := uint16(0o700)
	below := func(path string) (*tree.Entry, error) {
		switch path {
		case ".":
			e := dir(".", 0o555)
			e.UID = 99
			return e, nil
		case "known":
			e := dir(path, 0o2711)
			e.GID, e.Xattrs = 12, []tree.Xattr{{Name: "trusted.overlay.opaque", Value: "y"}, {Name: "user.below", Value: "b"}}
			return e, nil
		case "implied":
			return file(path, nil), nil // no directory: nothing to take
		}
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	var said []string
	opts := Options{Upper: true, Size: MinUpper, Below: below, Check: true, Warn: func(s string) { said = append(said, s) }}
	look := func(opts Options, entries []*tree.Entry) func(path string) string {
		m := new(memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		return func(path string) string {
			e, err := img.Lookup(path)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%v %o %d:%d %d %v", e.Type, e.Mode, e.UID, e.GID, e.Nlink, e.Xattrs)
		}
	}
	seeded := look(opts, entries)
	for path, want := range map[string]string{
		".":                    "dir 755 0:0 5 []",
		"upper":                "dir 1750 7:0 4 [{user.r 1}]",
		"work":                 "dir 755 0:0 2 []",
		"lost+found":           "dir 700 0:0 2 []",
		"upper/implied":        "dir 755 0:0 3 []",
		"upper/implied/opaque": "dir 755 0:0 2 [{trusted.overlay.opaque y}]",
		"upper/known":          "dir 2711 0:12 2 [{user.below b}]",
		"upper/link":           "file 644 0:0 2 []",
		"upper/gone":           "char 0 0:0 1 []",
		"upper/plain":          "file 644 0:0 1 [{user.kept z}]",
		"gone":                 "gone: file does not exist",
	} {
		if have := seeded(path); have != want {
			t.Errorf("%s: have %s, want %s", path, have, want)
		}
	}
	want := []string{"plain: xattr other.prefix: left out (and 1 more)", "implied: a directory that is only implied; 0755 of root hide what it is below (and 1 more)"}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, expected %q", said, want)
	}
	said = nil
	look(opts, []*tree.Entry{{Path: ".", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}}})
	if len(said) != 1 || !strings.HasPrefix(said[0], "the root is opaque") {
		t.Errorf("an opaque root: said %q", said)
	}
	if have := look(opts, nil)("upper"); have != "dir 555 99:0 2 []" {
		t.Errorf("empty, from below: %s", have)
	}
	opts.Mode = &mode
	if have := look(opts, entries)("upper"); have != "dir 700 7:0 4 [{user.r 1}]" {
		t.Errorf("with a mode: %s", have)
	}
	if have := look(Options{Upper: true, Size: MinUpper}, nil)("upper"); have != "dir 755 0:0 2 []" {
		t.Errorf("empty: %s", have)
	}
	bad := errors.New("cannot be read")
	opts.Below = func(string) (*tree.Entry, error) { return nil, bad }
	if err := writeTo(new(memory), opts, nil); !errors.Is(err, bad) {
		t.Errorf("what is below cannot be read: %v", err)
	}
}

func TestOwnLostFound(t *testing.T) {
	own := dir("lost+found", 0o711)
	own.UID = 3
	for _, c := range []struct {
		name    string
		entries []*tree.Entry
		want    string
	}{
		{"ours", nil, "dir 700 0 inode 11, 16384 bytes"},
		{"of the tree", []*tree.Entry{file("a", nil), own, file("lost+found/x", nil)}, "dir 711 3 inode 11, 16384 bytes"},
		{"a file", []*tree.Entry{file("a", nil), file("lost+found", nil)}, "file 644 0 inode 12, 0 bytes"},
	} {
		m := new(memory)
		if err := writeTo(m, Options{Check: true}, c.entries); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		ino, _, err := img.lookup("lost+found")
		if err != nil {
			t.Fatal(err)
		}
		have := fmt.Sprintf("%v %o %d inode %d, %d bytes", ino.kind(), ino.Mode&modePerm, ino.UID, ino.number, ino.Size)
		if have != c.want {
			t.Errorf("%s: %s, expected %s", c.name, have, c.want)
		}
	}
}

// Blocks of xattrs are shared by as many inodes as the kernel allows.
func TestSharedXattrBlocks(t *testing.T) {
	var entries []*tree.Entry
	for i := range 2*xattrMaxRefs + 5 {
		e := file(fmt.Sprintf("f%05d", i), nil)
		e.Xattrs = []tree.Xattr{{Name: "user.x", Value: strings.Repeat("v", 200)}}
		entries = append(entries, e)
	}
	m := new(memory)
	if err := writeTo(m, Options{Check: true, Size: 32 << 20}, entries); err != nil {
		t.Fatal(err)
	}
	img, err := Open(m, m.size)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[uint64]int{}
	for _, e := range entries {
		ino, _, err := img.lookup(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		blocks[ino.FileACL]++
	}
	var users []int
	for _, n := range blocks {
		users = append(users, n)
	}
	if slices.Sort(users); !slices.Equal(users, []int{5, xattrMaxRefs, xattrMaxRefs}) {
		t.Errorf("blocks have %d users", users)
	}
}

// zeroContent is n zeros, of which only the first and the last piece are written to
// disk.
type zeroContent int64

func (n zeroContent) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, 1<<20)
	for left := int64(n); left > 0; {
		k, err := w.Write(b[:min(left, int64(len(b)))])
		if err != nil {
			return int64(n) - left, err
		}
		left -= int64(k)
	}
	return int64(n), nil
}

// holes is an Output that forgets zeros.
type holes struct{ memory }

func (h *holes) WriteAt(p []byte, off int64) (int, error) {
	for at := 0; at < len(p); at += blockSize {
		if end := min(at+blockSize, len(p)); !bytes.Equal(p[at:end], zeros[:end-at]) {
			h.memory.WriteAt(p[at:end], off+int64(at))
		}
	}
	return len(p), nil
}

// A file of more than 4 GiB lies around all copies of superblocks, in more extents
// than the inode has room for.
func TestLargeFile(t *testing.T) {
	h := new(holes)
	large := &tree.Entry{Path: "large", Type: tree.File, Size: 5<<30 + 1, Content: zeroContent(5<<30 + 1)}
	last := sparseFile("last", maxFileSize, tree.Extent{Off: 0, Len: 1}, tree.Extent{Off: maxFileSize - 1, Len: 1})
	id := [16]byte{1}
	if err := writeTo(h, Options{UUID: &id, KeepZeros: true}, []*tree.Entry{large, last}); err != nil {
		t.Fatal(err)
	}
	img, err := Open(h, h.size)
	if err != nil {
		t.Fatal(err)
	}
	if err := img.audit(true, func(*tree.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ino, _, err := img.lookup("large")
	var head extentHead
	if err != nil {
		t.Fatal(err)
	}
	head.decode(ino.Block[:])
	if ino.Size != 5<<30+1 || head.Depth != 1 || ino.Blocks != (5<<18+1+1)*sectorBlocks {
		t.Errorf("%d bytes, depth %d, %d sectors", ino.Size, head.Depth, ino.Blocks)
	}
	if s := superOf(t, h); s.ReservedGDT == 0 {
		t.Error("no descriptors are reserved")
	}
	e, err := img.Lookup("last")
	if err != nil || e.Size != maxFileSize || len(e.Extents) != 2 || e.Extents[1].Off != maxFileSize-blockSize {
		t.Errorf("%+v, %v", e, err)
	}
}

// A file system whose size follows from the content has room for all descriptors
// that it may need, also where none are reserved in the end.
func TestLargeWithoutReserve(t *testing.T) {
	h := new(holes)
	id := [16]byte{1}
	const size = 9 << 30 // more than a block of descriptors
	large := &tree.Entry{Path: "large", Type: tree.File, Size: size, Content: zeroContent(size)}
	if err := writeTo(h, Options{UUID: &id, Features: resizeInode, KeepZeros: true}, []*tree.Entry{large}); err != nil {
		t.Fatal(err)
	}
	img, err := Open(h, h.size)
	if err != nil {
		t.Fatal(err)
	}
	if err := img.audit(true, func(*tree.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	if s := superOf(t, h); s.ReservedGDT != 0 || s.Compat&compatResizeInode != 0 || s.groups() < 73 {
		t.Errorf("%d blocks are reserved, features %#x", s.ReservedGDT, s.Compat)
	}
}
