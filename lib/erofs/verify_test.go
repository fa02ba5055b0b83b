package erofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

func verifyBytes(b []byte) error {
	return VerifyUUID(context.Background(), bytes.NewReader(b), int64(len(b)))
}

// anImage is an image with a UUID made of its content.
type anImage struct {
	name string
	bs   int
	b    []byte
}

// imagesOfAllKinds are the golden images and more.
func imagesOfAllKinds(t testing.TB) (images []anImage) {
	t.Helper()
	built := int64(1700000000)
	flat := func(name string, opts Options, es ...tree.Entry) {
		images = append(images, anImage{name, max(opts.BlockSize, 4096), build(t, opts, es...)})
	}
	flat("empty", Options{})
	flat("small files", Options{}, smallFiles(5000)...)
	flat("large root", Options{BlockSize: 512}, xattrs(dir("."), "user.a", string(pattern(1, 3000))))
	flat("or else", Options{Layer: true}, orElseLayer()...)
	for _, bs := range []int{512, 1024, 4096, 65536} {
		flat(fmt.Sprint("flat ", bs), Options{BlockSize: bs, Label: "label", BuildTime: &built}, corpus()...)
		flat(fmt.Sprint("zeros kept ", bs), Options{BlockSize: bs, KeepZeros: true}, corpus()...)
		flat(fmt.Sprint("layer ", bs), Options{BlockSize: bs, Layer: true}, append(corpus(), layer()...)...)
		flat(fmt.Sprint("sparse ", bs), Options{BlockSize: bs}, sparse("a", 1<<30, []tree.Extent{{Off: 1 << 20, Len: 5}}), sparse("b", 1<<30, []tree.Extent{}))
		layers := layersOf(t, Options{BlockSize: bs}, stack()...)
		images = append(images,
			anImage{fmt.Sprint("fsmeta ", bs), bs, fsmeta(t, Options{}, layers...)},
			anImage{fmt.Sprint("fsmeta without a table ", bs), bs, fsmeta(t, Options{NoDeviceTable: true}, layers...)})
	}
	zstd := layersOf(t, Options{BlockSize: 1024, Compression: &Compression{Method: Method{Algorithm: z.Zstd}}}, []tree.Entry{file("a", words(1<<20))}, stack()[0])
	images = append(images,
		anImage{"fsmeta, compressed", 1024, fsmeta(t, Options{}, zstd...)},
		anImage{"fsmeta without a table, compressed", 1024, fsmeta(t, Options{NoDeviceTable: true}, zstd...)})
	layers := layersOf(t, Options{BlockSize: 512}, slices.Repeat([][]tree.Entry{{file("a", pattern(1, 600))}}, 40)...)
	return append(images, anImage{"fsmeta of many", 512, fsmeta(t, Options{}, layers...)})
}

func TestVerifyUUID(t *testing.T) {
	reftest.OneThread(t)
	for _, c := range imagesOfAllKinds(t) {
		if err := verifyBytes(c.b); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		n := len(c.b)
		lengths := []int{0, 1, 1023, 1024, 1152, 1183, n - 1}
		for end := 0; end < n; end += max(c.bs, n/100/c.bs*c.bs) {
			lengths = append(lengths, end)
		}
		for _, end := range lengths {
			if err := verifyBytes(c.b[:end]); !errors.Is(err, ErrWrongLength) || !errors.Is(err, read.ErrCorrupt) {
				t.Errorf("%s, cut at %d: %v", c.name, end, err)
			}
			if err := VerifyUUID(t.Context(), bytes.NewReader(c.b[:end]), int64(n)); !errors.Is(err, ErrWrongLength) {
				t.Errorf("%s, shorter than was said, %d: %v", c.name, end, err)
			}
		}
		for _, more := range []int{1, c.bs, 4096, 65536} {
			if err := verifyBytes(append(slices.Clone(c.b), make([]byte, more)...)); !errors.Is(err, ErrWrongLength) {
				t.Errorf("%s and %d bytes: %v", c.name, more, err)
			}
		}
	}
}

// Every bit of a small image counts, and of a large one those that were tried.
func TestVerifyUUIDFlipped(t *testing.T) {
	reftest.OneThread(t)
	layers := layersOf(t, Options{BlockSize: 512}, []tree.Entry{file("a", pattern(1, 600))}, []tree.Entry{file("b", pattern(2, 100)), symlink("s", "a")})
	small := []anImage{
		{"flat", 4096, build(t, Options{}, file("a", pattern(1, 100)))},
		{"flat 512", 512, build(t, Options{BlockSize: 512}, file("a", pattern(1, 700)), sparse("s", 9000, []tree.Extent{{Off: 600, Len: 10}}))},
		{"layer", 1024, build(t, Options{BlockSize: 1024, Layer: true}, file("a", pattern(1, 100)))},
		{"fsmeta", 512, fsmeta(t, Options{}, layers...)},
		{"fsmeta without a table", 512, fsmeta(t, Options{NoDeviceTable: true}, layers...)},
	}
	flip := func(c anImage, at int, mask byte) {
		t.Helper()
		c.b[at] ^= mask
		err := verifyBytes(c.b)
		c.b[at] ^= mask
		first := disk.SuperOffset <= at && at < int(disk.SuperOffset+disk.ChecksumLen(int64(c.bs)))
		if !first && !errors.Is(err, ErrWrongUUID) || !errors.Is(err, read.ErrCorrupt) {
			t.Errorf("%s, byte %d, bits %#x: %v", c.name, at, mask, err)
		}
	}
	for _, c := range small {
		for at := range c.b {
			for bit := range 8 {
				flip(c, at, 1<<bit)
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range imagesOfAllKinds(t) {
		for range 20 {
			flip(c, rng.IntN(len(c.b)), 1<<rng.IntN(8))
		}
		flip(c, 0, 1)
		flip(c, len(c.b)-1, 1)
	}
}

// Whoever changes an image and puts the right checksum into it is found all the same.
func TestVerifyUUIDSigned(t *testing.T) {
	layers := layersOf(t, Options{}, []tree.Entry{file("a", pattern(1, 600))}, []tree.Entry{file("b", pattern(2, 100))})
	flat, none := build(t, Options{}, file("a", pattern(1, 100))), fsmeta(t, Options{NoDeviceTable: true}, layers...)
	table := fsmeta(t, Options{}, layers...)
	for _, c := range []struct {
		name   string
		b      []byte
		change func(b []byte, s *disk.Superblock)
		is     error
	}{
		{"nothing", flat, func(b []byte, s *disk.Superblock) {}, nil},
		{"UUID", flat, func(b []byte, s *disk.Superblock) { s.UUID[0]++ }, ErrWrongUUID},
		{"version of the UUID", flat, func(b []byte, s *disk.Superblock) { s.UUID[6] ^= 0xC0 }, ErrNoContentUUID},
		{"variant of the UUID", flat, func(b []byte, s *disk.Superblock) { s.UUID[8] ^= 0x40 }, ErrNoContentUUID},
		{"no UUID", flat, func(b []byte, s *disk.Superblock) { s.UUID = [16]byte{} }, ErrNoContentUUID},
		{"label", flat, func(b []byte, s *disk.Superblock) { s.Label[0] = 'x' }, ErrWrongUUID},
		{"no checksum", flat, func(b []byte, s *disk.Superblock) { s.Compat &^= disk.CompatChecksum }, ErrWrongUUID},
		{"unknown field", flat, func(b []byte, s *disk.Superblock) { b[disk.SuperOffset+120]++ }, ErrWrongUUID},
		{"blocks", flat, func(b []byte, s *disk.Superblock) { s.Blocks++ }, ErrWrongLength},
		{"all blocks", flat, func(b []byte, s *disk.Superblock) { s.Blocks = disk.MaxBlocks }, ErrWrongLength},
		{"devices that do not count", flat, func(b []byte, s *disk.Superblock) { s.ExtraDevices = 65535 }, ErrWrongUUID},
		{"devices that are not there", flat, func(b []byte, s *disk.Superblock) { s.ExtraDevices, s.Incompat = 65535, disk.IncompatDevices }, read.ErrCorrupt},
		{"block size", flat, func(b []byte, s *disk.Superblock) { s.BlockBits = 17 }, read.ErrCorrupt},
		{"smaller blocks", flat, func(b []byte, s *disk.Superblock) { s.BlockBits = 9 }, read.ErrCorrupt},
		{"magic number", flat, func(b []byte, s *disk.Superblock) { s.Magic++ }, read.ErrCorrupt},
		{"a device less", table, func(b []byte, s *disk.Superblock) { s.ExtraDevices-- }, ErrWrongUUID},
		{"no table any more", table, func(b []byte, s *disk.Superblock) { s.Incompat &^= disk.IncompatDevices }, ErrWrongUUID},
		{"tag of a device", table, func(b []byte, s *disk.Superblock) { b[tableEnd(1)] ^= 1 }, ErrWrongUUID},
		{"sum of the tags", none, func(b []byte, s *disk.Superblock) { b[tableEnd(0)+16]++ }, ErrWrongUUID},
		{"own blocks", none, func(b []byte, s *disk.Superblock) { b[tableEnd(0)+8]++ }, ErrWrongLength},
		{"no sum", none, func(b []byte, s *disk.Superblock) { b[tableEnd(0)]++ }, ErrWrongLength},
		{"all blocks, without a table", none, func(b []byte, s *disk.Superblock) { s.Blocks++ }, ErrWrongUUID},
	} {
		b := slices.Clone(c.b)
		var s, old disk.Superblock
		s.Decode(b[disk.SuperOffset:])
		old = s
		c.change(b, &s)
		if s != old {
			s.Encode(b[disk.SuperOffset:])
		}
		erofstest.Sign(b)
		if err := verifyBytes(b); !errors.Is(err, c.is) || c.is == read.ErrCorrupt && (errors.Is(err, ErrWrongUUID) || errors.Is(err, ErrWrongLength)) {
			t.Errorf("%s: %v, expected %v", c.name, err, c.is)
		}
	}
}

func TestVerifyUUIDOfOthers(t *testing.T) {
	layers := layersOf(t, Options{}, []tree.Entry{file("a", pattern(1, 600))})
	for _, c := range []struct {
		name string
		b    []byte
		is   error
	}{
		{"given", build(t, Options{UUID: &[16]byte{1, 2, 6: 0x40, 8: 0x80}}), ErrNoContentUUID},
		{"given zeros", fsmeta(t, Options{UUID: new([16]byte)}, layers...), ErrNoContentUUID},
		{"given, version 8", build(t, Options{UUID: &[16]byte{1, 2, 6: 0x80, 8: 0x80}}), ErrWrongUUID},
		{"mkfs.erofs", erofstest.MkfsImage(t), ErrNoContentUUID},
		{"with its layer", append(fsmeta(t, Options{}, layers...), contentOf(t, layers[0])...), ErrWrongLength},
		{"with its layer, no table", append(fsmeta(t, Options{NoDeviceTable: true}, layers...), contentOf(t, layers[0])...), ErrWrongLength},
		{"zeros", make([]byte, 4096), read.ErrCorrupt},
	} {
		if err := verifyBytes(c.b); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, expected %v", c.name, err, c.is)
		}
	}
}

// readerAt calls itself.
type readerAt func(p []byte, off int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

func TestVerifyUUIDStops(t *testing.T) {
	b := build(t, Options{KeepZeros: true}, file("large", pattern(1, 8<<20)))
	broken := errors.New("broken")
	for _, at := range []int64{0, disk.SuperOffset, 5 << 20, int64(len(b)) - 1} {
		err := VerifyUUID(t.Context(), readerAt(func(p []byte, off int64) (int, error) {
			if n := at - off; 0 <= n && n < int64(len(p)) {
				return int(n), broken
			}
			return bytes.NewReader(b).ReadAt(p, off)
		}), int64(len(b)))
		if !errors.Is(err, broken) || errors.Is(err, read.ErrCorrupt) {
			t.Errorf("byte %d cannot be read: %v", at, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	last := int64(0)
	err := VerifyUUID(ctx, readerAt(func(p []byte, off int64) (int, error) {
		if last = max(last, off); off > 3<<20 {
			cancel(broken)
		}
		return bytes.NewReader(b).ReadAt(p, off)
	}), int64(len(b)))
	if err != broken || last > 5<<20 {
		t.Errorf("stopped: %v, read up to %d", err, last)
	}
}

// An image that claims as much as it can takes no more memory than is documented.
func TestVerifyUUIDMemory(t *testing.T) {
	s := disk.Superblock{Magic: disk.Magic, BlockBits: 16, Blocks: disk.MaxBlocks, Incompat: disk.IncompatDevices, ExtraDevices: disk.MaxDevices}
	s.UUID[6], s.UUID[8] = 0x80, 0x80
	b := make([]byte, 4096)
	s.Encode(b[disk.SuperOffset:])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := VerifyUUID(t.Context(), readerAt(func(p []byte, off int64) (int, error) {
		if off > 1<<30 {
			return 0, io.EOF
		}
		clear(p)
		if off < int64(len(b)) {
			copy(p, b[off:])
		}
		return len(p), nil
	}), disk.MaxBlocks<<16)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrWrongLength) || n > 10<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Nothing passes but what a writer has written.
func FuzzVerifyUUID(f *testing.F) {
	layers := layersOf(f, Options{BlockSize: 512}, []tree.Entry{file("a", pattern(1, 600))}, []tree.Entry{file("b", pattern(2, 100))})
	seeds := [][]byte{
		build(f, Options{}), build(f, Options{BlockSize: 512}, file("a", pattern(1, 700)), sparse("s", 9000, []tree.Extent{{Off: 600, Len: 10}})),
		build(f, Options{BlockSize: 1024, Layer: true}, file("a", pattern(1, 100))),
		fsmeta(f, Options{}, layers...), fsmeta(f, Options{NoDeviceTable: true}, layers...),
	}
	for _, b := range seeds {
		if err := verifyBytes(b); err != nil {
			f.Fatalf("seed is not accepted: %v", err)
		}
		f.Add(b)
		unsigned := slices.Clone(b) // else every change only breaks the checksum
		dropChecksum(unsigned)
		f.Add(unsigned)
	}
	f.Add(erofstest.MkfsImage(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		switch err := verifyBytes(b); {
		case err == nil && !slices.ContainsFunc(seeds, func(s []byte) bool { return bytes.Equal(s, b) }):
			t.Fatal("accepted")
		case err != nil && !errors.Is(err, read.ErrCorrupt) && !errors.Is(err, ErrNoContentUUID):
			t.Fatal(err)
		}
	})
}
