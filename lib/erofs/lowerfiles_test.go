package erofs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// upperOf is a layer that changes some of compressible.
func upperOf() []tree.Entry {
	text := words(200 << 10)
	return []tree.Entry{
		file("text/8192", text), file("text/4097", noise(9000)), file("packs/new", join(text, make(data, 1<<20), text)),
		device("noise", tree.Char, 0, 0), lowerLink("linked", "text/1048576"), file("twice", text), file("again", text),
	}
}

// compressedStack are layers of compressible and what changes it, compressed as a and b say; nil
// stands for plain.
func compressedStack(t testing.TB, bs int, a, b *Compression) []merge.Layer {
	t.Helper()
	layers := layersOf(t, Options{BlockSize: bs, Compression: a}, compressible())
	return append(layers, layersOf(t, Options{BlockSize: bs, Compression: b}, upperOf(), stack()[1])...)
}

// mixes calls fn with layers that are compressed in every way, mixed with others.
func mixes(t *testing.T, bs int, fn func(t *testing.T, layers []merge.Layer)) {
	all := someCompression()
	for i := range all {
		all[i].Segment = 256 << 10
		var a, b *Compression
		a, b = &all[i], &all[(i+3)%len(all)]
		switch i {
		case 1:
			b = nil
		case 2:
			a, b = nil, &all[i]
		case 5:
			b = a
		}
		t.Run(fmt.Sprint(a, b), func(t *testing.T) { fn(t, compressedStack(t, bs, a, b)) })
	}
}

// What compressed layers come to is what they are in memory, whichever way the devices are
// given, and the image can be verified.
func TestMergeCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	want := lines(t, merged(t, compressible(), upperOf(), stack()[1]).Source(tree.Flat))
	for _, bs := range []int{512, 4096} {
		mixes(t, bs, func(t *testing.T, layers []merge.Layer) {
			for _, noTable := range []bool{false, true} {
				b := fsmeta(t, Options{NoDeviceTable: noTable}, layers...)
				joined := slices.Clone(b)
				for _, l := range layers {
					joined = append(joined, contentOf(t, l)...)
				}
				for how, img := range map[string]*read.Image{"devices": openWith(t, b, layers), "one device": open(t, joined)} {
					if d := firstDifference(want, lines(t, img.Source())); d != "" {
						t.Errorf("no table %v, %s: %s", noTable, how, d)
					}
				}
				if err := verifyBytes(b); err != nil {
					t.Errorf("no table %v: %v", noTable, err)
				}
				var ids []LayerID
				for _, l := range layers {
					ids = append(ids, LayerID{l.Name, l.Image.UUID()})
				}
				if err := CheckDevices(bytes.NewReader(b), ids); err != nil {
					t.Errorf("no table %v: %v", noTable, err)
				}
				slices.Reverse(ids)
				if err := CheckDevices(bytes.NewReader(b), ids); err == nil {
					t.Errorf("no table %v: devices in the wrong order", noTable)
				}
			}
		})
	}
}

func TestKernelMergedCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	want := merged(t, compressible(), upperOf(), stack()[1])
	var es []tree.Entry
	for _, e := range list(t, want.Source(tree.Flat)) {
		es = append(es, e)
	}
	mixes(t, 4096, func(t *testing.T, layers []merge.Layer) {
		kernelWays(t, layers, func(how, at string) {
			if err := readSomewhere(at, es); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			if err := compareMount(at, want.Source(tree.Flat)); err != nil {
				t.Errorf("%s: %v", how, err)
			}
		})
	})
}

// The reference tool reads the contents, if they are in LZ4.
func TestFsckMergedCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	a, b := &Compression{Method: Method{Algorithm: z.LZ4}}, &Compression{Method: Method{z.LZ4, 9}, PCluster: 4096}
	for _, stack := range [][2]*Compression{{a, b}, {nil, b}} {
		layers := compressedStack(t, 4096, stack[0], stack[1])
		b := fsmeta(t, Options{NoDeviceTable: true}, layers...)
		for _, l := range layers {
			b = append(b, contentOf(t, l)...)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "disk"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out")
		if said := reftest.Run(t, "fsck.erofs", "--extract="+out, filepath.Join(dir, "disk")); strings.Contains(said, "<E>") {
			t.Error(said)
		}
		n := 0
		for path, e := range list(t, open(t, b).Source()) {
			if e.Type != tree.File || e.Extents != nil || e.Hardlink != "" { // 1.5 extracts holes wrongly
				continue
			}
			var want bytes.Buffer
			if err := tree.WriteExpanded(&want, &e); err != nil {
				t.Fatal(err)
			}
			if have, err := os.ReadFile(filepath.Join(out, path)); err != nil || !bytes.Equal(have, want.Bytes()) {
				t.Errorf("%q differs (%v)", path, err)
			}
			n++
		}
		if n < 50 {
			t.Errorf("only %d files", n)
		}
	}
}

// The image says what its files need, and no more.
func TestMergedFeatures(t *testing.T) {
	lz4, small, zstd, deflate := Compression{Method: Method{Algorithm: z.LZ4}}, Compression{Method: Method{Algorithm: z.LZ4}, PCluster: 4096},
		Compression{Method: Method{Algorithm: z.Zstd}, PCluster: 128 << 10}, Compression{Method: Method{Algorithm: z.Deflate}, Encoded: true}
	narrow := Compression{Method: Method{Algorithm: z.Zstd}, PCluster: 4096}
	text := words(300 << 10)
	const lz4Bit, zstdBit, deflateBit = 1 << z.LZ4, 1 << z.Zstd, 1 << z.Deflate
	for _, c := range []struct {
		name     string
		a, b     *Compression
		replaced bool // the upper layer has the file of the lower one
		incompat disk.Incompat
		config   z.Config
		slot     uint16
		says     string
	}{
		{"plain", nil, nil, false, 0, z.Config{}, 9, ""},
		{"small clusters", nil, &small, false, disk.IncompatLZ4, z.Config{Algorithms: lz4Bit, Distance: z.MaxDistance, PClusterBlocks: 1}, 10, ""},
		{"lz4", &small, &lz4, false, disk.IncompatLZ4 | disk.IncompatCompression, z.Config{Algorithms: lz4Bit, Distance: z.MaxDistance, PClusterBlocks: 16}, 10, ""},
		{"lz4 and zstd", &zstd, &lz4, false, disk.IncompatLZ4 | disk.IncompatCompression,
			z.Config{Algorithms: lz4Bit | zstdBit, Distance: z.MaxDistance, PClusterBlocks: 16, WindowLog: 19}, 10, "Linux 6.10 and later"},
		{"two windows", &zstd, &narrow, false, disk.IncompatLZ4 | disk.IncompatCompression, z.Config{Algorithms: zstdBit, WindowLog: 19}, 10, "Linux 6.10 and later"},
		{"zstd is hidden", &zstd, &lz4, true, disk.IncompatLZ4 | disk.IncompatCompression, z.Config{Algorithms: lz4Bit, Distance: z.MaxDistance, PClusterBlocks: 16}, 10, ""},
		{"all is hidden", &zstd, nil, true, 0, z.Config{}, 10, ""},
		{"encoded", &deflate, &zstd, false, disk.IncompatLZ4 | disk.IncompatCompression | disk.Incompat48Bit,
			z.Config{Algorithms: deflateBit | zstdBit, WindowBits: 15, WindowLog: 19}, 10, "Linux 6.15 and later"},
	} {
		name := "b"
		if c.replaced {
			name = "a"
		}
		layers := append(layersOf(t, Options{Compression: c.a}, []tree.Entry{file("a", text)}), layersOf(t, Options{Compression: c.b}, []tree.Entry{file(name, text)})...)
		var said []string
		b := fsmeta(t, Options{Warn: func(s string) { said = append(said, s) }}, layers...)
		super, _ := disk.FindSuperblock(b)
		if have := super.Incompat &^ disk.IncompatDevices; have != c.incompat || super.DeviceSlot != c.slot {
			t.Errorf("%s: features %#x, want %#x; table at %d", c.name, have, c.incompat, super.DeviceSlot)
		}
		if c.incompat != 0 {
			if have := openWith(t, b, layers).Compression(); have != c.config {
				t.Errorf("%s: %+v, want %+v", c.name, have, c.config)
			}
		}
		if (c.says == "") != (said == nil) || c.says != "" && !strings.Contains(said[0], c.says) {
			t.Errorf("%s: says %q", c.name, said)
		}
	}
}

// Of other tools' images those are merged that have the contents in blocks of their own.
func TestForeignCompressedLayers(t *testing.T) {
	text := words(400 << 10)
	es := []tree.Entry{dir("."), file("even", text[:300<<10]), file("odd", text[:100001]), file("mixed", join(text[:70000], noise(50000), text[:9000])), file("random", noise(30000))}
	root := unpack(t, sourceOf(t, es))
	upper := layersOf(t, Options{Compression: &Compression{Method: Method{Algorithm: z.LZ4}}}, []tree.Entry{file("even", text[5:]), file("more", text)})
	want := merged(t, es, []tree.Entry{file("even", text[5:]), file("more", text)})
	cases := []struct{ args, refused string }{
		{"-zlz4", ""}, {"-zlz4 -C65536", ""}, {"-zlz4hc,12 -C16384", ""},
		{"-zlz4 -C65536 -Eztailpacking", "its end follows its index"},
	}
	if os.Getenv("MKFS_EROFS") == "" { // Debian's 1.5
		cases = append(cases, struct{ args, refused string }{"-zlz4 -Elegacy-compress", "since Linux 5.4"})
	} else {
		cases = append(cases, []struct{ args, refused string }{
			{"-zlz4 -C65536 -Efragments", "the file for parts of files"}, {"-zlz4 -C65536 -Elegacy-compress", ""}, {"-zzstd,level=3 -C65536", ""}, {"-zdeflate,level=6 -C65536", ""}, {"-zlz4 -C65536 -Ededupe", ""},
			{"-zzstd,level=3 -C65536 -E48bit", ""}, {"-zlz4 -C65536 --max-extent-bytes=65536", ""},
		}...)
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "mkfs.erofs")
			reftest.Run(t, "mkfs.erofs", append(strings.Fields(c.args), "--quiet", "-Enoinline_data", name, root)...)
			layers := append([]merge.Layer{{Name: "mkfs", Image: openFile(t, name)}}, upper...)
			if c.refused != "" {
				err := WriteFsmeta(context.Background(), &image{}, layers, tree.Limits{}, Options{})
				if !errors.Is(err, read.ErrNotAddressable) || !strings.Contains(fmt.Sprint(err), c.refused) || !strings.HasPrefix(err.Error(), "mkfs: ") {
					t.Error(err)
				}
				return
			}
			b := fsmeta(t, Options{}, layers...)
			img := openWith(t, b, layers)
			for path, e := range list(t, want.Source(tree.Flat)) {
				if e.Type == tree.File {
					have, err := img.Lookup(path)
					if err == nil {
						err = tree.Difference(&tree.Entry{Path: path, Type: e.Type, Size: e.Size}, &tree.Entry{Path: path, Type: have.Type, Size: have.Size}, "the image")
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
			kernelWays(t, layers, func(how, at string) {
				if err := compareMount(at, img.Source()); err != nil {
					t.Errorf("%s: %v", how, err)
				}
				for path, e := range list(t, want.Source(tree.Flat)) {
					var b bytes.Buffer
					if e.Type != tree.File {
						continue
					} else if err := tree.WriteExpanded(&b, &e); err != nil {
						t.Fatal(err)
					}
					if have, err := os.ReadFile(filepath.Join(at, path)); err != nil || !bytes.Equal(have, b.Bytes()) {
						t.Errorf("%s: %s differs (%v)", how, path, err)
					}
				}
			})
		})
	}
}

// The check finds extents that are not those of the layer.
func TestCheckMergedCompressed(t *testing.T) {
	text := words(300 << 10)
	for _, c := range []Compression{{Method: Method{Algorithm: z.LZ4}}, {Method: Method{Algorithm: z.Zstd}, Encoded: true}} {
		layers := layersOf(t, Options{Compression: &c}, []tree.Entry{file("a", text)}, []tree.Entry{file("b", text)})
		clean := fsmeta(t, Options{}, layers...)
		for _, path := range []string{"a", "b"} {
			ino := find(t, clean, path)
			list := disk.RoundUp(ino.End(), z.HeaderAlign)
			blocks := uint32(layers[0].Image.Size() / 4096)
			if c.Encoded {
				blocks *= 4096
			}
			at := list + z.HeaderSize + 4 // the base of the first pack
			if c.Encoded {
				at = disk.RoundUp(list+z.HeaderSize, 4) // where the first cluster is
			}
			for name, change := range map[string]func(b []byte){
				"next block":               func(b []byte) { b[at]++ },
				"the other layer":          func(b []byte) { binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])^blocks) },
				"beyond":                   func(b []byte) { b[at+3] = 1 },
				"header":                   func(b []byte) { b[list+4] ^= 6 },
				"size":                     func(b []byte) { b[ino.Off+8]-- },
				"uncompressed":             func(b []byte) { b[ino.Off] &^= 0xe },
				"records of the algorithm": func(b []byte) { b[tableEnd(0)+3] ^= 1 },
			} {
				err := WriteFsmeta(context.Background(), &tampered{change: change}, layers, tree.Limits{}, Options{Check: true})
				if err == nil || !strings.Contains(err.Error(), "check: ") {
					t.Errorf("%s, %s: %v", path, name, err)
				}
			}
		}
	}
}

// hostileLayer is the image of a layer with the file a, whose index is changed.
func hostileLayer(t testing.TB, c Compression, change func(b []byte, ino, index int64)) merge.Layer {
	t.Helper()
	b := build(t, Options{Layer: true, Compression: &c}, dir("."), file("a", words(300<<10)))
	ino := find(t, b, "a")
	change(b, ino.Off, disk.RoundUp(ino.End(), z.HeaderAlign))
	sign(b)
	return merge.Layer{Name: "hostile", Image: open(t, b)}
}

func TestHostileCompressedLayers(t *testing.T) {
	lz4, encoded := Compression{Method: Method{Algorithm: z.LZ4}}, Compression{Method: Method{Algorithm: z.Zstd}, Encoded: true}
	good := layersOf(t, Options{}, []tree.Entry{file("b", pattern(1, 100))})[0]
	for _, c := range []struct {
		name   string
		c      Compression
		change func(b []byte, ino, index int64)
		is     error
		said   string
	}{
		{"a block beyond the layer", lz4, func(b []byte, _, index int64) { b[index+8+6] = 1 }, read.ErrCorrupt, "hostile: a: extent at "},
		{"the last address", lz4, func(b []byte, _, index int64) { copy(b[index+8+4:], "\xff\xff\xff\xff") }, read.ErrCorrupt, "beyond the end of the image"},
		{"a byte beyond the layer", encoded, func(b []byte, _, index int64) { b[index+8+5] = 1 }, read.ErrCorrupt, "beyond the end of the image"},
		{"a negative position", encoded, func(b []byte, _, index int64) { b[index+8+7] = 0x80 }, read.ErrCorrupt, "hostile: a: "},
		{"an algorithm that the image has not", lz4, func(b []byte, _, index int64) { b[index+6] = byte(z.Deflate) }, read.ErrCorrupt, "not among the algorithms"},
		{"lzma", lz4, func(b []byte, _, index int64) { b[index+6] = byte(z.LZMA) }, read.ErrNotAddressable, "hostile: a: no other image can refer to it: "},
		{"no such algorithm", lz4, func(b []byte, _, index int64) { b[index+6] = 9 }, nil, "hostile: "},
		{"a tail that is not there", lz4, func(b []byte, _, index int64) { b[index+3], b[index+4] = 1, b[index+4]|byte(z.AdviseTail) }, read.ErrNotAddressable, "hostile: a: "},
		{"a part of another file", lz4, func(b []byte, _, index int64) { b[index+7] = 0x80 }, read.ErrNotAddressable, "hostile: a: "},
		{"other streams", lz4, func(b []byte, _, _ int64) { b[disk.SuperOffset+80] &^= byte(disk.IncompatLZ4) }, read.ErrNotAddressable, "hostile: a: "},
		{"a size beyond the index", lz4, func(b []byte, ino, _ int64) { b[ino+11] = 0x7f }, read.ErrCorrupt, "hostile: "},
	} {
		layer := hostileLayer(t, c.c, c.change)
		for _, layers := range [][]merge.Layer{{layer}, {good, layer}} {
			err := WriteFsmeta(context.Background(), &image{}, layers, tree.Limits{}, Options{})
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// Lists that overlap are not read again and again.
func TestOverlappingLists(t *testing.T) {
	layer := hostileLayer(t, Compression{Method: Method{Algorithm: z.LZ4}}, func([]byte, int64, int64) {})
	e, err := layer.Image.Lookup("a")
	if err != nil {
		t.Fatal(err)
	}
	content := e.Content.(*read.Content)
	h, _ := content.Header()
	room := 3*content.IndexSize() - 1
	files := lowerFiles{bs: 4096, layers: []merge.Layer{layer}, room: map[*read.Image]int64{layer.Image: room}, stopped: func() error { return nil }}
	for range 2 {
		files.add(&item{entry: e}, content, h)
	}
	if files.err != nil {
		t.Fatal(files.err)
	}
	files.add(&item{entry: e}, content, h)
	if err := files.refused("a"); !errors.Is(err, read.ErrCorrupt) || !strings.HasPrefix(err.Error(), "hostile: a: lists of extents overlap") {
		t.Error(err)
	}
}

// A writer that is stopped does not read a long list to its end.
func TestMergeStops(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	layers := layersOf(t, Options{KeepZeros: true, Compression: &Compression{Method: Method{Algorithm: z.LZ4}, PCluster: 4096}}, []tree.Entry{file("a", words(20<<20))})
	e, err := layers[0].Image.Lookup("a")
	if err != nil {
		t.Fatal(err)
	}
	content := e.Content.(*read.Content)
	stopped, n := errors.New("stopped"), 0
	files := lowerFiles{bs: 4096, stopped: func() error { return stopped }}
	for _, err = range files.extents(content) {
		n++
	}
	if err != stopped || n != stopEvery {
		t.Errorf("%v after %d extents", err, n)
	}
}

// The records of compression come before a table that just fits into the first block, and one
// that does not.
func TestManyCompressedDevices(t *testing.T) {
	one := build(t, Options{Layer: true, Compression: &Compression{Method: Method{Algorithm: z.LZ4}}}, dir("."), file("a", words(20000)))
	for _, n := range []int{21, 22, 23} {
		var layers []merge.Layer
		for i := range n {
			layers = append(layers, merge.Layer{Name: fmt.Sprint(i), Image: open(t, one)})
		}
		b := fsmeta(t, Options{}, layers...)
		if err := verifyBytes(b); err != nil {
			t.Errorf("%d: %v", n, err)
		}
		kernelWays(t, layers, func(how, at string) {
			if b, err := os.ReadFile(at + "/a"); err != nil || !bytes.Equal(b, words(20000)) {
				t.Errorf("%d, %s: %v", n, how, err)
			}
		})
	}
}

// Parts of clusters need Linux 6.1, which the superblock says; an old distance of 0 is the
// longest one.
func TestLowerFeatures(t *testing.T) {
	files := lowerFiles{bs: 4096}
	files.use(&z.Usage{Algorithms: 1 << z.LZ4, Largest: 4096, Partial: true}, z.Config{Algorithms: 1 << z.LZ4})
	files.use(&z.Usage{Algorithms: 1 << z.LZ4, Largest: 4096}, z.Config{Algorithms: 1 << z.LZ4, Distance: 7})
	var super disk.Superblock
	files.describe(&super, nil)
	if super.Incompat != disk.IncompatLZ4|disk.IncompatFragments || super.Algorithms != z.MaxDistance {
		t.Errorf("features %#x, distance %d", super.Incompat, super.Algorithms)
	}
	if !strings.Contains(files.needs(4096), "Linux 6.1 and later") {
		t.Error(files.needs(4096))
	}
}

// Merged layers whose extents are encoded, in small blocks: the kernel reads them.
func TestKernelMergedEncoded(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	want := merged(t, compressible(), upperOf(), stack()[1])
	var es []tree.Entry
	for _, e := range list(t, want.Source(tree.Flat)) {
		es = append(es, e)
	}
	for i, bs := range []int{512, 1024, 2048, 4096} {
		all := []z.Algorithm{z.LZ4, z.Deflate, z.Zstd}
		of := func(i int) *Compression {
			return &Compression{Method: Method{Algorithm: all[i%len(all)]}, PCluster: int64(bs) << (2 * i), Segment: 2 << 20, Encoded: true}
		}
		t.Run(fmt.Sprintf("blocks of %d, %s and %s", bs, of(i), of(i+1)), func(t *testing.T) {
			kernelWays(t, compressedStack(t, bs, of(i), of(i+1)), func(how, at string) {
				if err := readSomewhere(at, es); err != nil {
					t.Errorf("%s: %v", how, err)
				}
				if err := compareMount(at, want.Source(tree.Flat)); err != nil {
					t.Errorf("%s: %v", how, err)
				}
			})
		})
	}
}
