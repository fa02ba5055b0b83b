package read_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// compressedImages returns the images of testdata/compressed.sh by their names.
var compressedImages = sync.OnceValues(func() (map[string][]byte, error) {
	f, err := os.Open("testdata/compressed.tar.zst")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	images := map[string][]byte{}
	for r := tar.NewReader(d); ; {
		h, err := r.Next()
		if err == io.EOF {
			return images, nil
		}
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutSuffix(strings.TrimPrefix(h.Name, "./"), ".erofs"); ok {
			if images[name], err = io.ReadAll(r); err != nil {
				return nil, err
			}
		}
	}
})

func compressedImage(t testing.TB, name string) []byte {
	t.Helper()
	images, err := compressedImages()
	if err != nil {
		t.Fatal(err)
	}
	if images[name] == nil {
		t.Fatalf("no image %s", name)
	}
	return images[name]
}

// contentsOf returns the bytes of all files.
func contentsOf(t testing.TB, img *read.Image) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for path, e := range list(t, img.Source()) {
		if e.Type != tree.File || e.Hardlink != "" {
			continue
		}
		var b bytes.Buffer
		if e.Content != nil {
			if n, err := e.Content.WriteTo(&b); err != nil || n != int64(b.Len()) {
				t.Fatalf("%s: %d bytes of %d, %v", path, b.Len(), n, err)
			}
		}
		files[path] = b.Bytes()
	}
	return files
}

// Every way of mkfs.erofs to compress gives the tree that was compressed, read as a whole and
// at random, by several goroutines at once.
func TestCompressed(t *testing.T) {
	images, err := compressedImages()
	if err != nil {
		t.Fatal(err)
	}
	plain := open(t, images["plain"])
	wantList, want := stream(t, plain.Source()), contentsOf(t, plain)
	if len(images) < 59 || len(want["zeros"]) != 13<<20 {
		t.Fatalf("%d images, zeros has %d bytes", len(images), len(want["zeros"]))
	}
	for name, b := range images {
		if name == "plain" || strings.HasPrefix(name, "tiny") || testing.Short() && !strings.HasSuffix(name, "65536-48bit-fragments") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, b)
			if name == "zstd-65536-input" { // mkfs.erofs 1.9.3 cuts its frames; the kernel and fsck.erofs refuse them, too
				if err := drainAll(b); !errors.Is(err, read.ErrCorrupt) || !strings.Contains(err.Error(), "cut short") {
					t.Error(err)
				}
				return
			}
			if d := firstDifference(wantList, stream(t, img.Source())); d != "" {
				t.Error(d)
			}
			var wait sync.WaitGroup
			for path, e := range list(t, img.Source()) {
				c, ok := e.Content.(*read.Content)
				if !ok {
					continue
				}
				if _, compressed := c.Header(); !compressed && path == "zeros" {
					t.Error("zeros is not compressed")
				}
				for i := range 2 {
					wait.Go(func() { readSomewhere(t, path, c, want[path], int64(i)) })
				}
			}
			wait.Wait()
		})
	}
}

// readSomewhere compares some reads of c with want, the bytes of the file.
func readSomewhere(t *testing.T, path string, c *read.Content, want []byte, seed int64) {
	r := rand.New(rand.NewSource(seed))
	p := make([]byte, 200000)
	for i := range 60 {
		off := r.Intn(len(want))
		if i == 0 {
			off = max(0, len(want)-10)
		}
		n, err := c.ReadAt(p[:1+r.Intn(1<<r.Intn(17))], int64(off))
		if rest := len(want) - off; err != nil && (err != io.EOF || n != rest) || !bytes.Equal(p[:n], want[off:off+n]) {
			t.Errorf("%s: %d bytes at %d: %v", path, n, off, err)
			return
		}
	}
	if n, err := c.ReadAt(p, int64(len(want))); n != 0 || err != io.EOF {
		t.Errorf("%s: %d bytes at the end, %v", path, n, err)
	}
}

// What the images have in them, so that TestCompressed tests what it says.
func TestCompressedForms(t *testing.T) {
	all := map[string]bool{}
	images, _ := compressedImages()
	for _, b := range images {
		for _, e := range list(t, open(t, b).Source()) {
			c, ok := e.Content.(*read.Content)
			if !ok {
				continue
			}
			h, ok := c.Header()
			if !ok {
				continue
			}
			for what, is := range map[string]bool{
				"full": h.Index == z.Full, "compact": h.Index == z.Compact, "encoded": h.Index == z.Encoded, "whole": h.Whole,
				"tail": h.Tail > 0, "fragment": !h.Whole && h.Advise&z.AdviseFragment != 0,
			} {
				all[what] = all[what] || is
			}
			for x, err := range c.Clusters() {
				if err != nil {
					t.Fatal(err)
				}
				for what, is := range map[string]bool{
					"partial": x.Partial, "rotated": x.Rotated, "raw": x.Algorithm == z.Raw && !x.Fragment, "large": x.Len > 1<<20,
					"rotated across a block": x.Rotated && x.Off%4096 > 0, "exact": x.Exact, x.Algorithm.String(): true,
				} {
					all[what] = all[what] || is
				}
			}
		}
	}
	for what, is := range all {
		if !is {
			t.Errorf("no image has: %s", what)
		}
	}
	t.Log(all)
}

// A sink that fails ends the goroutines that decode ahead, and gets nothing more.
func TestCompressedStops(t *testing.T) {
	running := reftest.RunningNow(t)
	e := list(t, open(t, compressedImage(t, "lz4-4096")).Source())["zeros"]
	broken := errors.New("broken")
	for _, limit := range []int{0, 1, 300000, 1 << 20} {
		w := &failingWriter{limit: limit, err: broken}
		if n, err := e.Content.WriteTo(w); !errors.Is(err, broken) || n != int64(limit) {
			t.Errorf("%d bytes of %d, %v", n, limit, err)
		}
	}
	running.Left(t)
}

// Reading fails in the middle of a file whose index is broken further on; other files can be
// read afterwards.
func TestCompressedStopsBeforeBrokenIndex(t *testing.T) {
	b := bytes.Clone(compressedImage(t, "lz4-65536-legacy"))
	dropChecksum(b)
	at, size, _ := list(t, open(t, b).Source())["zeros"].Content.(*read.Content).IndexPlace()
	copy(b[at+size-16:], make([]byte, 8)) // a raw extent that is as long as the two last blocks
	whole := compressedImage(t, "lz4-65536")
	for range 20 {
		broken := list(t, open(t, b).Source())["zeros"]
		n, err := broken.Content.WriteTo(io.Discard)
		if !errors.Is(err, read.ErrCorrupt) || n == 0 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if _, err := broken.Content.WriteTo(&failingWriter{limit: int(n) - 1, err: io.ErrShortWrite}); err != io.ErrShortWrite {
			t.Fatal(err)
		}
		if err := drainAll(whole); err != nil {
			t.Fatal(err)
		}
	}
}

type failingWriter struct {
	limit int
	err   error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.limit)
	if w.limit -= n; n < len(p) {
		return n, w.err
	}
	return n, nil
}

// Bad fields of an image with compressed files, each in a copy of its own.
func TestBrokenCompressed(t *testing.T) {
	for _, c := range []struct {
		name, image string
		off         int
		put         []byte
		kind        error
		err         string
	}{
		{"no algorithms", "zstd-65536", super(84), u16(0), read.ErrCorrupt, "zstd is not among"},
		{"unknown algorithm", "zstd-65536", super(84), u16(0x18), read.ErrUnsupported, "algorithms 0x18"},
		{"large window", "zstd-65536", super(128) + 3, []byte{11}, read.ErrCorrupt, "window"},
		{"small window", "zstd-65536", super(128) + 3, []byte{0}, read.ErrCorrupt, "window"},
		{"short record", "zstd-65536", super(128), u16(5), read.ErrCorrupt, "record of zstd"},
		{"without big clusters", "lz4-65536", super(80), u32(1), read.ErrCorrupt, "big clusters"},
		{"packed inode", "lz4-65536-fragments", super(96), u64(0), read.ErrCorrupt, "parts of files"},
		{"packed inode beyond", "lz4-65536-fragments", super(96), u64(1 << 40), read.ErrCorrupt, "parts of files"},
		{"not its length", "lz4-65536", 0, nil, nil, ""},
	} {
		b := bytes.Clone(compressedImage(t, c.image))
		dropChecksum(b)
		copy(b[c.off:], c.put)
		err := drainAll(b)
		if c.kind == nil && err != nil || c.kind != nil && (!errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "byte ")) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.err)
		}
	}
}

var (
	u16 = func(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
	u32 = func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	u64 = func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
)

func super(off int) int { return disk.SuperOffset + off }

// drainAll reads all of the image, however large its files are.
func drainAll(b []byte) error {
	img, err := read.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return tree.Copy(context.Background(), tree.NewWriter(io.Discard, tree.WriterOptions{}), img.Source())
}

// A file of a TiB whose every 8 MiB are the same few bytes is read in bounded memory, at random
// and as far as somebody wants to read it.
func TestCompressedHostile(t *testing.T) {
	b := bytes.Clone(compressedImage(t, "tiny-zstd-48bit"))
	dropChecksum(b)
	bomb, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<17), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	stream := bomb.EncodeAll(make([]byte, 8<<20), nil)
	pos := uint32(len(b))
	b = append(b, stream...)
	const n = 1 << 17
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	h := z.Header{Index: z.Encoded, Advise: z.AdviseRecord(1), ClusterBits: 11}
	index := h.Append(nil)
	for range n {
		index = append(index, u32(uint32(len(stream))|4<<28)...)
		index = append(index, u32(pos)...)
	}
	place := int64(len(b))
	b = append(b, index...)
	c, err := open(t, b).ContentAt(place, n<<23)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n, err := c.WriteTo(&failingWriter{limit: 100 << 20, err: io.ErrShortWrite}); err != io.ErrShortWrite || n != 100<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	small := make([]byte, 10)
	for i := range int64(20) {
		if _, err := c.ReadAt(small, i*(n<<23)/20); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if more := int64(after.TotalAlloc - before.TotalAlloc); more > 300<<20 {
		t.Errorf("%d bytes of memory in all", more)
	}
}

// There is a Content for every file, and most files are not compressed.
func TestContentSize(t *testing.T) {
	if n := reflect.TypeFor[read.Content]().Size(); n > 96 {
		t.Errorf("%d bytes", n)
	}
}

// What mkfs.erofs compressed is listed anew with the same extents, if it is in blocks of the
// image's own.
func TestRelistingForeign(t *testing.T) {
	images, err := compressedImages()
	if err != nil {
		t.Fatal(err)
	}
	const bs, shift = 4096, 8192
	forms := map[z.Index]int{}
	for name, b := range images {
		img, err := read.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil || img.BlockSize() != bs {
			continue // those that are tested elsewhere, and blocks of 512
		}
		src := img.Source()
		for e, err := src.Next(); err == nil; e, err = src.Next() {
			c, _ := e.Content.(*read.Content)
			if c == nil || c.Addressable() != nil {
				continue
			}
			h, ok := c.Header()
			if !ok {
				continue
			}
			var u z.Usage
			list, err := z.NewRelisting(c.Clusters(), h, e.Size, int64(len(b)), bs, &u)
			again := make([]byte, 40)
			if err == nil {
				err = list.Write(c.Clusters(), 40, shift, e.Size, bs, func(p []byte) error { again = append(again, p...); return nil })
			}
			var f *z.File
			if err == nil {
				f, err = z.Open(&z.Params{R: bytes.NewReader(again), End: int64(len(again)), BlockSize: bs, Big: true, Padded: true, Config: img.Compression()}, 40, e.Size, list.Index == z.Compact)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, e.Path, err)
				continue
			}
			next, stop := iter.Pull2(f.All())
			for want := range c.Clusters() {
				if want.Size > 0 {
					want.Pos += shift
				}
				if have, err, ok := next(); !ok || err != nil || have != want {
					t.Errorf("%s: %s: %v, want %v (%v)", name, e.Path, have, want, err)
					break
				}
			}
			stop()
			forms[list.Index]++
		}
	}
	if forms[z.Compact] < 100 || forms[z.Full] < 5 || forms[z.Encoded] < 10 {
		t.Errorf("the test does not test all forms: %v", forms)
	}
}
