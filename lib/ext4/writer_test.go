package ext4

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
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

func TestWriterRefuses(t *testing.T) {
	opaque := ext4test.Dir("d", 0o755)
	opaque.Xattrs = []tree.Xattr{tree.Opaque}
	huge := &tree.Entry{Path: "huge", Type: tree.File, Size: maxFileSize + 1, Extents: []tree.Extent{}}
	two := &tree.Entry{Path: "two", Type: tree.File, Size: 2 << 40, Content: ext4test.Text{}}
	short := ext4test.File("short", ext4test.Pattern(1, 100))
	short.Size = 101
	long := ext4test.File("long", ext4test.Pattern(1, 100))
	long.Size = 99
	lower := &tree.Entry{Path: "l", Type: tree.File, Lower: &tree.Lower{Targets: []string{"below"}}}
	big := ext4test.File("x", nil)
	big.Xattrs = []tree.Xattr{{Name: "user.big", Value: strings.Repeat("v", 5000)}}
	upper := Options{Upper: true, Size: MinUpper}
	for _, c := range []struct {
		name string
		opts Options
		e    *tree.Entry
		want string
	}{
		{"whiteout", Options{}, ext4test.Whiteout("gone"), "gone: whiteout: only the upper disk"},
		{"opaque", Options{}, opaque, "d: opaque directory: only the upper disk"},
		{"link to a lower layer", upper, lower, "l: hard link to below in a layer below"},
		{"path", Options{}, ext4test.File("a/../b", nil), "a/../b"},
		{"empty target", Options{}, &tree.Entry{Path: "l", Type: tree.Link}, "l: link target of 0 bytes"},
		{"long target", Options{}, &tree.Entry{Path: "l", Type: tree.Link, Link: strings.Repeat("x", disk.LinkMax+1)}, "4096 bytes"},
		{"device", Options{}, &tree.Entry{Path: "c", Type: tree.Char, Dev: tree.Device{Major: 4096}}, "c: device 4096:0"},
		{"huge", Options{}, huge, "huge: 17592186040321 bytes"},
		{"2 TiB", Options{Features: hugeFile}, two, "two: 536870912 blocks: without huge_file"},
		{"short content", Options{}, short, "short: content ends 1 bytes early"},
		{"long content", Options{}, long, "long: content is longer"},
		{"no content", Options{}, &tree.Entry{Path: "n", Type: tree.File, Size: 1}, "n: comes without its content"},
		{"extents", Options{}, ext4test.SparseFile("s", 10, tree.Extent{Off: 5, Len: 6}), "s: bad extent 5+6"},
		{"type", Options{}, &tree.Entry{Path: "t", Type: 99}, "t: unknown type"},
		{"xattr", Options{}, big, "x: xattr user.big"},
		{"large xattr of an upper disk", upper, big, "x: xattr user.big"},
	} {
		err := writeTo(new(ext4test.Memory), c.opts, []*tree.Entry{c.e})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
	}
}

func TestWriterErrorsStick(t *testing.T) {
	w, err := NewWriter(context.Background(), new(ext4test.Memory), Options{})
	if err != nil {
		t.Fatal(err)
	}
	first := w.Add(ext4test.Whiteout("gone"))
	if !errors.Is(first, ErrNeedsUpper) || w.Add(ext4test.File("a", nil)) != first || w.Close() != first {
		t.Errorf("first error is %v", first)
	}
	w, _ = NewWriter(context.Background(), new(ext4test.Memory), Options{})
	cause := errors.New("given up")
	if w.Abort(cause); w.Add(ext4test.File("a", nil)) != cause || w.Close() != cause {
		t.Error("goes on after Abort")
	}
	w, _ = NewWriter(context.Background(), new(ext4test.Memory), Options{})
	if err := w.Close(); err != nil || w.Close() != nil || w.Add(ext4test.File("a", nil)) != errClosed {
		t.Errorf("goes on after Close: %v", err)
	}
}

// badOutput fails when it is written to above a block.
type badOutput struct {
	ext4test.Memory
	above int64
}

var errBad = errors.New("no space left")

func (b *badOutput) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.above {
		return 0, errBad
	}
	return b.Memory.WriteAt(p, off)
}

func TestWriterFullDisk(t *testing.T) {
	for _, above := range []int64{0, 100 * disk.BlockSize, 600 * disk.BlockSize, 5 << 20} {
		if err := writeTo(&badOutput{above: above}, Options{Size: 64 << 20, FreeInodes: new(int64)}, ext4test.Corpus()); !errors.Is(err, errBad) {
			t.Errorf("full above %d: %v", above, err)
		}
	}
}

// Content that was replaced takes no space.
func TestReplacedContent(t *testing.T) {
	other := ext4test.Dir("d", 0o700)
	link := &tree.Entry{Path: "b", Type: tree.Link, Link: "a"}
	replaced := []*tree.Entry{ext4test.File("a", ext4test.Pattern(1, 1<<20)), ext4test.File("b", ext4test.Pattern(2, 1<<20)), ext4test.File("d", ext4test.Pattern(3, 1<<20)), ext4test.File("a", ext4test.Pattern(4, 5)), link, other}
	plain := []*tree.Entry{ext4test.File("a", ext4test.Pattern(4, 5)), link, other}
	opts := Options{Size: 64 << 20, Check: true}
	var free [2]uint64
	for i, entries := range [][]*tree.Entry{replaced, plain} {
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		s := probetest.Super(t, m)
		free[i] = s.FreeBlocks()
	}
	if free[0] != free[1] {
		t.Errorf("%d blocks are free, %d without what was replaced", free[0], free[1])
	}
}

// Every bit of what is written follows from entries and options.
func TestSameBytes(t *testing.T) {
	sum := func(opts Options, entries []*tree.Entry) string {
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		return ext4test.Hash(m)
	}
	at := int64(1700000000)
	for _, opts := range []Options{{}, {Shrink: true, Epoch: &at}, {Upper: true, Size: 1 << 30}} {
		want := sum(opts, ext4test.Corpus())
		opts.Check = true
		if have := sum(opts, ext4test.Corpus()); have != want {
			t.Errorf("%+v: other bytes the second time", opts)
		}
		opts.Label = "other"
		if have := sum(opts, ext4test.Corpus()); have == want {
			t.Errorf("%+v: the same bytes for another label", opts)
		}
	}
}

func TestWriterTimes(t *testing.T) {
	at := tree.Time{Sec: 1000}
	odd := []*tree.Entry{ext4test.File("past", nil), ext4test.File("future", nil), ext4test.File("now", nil)}
	odd[0].Time, odd[1].Time = tree.Time{Sec: -62135596800}, tree.Time{Sec: 1 << 40, Nsec: 7}
	for _, c := range []struct {
		opts Options
		want [3]tree.Time
		warn bool
	}{
		{Options{}, [3]tree.Time{{Sec: disk.MinTime}, {Sec: disk.MaxTime, Nsec: disk.MaxNsec}, {Sec: 1700000000, Nsec: 5}}, true},
		{Options{Clamp: &at}, [3]tree.Time{{Sec: disk.MinTime}, at, at}, true},
		{Options{Mtime: &at}, [3]tree.Time{at, at, at}, false},
	} {
		var said []string
		c.opts.Warn = func(s string) { said = append(said, s) }
		c.opts.Check = true
		m := new(ext4test.Memory)
		if err := writeTo(m, c.opts, odd); err != nil {
			t.Fatal(err)
		}
		img, err := read.Open(m, m.Size)
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

// cancelling is content that calls stop when half of it has been written.
type cancelling struct {
	b    []byte
	stop func()
}

func (c cancelling) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.b[:len(c.b)/2])
	if err != nil {
		return int64(n), err
	}
	c.stop()
	m, err := w.Write(c.b[len(c.b)/2:])
	return int64(n + m), err
}

// TestWriterStops stops a writer everywhere: what it wrote is no file system, and each
// later call returns the cause.
func TestWriterStops(t *testing.T) {
	cause := errors.New("the cause")
	for name, c := range map[string]func(w *Writer, m *ext4test.Memory, stop func()) error{
		"at once": func(w *Writer, _ *ext4test.Memory, stop func()) error {
			stop()
			return w.Add(ext4test.File("late", nil))
		},
		"in a file": func(w *Writer, _ *ext4test.Memory, stop func()) error {
			big := ext4test.Pattern(1, 1<<20)
			return w.Add(&tree.Entry{Path: "big", Type: tree.File, Mode: 0o644, Size: 1 << 20, Content: cancelling{big, stop}})
		},
		"in the end": func(w *Writer, _ *ext4test.Memory, stop func()) error {
			stop()
			return w.Close()
		},
		"while it is checked": func(w *Writer, m *ext4test.Memory, stop func()) error {
			m.BeforeRead = func(*ext4test.Memory) { stop() }
			return w.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			m := new(ext4test.Memory)
			w, err := NewWriter(ctx, m, Options{Check: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Add(ext4test.File("one", ext4test.Pattern(1, 5000))); err != nil {
				t.Fatal(err)
			}
			if err := c(w, m, func() { cancel(cause) }); !errors.Is(err, cause) {
				t.Errorf("have %v", err)
			}
			if err := w.Close(); !errors.Is(err, cause) {
				t.Errorf("close: %v", err)
			}
			if _, err := read.Open(m, m.Size); err == nil && name != "while it is checked" {
				t.Error("there is a file system")
			}
		})
	}
}
