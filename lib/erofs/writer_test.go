package erofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

var forms = map[bool]tree.Form{false: tree.Flat, true: tree.Layer}

func TestRoundTrip(t *testing.T) {
	for _, opts := range []Options{{}, {Layer: true}, {BlockSize: 512}, {BlockSize: 1024, Layer: true}, {BlockSize: 65536}} {
		b := build(t, opts, corpus()...)
		want := canonical(t, forms[opts.Layer], corpus()...)
		if d := firstDifference(want, stream(t, open(t, b).Source())); d != "" {
			t.Errorf("%+v: %s", opts, d)
		}
		if align := max(opts.BlockSize, disk.ImageAlign); len(b)%align != 0 {
			t.Errorf("%+v: image of %d bytes", opts, len(b))
		}
	}
}

// The sizes of a file around those where its layout changes.
func TestFileSizes(t *testing.T) {
	for _, bs := range []int{512, 4096} {
		sizes := []int{0, 1, 2 * bs, 2*bs + 1}
		for n := bs - 70; n <= bs+1; n++ {
			sizes = append(sizes, n)
		}
		for _, layer := range []bool{false, true} {
			var es []tree.Entry
			for i, n := range sizes {
				es = append(es, file(fmt.Sprintf("f%d", i), pattern(byte(i), n)))
				es = append(es, xattrs(file(fmt.Sprintf("x%d", i), pattern(byte(i), n)), "user.a", fmt.Sprint(i)))
				es = append(es, with(file(fmt.Sprintf("e%d", i), pattern(byte(i), n)), func(e *tree.Entry) { e.UID = 1 << 20 }))
			}
			img := open(t, build(t, Options{BlockSize: bs, Layer: layer}, es...))
			if d := firstDifference(canonical(t, forms[layer], es...), stream(t, img.Source())); d != "" {
				t.Errorf("blocks of %d: %s", bs, d)
			}
		}
	}
}

func TestLinkSizes(t *testing.T) {
	for _, bs := range []int{512, 4096} {
		var es []tree.Entry
		for _, n := range []int{1, bs - 100, bs - 65, bs - 64, bs - 33, bs - 32, bs - 31, bs - 1, bs, bs + 1, disk.MaxLink} {
			es = append(es, symlink(fmt.Sprint("l", n), strings.Repeat("x", min(n, disk.MaxLink))))
		}
		img := open(t, build(t, Options{BlockSize: bs}, es...))
		if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
			t.Errorf("blocks of %d: %s", bs, d)
		}
	}
}

func TestDirSizes(t *testing.T) {
	reftest.OneThread(t)
	for _, n := range []int{0, 1, 3, 240, 241, 242, 243, 3000, 50000} {
		for _, where := range []string{"d/", ""} {
			es := []tree.Entry{dir("."), dir("d")}
			for i := range n {
				es = append(es, file(fmt.Sprintf("%s%05d", where, (i*7919)%n), nil))
			}
			img := open(t, build(t, Options{}, es...))
			if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
				t.Errorf("%d files: %s", n, d)
			}
			for _, i := range []int{0, n / 2, n - 1} {
				if _, err := img.Lookup(fmt.Sprintf("%s%05d", where, i)); n > 0 && err != nil {
					t.Errorf("%d files: %v", n, err)
				}
			}
		}
	}
}

func TestTinyImages(t *testing.T) {
	es := []tree.Entry{dir("."), symlink("bin", "usr/bin"), file("a", pattern(1, 300)), xattrs(file("b", pattern(2, 500)), "user.x", "y")}
	if n := len(build(t, Options{}, es...)); n != 4096 {
		t.Errorf("image of %d bytes, expected one block", n)
	}
	if n := len(build(t, Options{})); n != 4096 {
		t.Errorf("empty image of %d bytes, expected one block", n)
	}
	for _, bs := range []int{512, 1024, 2048} {
		if n := len(build(t, Options{BlockSize: bs})); n != 4096 {
			t.Errorf("empty image of %d bytes with blocks of %d", n, bs)
		}
	}
}

// A root whose xattrs leave the head no room for it moves the base of all nids.
func TestLargeRoot(t *testing.T) {
	for _, bs := range []int{512, 4096} {
		root := dir(".")
		for i := range 50 {
			root = xattrs(root, fmt.Sprintf("user.%d", i), strings.Repeat("v", 100+i))
		}
		es := append(corpus()[1:], root)
		b := build(t, Options{BlockSize: bs}, es...)
		img := open(t, b)
		if erofstest.Super(t, b).MetaBlock == 0 {
			t.Error("nids count from block 0")
		}
		if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
			t.Errorf("blocks of %d: %s", bs, d)
		}
	}
}

func TestXattrLimits(t *testing.T) {
	many := func(n int) tree.Entry {
		e := file("f", nil)
		for i := range n {
			e = xattrs(e, fmt.Sprintf("user.%03d", i), strings.Repeat("v", 40))
		}
		return e
	}
	shared := func(n int) []tree.Entry { // so many, each in two files
		a := many(n)
		b := a
		b.Path = "g"
		return []tree.Entry{a, b}
	}
	full := dir("full") // as many bytes as an inode may have: 3*(4+1+65535) + 12 + 65520 is 262148 with the last
	for i, n := range []int{disk.MaxXattrValue, disk.MaxXattrValue, disk.MaxXattrValue} {
		full = xattrs(full, "user."+string(rune('a'+i)), strings.Repeat("v", n))
	}
	used := disk.XattrHeadSize + 3*disk.RoundUp(disk.XattrEntrySize+1+disk.MaxXattrValue, 4)
	last := strings.Repeat("v", int(disk.MaxXattrBody-used-disk.XattrEntrySize-1))
	for _, c := range []struct {
		name string
		es   []tree.Entry
		err  string
	}{
		{"longest name", []tree.Entry{xattrs(file("f", nil), "user."+strings.Repeat("n", 250), "v")}, ""},
		{"name too long", []tree.Entry{xattrs(file("f", nil), "user."+strings.Repeat("n", 251), "v")}, "f: xattr user.nnn"},
		{"longest value", []tree.Entry{xattrs(file("f", nil), "user.a", strings.Repeat("v", 65535))}, ""},
		{"value too long", []tree.Entry{xattrs(file("f", nil), "user.a", strings.Repeat("v", 65536))}, "f: xattr user.a: value of 65536 bytes"},
		{"as much as fits", []tree.Entry{xattrs(full, "user.d", last)}, ""},
		{"too much", []tree.Entry{xattrs(full, "user.d", last+"v")}, "full: xattrs take 262152 bytes"},
		{"255 shared", shared(255), ""},
		{"more than 255 shared", shared(300), ""},
		{"the longest value shared", []tree.Entry{xattrs(file("f", nil), "user.a", strings.Repeat("v", 65535)), xattrs(file("g", nil), "user.a", strings.Repeat("v", 65535))}, ""},
	} {
		m := &image{}
		err := writeTo(m, Options{Check: true}, c.es)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, expected %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := firstDifference(canonical(t, tree.Flat, c.es...), stream(t, open(t, m.B).Source())); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestSharedXattrsSaveBytes(t *testing.T) {
	var same, other []tree.Entry
	for i := range 1000 {
		same = append(same, xattrs(file(fmt.Sprint(i), nil), "security.selinux", "system_u:object_r:usr_t:s0 "+strings.Repeat("x", 100)))
		other = append(other, xattrs(file(fmt.Sprint(i), nil), "security.selinux", fmt.Sprintf("system_u:object_r:usr_t:s0 %0100d", i)))
	}
	if a, b := len(build(t, Options{}, same...)), len(build(t, Options{}, other...)); a > b/2 {
		t.Errorf("image of %d bytes with one label, %d with many", a, b)
	}
}

func TestDropped(t *testing.T) {
	var warnings []string
	opts := Options{Warn: func(s string) { warnings = append(warnings, s) }}
	img := open(t, build(t, opts,
		xattrs(file("a", nil), "system.nfs4_acl", "x", "user.kept", "y"),
		xattrs(file("b", nil), "btrfs.compression", "x", disk.MarkLink, "a"),
		xattrs(file("c", nil), "system.posix_acl_access", "\x02\x00\x00\x00")))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "a: xattr system.nfs4_acl") || !strings.Contains(warnings[0], "2 more") {
		t.Errorf("warnings %q", warnings)
	}
	files := list(t, img.Source())
	if x := fmt.Sprint(files["a"].Xattrs, files["b"].Xattrs, files["c"].Xattrs); x != "[{user.kept y}] [] [{system.posix_acl_access \x02\x00\x00\x00}]" {
		t.Errorf("xattrs %q", x)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		e     tree.Entry
		layer bool // needs one
		err   string
	}{
		{"whiteout", device("d/w", tree.Char, 0, 0), true, "d/w: whiteout"},
		{"opaque", xattrs(dir("o"), tree.Opaque.Name, "y"), true, "o: opaque directory"},
		{"lower", lowerLink("l", "below"), true, "l: hard link to below in a layer below"},
		{"link to nothing", hardlink("l", "nowhere"), false, "l: hard link to nowhere, which does not exist"},
		{"path", file("a/../b", nil), false, "a/../b"},
		{"name of 256 bytes", file(strings.Repeat("n", 256), nil), false, "nnn"},
		{"empty target", symlink("l", ""), false, "l: link target of 0 bytes"},
		{"long target", symlink("l", strings.Repeat("x", 4096)), false, "l: link target of 4096 bytes"},
		{"device", device("d", tree.Block, 4096, 0), false, "d: device 4096:0"},
		{"no content", tree.Entry{Path: "f", Type: tree.File, Size: 1}, false, "f: comes without its content"},
		{"content too short", with(file("f", pattern(1, 9)), func(e *tree.Entry) { e.Size = 10 }), false, "f: content ends 1 bytes early"},
		{"content too long", with(file("f", pattern(1, 9)), func(e *tree.Entry) { e.Size = 8 }), false, "f: content is longer"},
		{"extents", sparse("f", 10, []tree.Extent{{Off: 8, Len: 5}}), false, "f: bad extent 8+5"},
		{"type", tree.Entry{Path: "f"}, false, "f: unknown type"},
	} {
		m := &image{}
		err := writeTo(m, Options{}, []tree.Entry{c.e})
		if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrNeedsLayer) != c.layer {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.layer {
			if err := writeTo(&image{}, Options{Layer: true, Check: true}, []tree.Entry{c.e}); err != nil {
				t.Errorf("%s in a layer: %v", c.name, err)
			}
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, opts := range []Options{{BlockSize: 256}, {BlockSize: 131072}, {BlockSize: 4097}, {BlockSize: -4096}, {Label: "sixteen bytes ab"}, {Label: "a\x00b"}} {
		if _, err := NewWriter(t.Context(), &image{}, opts); err == nil {
			t.Errorf("%+v is accepted", opts)
		}
	}
}

// Errors are final, and the superblock is not there without success.
func TestErrorsStick(t *testing.T) {
	m := &image{}
	w, err := NewWriter(t.Context(), m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := file("a", pattern(1, 5000)), symlink("b", "")
	if err := w.Add(&good); err != nil {
		t.Fatal(err)
	}
	first := w.Add(&bad)
	if again, closed := w.Add(&good), w.Close(); first == nil || !errors.Is(again, first) || !errors.Is(closed, first) {
		t.Errorf("%v, then %v and %v", first, again, closed)
	}
	if _, err := read.Open(m, int64(len(m.B))); !errors.Is(err, read.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// brokenOutput fails at one of its writes.
type brokenOutput struct {
	image
	left atomic.Int32
}

var errFull = errors.New("disk is full")

func (o *brokenOutput) WriteAt(p []byte, off int64) (int, error) {
	if o.left.Add(-1) < 0 {
		return 0, errFull
	}
	return o.image.WriteAt(p, off)
}

func TestFullDisk(t *testing.T) {
	for n := range 10 {
		out := &brokenOutput{}
		out.left.Store(int32(n))
		err := writeTo(out, Options{}, corpus())
		if err == nil && n > 1 {
			return
		}
		if !errors.Is(err, errFull) {
			t.Errorf("%d writes: %v", n, err)
		}
	}
	t.Error("ten writes are not enough")
}

func TestTimes(t *testing.T) {
	at := func(path string, sec int64, nsec uint32) tree.Entry {
		return with(file(path, nil), func(e *tree.Entry) { e.Time = tree.Time{Sec: sec, Nsec: nsec} })
	}
	es := []tree.Entry{
		at("zero", 0, 0), at("before", -1, 999999999), at("far", math.MaxInt64, 1), at("farther", math.MinInt64, 0),
		at("a", 5, 5), at("b", 5, 5), at("c", 9, 9), at("d", 9, 9),
	}
	b := build(t, Options{}, es...)
	img, super := open(t, b), erofstest.Super(t, b)
	if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
		t.Error(d)
	}
	if epoch := (tree.Time{Sec: super.Epoch, Nsec: super.FixedNsec}); epoch != (tree.Time{}) {
		t.Errorf("epoch %v: zero comes with the implied root twice, and first", epoch)
	}
	moment := tree.Time{Sec: 7, Nsec: 7}
	files := list(t, open(t, build(t, Options{Mtime: &moment}, es...)).Source())
	for path, e := range files {
		if e.Time != moment {
			t.Errorf("%s has the time %v with Mtime", path, e.Time)
		}
	}
	files = list(t, open(t, build(t, Options{Clamp: &moment}, es...)).Source())
	for path, want := range map[string]tree.Time{".": {}, "before": {Sec: -1, Nsec: 999999999}, "far": moment, "b": {Sec: 5, Nsec: 5}, "c": moment} {
		if files[path].Time != want {
			t.Errorf("%s has the time %v with Clamp", path, files[path].Time)
		}
	}
}

func TestSuperblockOptions(t *testing.T) {
	built := int64(1700000100)
	b := build(t, Options{Label: "fifteen bytes!!", BuildTime: &built, UUID: &[16]byte{1, 2, 3}}, with(dir("."), func(e *tree.Entry) { e.Time = tree.Time{Sec: 1700000000} }))
	img, super := open(t, b), erofstest.Super(t, b)
	if img.Label() != "fifteen bytes!!" || img.UUID() != [16]byte{1, 2, 3} || super.BuildTime != 100 {
		t.Errorf("superblock %+v", super)
	}
}

func TestUUID(t *testing.T) {
	seen := make(map[[16]byte]string)
	for name, es := range map[string][]tree.Entry{
		"as it is":        {file("f", pattern(1, 8192))},
		"other content":   {file("f", pattern(2, 8192))},
		"other tail":      {file("f", pattern(1, 8193))},
		"other name":      {file("g", pattern(1, 8192))},
		"other mode":      {with(file("f", pattern(1, 8192)), func(e *tree.Entry) { e.Mode = 0o600 })},
		"other order":     {file("f", pattern(1, 8192)), file("h", nil)},
		"an xattr":        {xattrs(file("f", pattern(1, 8192)), "user.a", "b")},
		"a hole":          {sparse("f", 8192, []tree.Extent{})},
		"a hard link too": {file("f", pattern(1, 8192)), hardlink("g", "f")},
	} {
		id := open(t, build(t, Options{}, es...)).UUID()
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the UUID %x", name, other, id)
		}
		if seen[id] = name; id[6]>>4 != 8 || id[8]>>6 != 2 {
			t.Errorf("%x is not of version 8", id)
		}
	}
}

// Nothing but input and options gets into an image.
func TestSameBytes(t *testing.T) {
	first := build(t, Options{SpoolDir: t.TempDir()}, corpus()...)
	t.Setenv("TZ", "Pacific/Chatham")
	t.Setenv("TMPDIR", t.TempDir())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if !bytes.Equal(first, build(t, Options{}, corpus()...)) {
		t.Error("two images of one tree differ")
	}
}

// The order of records that stand for the same tree shows in places only, and the
// check does not show at all.
func TestCheckChangesNothing(t *testing.T) {
	m := &image{}
	if err := writeTo(m, Options{}, corpus()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.B, build(t, Options{}, corpus()...)) {
		t.Error("the image differs with a check")
	}
}

// Later records of a path replace the earlier ones.
func TestReplaced(t *testing.T) {
	es := []tree.Entry{
		file("a", pattern(1, 10000)), hardlink("b", "a"), file("a", pattern(2, 5000)),
		file("d/x", pattern(3, 10)), xattrs(dir("d"), "user.a", "b"),
		file("e/x", pattern(4, 10)), symlink("e", "d"),
		symlink("s", "x"), dir("s"), file("s/y", nil),
	}
	img := open(t, build(t, Options{}, es...))
	if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
		t.Error(d)
	}
}

// Many ends of files go through the spool file, and nothing is left of it.
func TestSpool(t *testing.T) {
	tmp := t.TempDir()
	var es []tree.Entry
	for i := range 4000 {
		es = append(es, file(fmt.Sprint(i), pattern(byte(i), 1000+i)))
	}
	img := open(t, build(t, Options{SpoolDir: tmp}, es...))
	if d := firstDifference(canonical(t, tree.Flat, es...), stream(t, img.Source())); d != "" {
		t.Error(d)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := writeTo(&image{}, Options{SpoolDir: tmp + "/none"}, es); err == nil {
		t.Error("no error without a place for the spool file")
	}
}

// stopping is content that stops its writer half-way, if that goes so far.
type stopping struct {
	data
	cancel context.CancelCauseFunc
}

var errStopped = errors.New("no more")

func (c stopping) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.data[:len(c.data)/2])
	if err != nil {
		return int64(n), err
	}
	c.cancel(errStopped)
	m, err := w.Write(c.data[n:])
	return int64(n + m), err
}

// stoppingImage stops its writer when that reads it back.
type stoppingImage struct {
	image
	cancel context.CancelCauseFunc
}

func (m *stoppingImage) ReadAt(p []byte, off int64) (int, error) {
	if off > 4096 {
		m.cancel(errStopped)
	}
	return m.image.ReadAt(p, off)
}

// A writer ends with the cause of its context wherever that comes, for good, and leaves
// nothing behind.
func TestContext(t *testing.T) {
	before := reftest.RunningNow(t)
	big := pattern(1, 1<<20) // more than one piece
	for name, run := range map[string]func(ctx context.Context, cancel context.CancelCauseFunc) (*Writer, error){
		"before an entry": func(ctx context.Context, cancel context.CancelCauseFunc) (*Writer, error) {
			w, err := NewWriter(ctx, &image{}, Options{})
			cancel(errStopped)
			e := dir("a")
			return w, errors.Join(err, w.Add(&e))
		},
		"in a file": func(ctx context.Context, cancel context.CancelCauseFunc) (*Writer, error) {
			w, err := NewWriter(ctx, &image{}, Options{})
			e := with(file("a", big), func(e *tree.Entry) { e.Content = stopping{big, cancel} })
			return w, errors.Join(err, w.Add(&e))
		},
		"at the end": func(ctx context.Context, cancel context.CancelCauseFunc) (*Writer, error) {
			w, err := NewWriter(ctx, &image{}, Options{})
			e := file("a", big)
			err = errors.Join(err, w.Add(&e))
			cancel(errStopped)
			return w, errors.Join(err, w.Close())
		},
		"in the check": func(ctx context.Context, cancel context.CancelCauseFunc) (*Writer, error) {
			w, err := NewWriter(ctx, &stoppingImage{cancel: cancel}, Options{Check: true})
			e := file("a", big)
			return w, errors.Join(err, w.Add(&e), w.Close())
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		w, err := run(ctx, cancel)
		e := dir("b")
		if again, closed := w.Add(&e), w.Close(); !errors.Is(err, errStopped) || !errors.Is(again, errStopped) || !errors.Is(closed, errStopped) {
			t.Errorf("%s: %v, then %v and %v", name, err, again, closed)
		}
	}
	before.Left(t)
}
