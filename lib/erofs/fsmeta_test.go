package erofs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// layersOf makes a layer image of each list of entries, in memory.
func layersOf(t testing.TB, opts Options, lists ...[]tree.Entry) (layers []merge.Layer) {
	t.Helper()
	opts.Layer = true
	for i, es := range lists {
		layers = append(layers, merge.Layer{Name: fmt.Sprintf("layer %d", i), Image: open(t, build(t, opts, es...))})
	}
	return layers
}

func fsmeta(t testing.TB, opts Options, layers ...merge.Layer) []byte {
	t.Helper()
	m := &image{}
	opts.Check = true
	if err := WriteFsmeta(context.Background(), m, layers, tree.Limits{}, opts); err != nil {
		t.Fatal(err)
	}
	return m.B
}

func devicesOf(layers []merge.Layer) (devices []read.Device) {
	for _, l := range layers {
		devices = append(devices, l.Image.Device(l.Name))
	}
	return devices
}

// contentOf is all of a layer image.
func contentOf(t testing.TB, l merge.Layer) []byte {
	t.Helper()
	return erofstest.Whole(t, l.Image.Device("").R, l.Image.Size())
}

// What is merged is what the same layers come to in memory, whichever way the
// devices are given.
func TestFsmeta(t *testing.T) {
	want := stream(t, merged(t, stack()...).Source(tree.Flat))
	for _, bs := range []int{512, 4096} {
		layers := layersOf(t, Options{BlockSize: bs}, stack()...)
		for _, noTable := range []bool{false, true} {
			b := fsmeta(t, Options{NoDeviceTable: noTable}, layers...)
			img, err := read.Open(bytes.NewReader(b), int64(len(b)), devicesOf(layers)...)
			if err != nil {
				t.Fatal(err)
			}
			joined := slices.Clone(b)
			for _, l := range layers {
				joined = append(joined, contentOf(t, l)...)
			}
			for how, img := range map[string]*read.Image{"devices": img, "one device": open(t, joined)} {
				if d := firstDifference(want, stream(t, img.Source())); d != "" {
					t.Errorf("blocks of %d, no table %v, %s: %s", bs, noTable, how, d)
				}
			}
			if _, err := read.Open(bytes.NewReader(b), int64(len(b))); (err != nil) != noTable {
				t.Errorf("without devices, no table %v: %v", noTable, err)
			}
		}
		merged, err := merge.Layers(context.Background(), layers, merge.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := firstDifference(want, stream(t, merged.Source(tree.Flat))); d != "" {
			t.Errorf("merged alone: %s", d)
		}
	}
}

// Without a device, names and attributes can be read and contents not.
func TestFsmetaAlone(t *testing.T) {
	layers := layersOf(t, Options{}, stack()...)
	e, err := open(t, fsmeta(t, Options{}, layers...)).Lookup("large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Content.WriteTo(io.Discard); !errors.Is(err, read.ErrNoDevice) || !errors.Is(err, read.ErrUnsupported) {
		t.Errorf("content: %v", err)
	}
}

// kernelWays mounts an fsmeta with its layers each way, and calls check with where.
func kernelWays(t *testing.T, layers []merge.Layer, check func(how, at string)) {
	t.Helper()
	dir := t.TempDir()
	save := func(name string, parts ...[]byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, bytes.Join(parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var parts [][]byte
	var options []string
	for i, l := range layers {
		parts = append(parts, contentOf(t, l))
		options = append(options, "device="+reftest.Loop(t, save(fmt.Sprintf("layer%d", i), parts[i])))
	}
	table, none := fsmeta(t, Options{}, layers...), fsmeta(t, Options{NoDeviceTable: true}, layers...)
	check("device=", reftest.Mount(t, "erofs", save("table", table), strings.Join(options, ",")))
	check("one device", reftest.Mount(t, "erofs", save("disk", append([][]byte{table}, parts...)...), ""))
	check("no table", reftest.Mount(t, "erofs", save("plain", append([][]byte{none}, parts...)...), ""))
}

func TestKernelFsmeta(t *testing.T) {
	reftest.OneThread(t)
	for _, bs := range []int{512, 4096} {
		kernelWays(t, layersOf(t, Options{BlockSize: bs}, stack()...), func(how, at string) {
			if err := compareMount(at, merged(t, stack()...).Source(tree.Flat)); err != nil {
				t.Errorf("blocks of %d, %s: %v", bs, how, err)
			}
		})
	}
}

// A table of so many devices that it passes the first block, and one so long that the
// root has to go elsewhere.
func TestManyDevices(t *testing.T) {
	one := build(t, Options{Layer: true, BlockSize: 512}, dir("."), file("a", pattern(1, 600)))
	top := build(t, Options{Layer: true, BlockSize: 512}, file("b", pattern(2, 600)))
	for _, n := range []int{1, 3, 23, 24, 40, disk.MaxRootNid*disk.NidUnit/disk.DeviceSlotSize + 1} {
		var layers []merge.Layer
		for i := range n {
			b := one
			if i == n-1 {
				b = top
			}
			layers = append(layers, merge.Layer{Name: fmt.Sprint(i), Image: open(t, b)})
		}
		b := fsmeta(t, Options{}, layers...)
		img, err := read.Open(bytes.NewReader(b), int64(len(b)), devicesOf(layers)...)
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		e, err := img.Lookup("b")
		var content bytes.Buffer
		if err == nil {
			_, err = e.Content.WriteTo(&content)
		}
		if err != nil || !bytes.Equal(content.Bytes(), pattern(2, 600)) {
			t.Errorf("%d: %v", n, err)
		}
		if n == 40 {
			kernelWays(t, layers, func(how, at string) {
				if b, err := os.ReadFile(at + "/b"); err != nil || !bytes.Equal(b, pattern(2, 600)) {
					t.Errorf("%s: %v", how, err)
				}
			})
		}
	}
}

// An image that comes twice is one device.
func TestLayerTwice(t *testing.T) {
	layers := layersOf(t, Options{}, []tree.Entry{file("a", pattern(1, 10))}, []tree.Entry{file("a", pattern(2, 10)), file("b", pattern(3, 10))})
	layers = append(layers, layers[0])
	b := fsmeta(t, Options{}, layers...)
	img, err := read.Open(bytes.NewReader(b), int64(len(b)), devicesOf(layers[:2])...)
	if err != nil || len(img.DeviceTable()) != 2 {
		t.Fatalf("%d devices, %v", len(img.DeviceTable()), err)
	}
	for path, want := range map[string]data{"a": pattern(1, 10), "b": pattern(3, 10)} {
		var content bytes.Buffer
		e, err := img.Lookup(path)
		if err == nil {
			_, err = e.Content.WriteTo(&content)
		}
		if err != nil || !bytes.Equal(content.Bytes(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A file costs its inode and name, whatever its size; a contiguous one has no map.
func TestFsmetaSize(t *testing.T) {
	const size = 64 << 20
	layer := &zeroFile{blocks: map[int64][]byte{}}
	if err := writeTo(layer, Options{Layer: true, KeepZeros: true, UUID: new([16]byte)}, []tree.Entry{
		dir("."), {Path: "large", Type: tree.File, Size: size, Content: manyZeros(size)},
	}); err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(layer, disk.RoundUp(layer.size, disk.ImageAlign))
	if err != nil {
		t.Fatal(err)
	}
	b := fsmeta(t, Options{}, merge.Layer{Name: "large", Image: img})
	if len(b) != 4096 {
		t.Errorf("%d bytes", len(b))
	}
	if ino := find(t, b, "large"); ino.Layout != disk.FlatPlain || ino.Size != size {
		t.Errorf("%+v", ino)
	}
}

func TestExactBits(t *testing.T) {
	const bs = 4096
	run := func(off, n, pos int64) read.Run { return read.Run{Extent: tree.Extent{Off: off, Len: n}, Pos: pos} }
	for _, c := range []struct {
		name string
		size int64
		runs []read.Run
		want uint8
	}{
		{"all hole", 100 * bs, nil, 7},
		{"one block", 1, nil, 0},
		{"head", 100 * bs, []read.Run{run(0, bs, 0)}, 0},
		{"first half", 64 * bs, []read.Run{run(0, 32*bs, 0)}, 5},
		{"to the end", 64*bs + 5, []read.Run{run(48*bs, 16*bs+5, 0)}, 4},
		{"two places", 64 * bs, []read.Run{run(0, 16*bs, 99*bs), run(16*bs, 48*bs, 0)}, 4},
		{"odd", 64 * bs, []read.Run{run(8*bs, 6*bs, 0)}, 1},
	} {
		if bits := exactBits(c.runs, c.size, bs); bits != c.want {
			t.Errorf("%s: chunks of 2^%d blocks, expected 2^%d", c.name, bits, c.want)
		}
	}
}

// tampered is an output that is not as it was written when it is read back.
type tampered struct {
	image
	change func(b []byte)
}

func (o *tampered) ReadAt(p []byte, off int64) (int, error) {
	if o.change != nil {
		o.change(o.B)
		o.change = nil
		sign(o.B)
	}
	return o.image.ReadAt(p, off)
}

func TestCheckFsmeta(t *testing.T) {
	layers := layersOf(t, Options{}, stack()...)
	clean := fsmeta(t, Options{}, layers...)
	flat, mapped := find(t, clean, "large"), find(t, clean, "sparse2")
	if flat.Layout != disk.FlatPlain || mapped.Layout != disk.ChunkBased {
		t.Fatal("files are not as this test wants them")
	}
	add := func(off int64, n uint32) func(b []byte) {
		return func(b []byte) {
			binary.LittleEndian.PutUint32(b[off:], binary.LittleEndian.Uint32(b[off:])+n)
		}
	}
	slot := func(i int) int64 { return tableEnd(i) }
	index := int64(-1) // of the first chunk that is no hole
	for at := disk.RoundUp(mapped.End(), 8) + 4; index < 0; at += 8 {
		if binary.LittleEndian.Uint32(clean[at:]) != disk.NullBlock {
			index = at
		}
	}
	for _, c := range []struct {
		name   string
		change func(b []byte)
		err    string
	}{
		{"nothing", func([]byte) {}, ""},
		{"flat extent, next block", add(flat.Off+16, 1), "a-link: data is not where layer 0 has it"},
		{"flat extent, block before", add(flat.Off+16, ^uint32(0)), "data is not where"},
		{"flat extent, beyond", add(flat.Off+16, 1<<20), "beyond the end"},
		{"flat extent, same block of the next layer", add(find(t, clean, "!bang").Off+16, uint32(layers[0].Image.Size()/4096)), "!bang: data is not where layer 0 has it"},
		{"chunk, next block", add(index, 1), "data is not where layer 1 has it"},
		{"chunk, another device", add(index-2, 1<<16|2), "sparse2"},
		{"UUID", func(b []byte) { b[slot(1)] = "10"[b[slot(1)]&1] }, "device 2, layer 1: is the image with the UUID"},
		{"blocks", add(slot(0)+64, ^uint32(0)), "device 1: "},
		{"too many blocks", add(slot(2)+64, 1), "device 3, layer 2: has "},
		{"first", add(slot(2)+68, 1), "device 3: "},
		{"overlap", add(slot(2)+68, ^uint32(0)), "have blocks in common"},
		{"two slots swapped", func(b []byte) {
			first := slices.Clone(b[slot(0):slot(1)])
			copy(b[slot(0):], b[slot(1):slot(2)])
			copy(b[slot(1):], first)
		}, "device 1, layer 0: is the image with the UUID"},
		{"a slot less", func(b []byte) { b[disk.SuperOffset+86]-- }, "on 2 devices, and 3 are given"},
	} {
		err := WriteFsmeta(context.Background(), &tampered{change: c.change}, layers, tree.Limits{}, Options{Check: true})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), "check: ") || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Devices that are not those of the image.
func TestWrongDevices(t *testing.T) {
	layers := layersOf(t, Options{}, stack()...)
	b := fsmeta(t, Options{}, layers...)
	other := layersOf(t, Options{}, append(stack()[0], file("more", nil)))[0]
	d := devicesOf(layers)
	short := d[1]
	short.Size -= 4096
	junk := read.Device{Name: "junk", R: bytes.NewReader(make([]byte, 1<<20)), Size: 1 << 20}
	for _, c := range []struct {
		name    string
		devices []read.Device
		err     string
	}{
		{"swapped", []read.Device{d[1], d[0], d[2]}, "device 1, layer 1: is the image with the UUID"},
		{"one less", d[:2], "on 3 devices, and 2 are given"},
		{"one more", append(slices.Clone(d), d[0]), "on 3 devices, and 4 are given"},
		{"changed", []read.Device{devicesOf([]merge.Layer{other})[0], d[1], d[2]}, "device 1, layer 0: is the image with the UUID"},
		{"short", []read.Device{d[0], short, d[2]}, "device 2, layer 1: has "},
		{"junk", []read.Device{d[0], d[1], junk}, "device 3, junk: is not an EROFS image"},
		{"empty", []read.Device{d[0], d[1], {Name: "empty", R: bytes.NewReader(nil)}}, "device 3, empty: is not an EROFS image"},
	} {
		if _, err := read.Open(bytes.NewReader(b), int64(len(b)), c.devices...); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	joined := slices.Clone(b)
	for _, i := range []int{0, 2, 1} { // the right length
		joined = append(joined, contentOf(t, layers[i])...)
	}
	if _, err := read.Open(bytes.NewReader(joined), int64(len(joined))); err == nil || !strings.Contains(err.Error(), "device 2, at block ") {
		t.Errorf("wrong order on one device: %v", err)
	}
	b = fsmeta(t, Options{NoDeviceTable: true}, layers...)
	if _, err := read.Open(bytes.NewReader(b), int64(len(b)), d[:2]...); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("no table, one less: %v", err)
	}
}

func TestLayersThatDoNotFit(t *testing.T) {
	good := layersOf(t, Options{}, []tree.Entry{dir("."), file("a", pattern(1, 10))})[0]
	inline := merge.Layer{Name: "inline", Image: open(t, build(t, Options{}, dir("d"), file("d/a", pattern(1, 10))))}
	small := layersOf(t, Options{BlockSize: 512}, []tree.Entry{file("a", nil)})[0]
	b := append(contentOf(t, good), 1, 2, 3)
	merged := fsmeta(t, Options{}, good)
	over, err := read.Open(bytes.NewReader(merged), int64(len(merged)), devicesOf([]merge.Layer{good})...)
	if err != nil {
		t.Fatal(err)
	}
	lower := layersOf(t, Options{}, []tree.Entry{lowerLink("b", "missing")})[0]
	for _, c := range []struct {
		name   string
		layers []merge.Layer
		opts   Options
		is     error
		err    string
	}{
		{"inline", []merge.Layer{good, inline}, Options{}, read.ErrNotAddressable, "inline: d/a: "},
		{"block size", []merge.Layer{good, small}, Options{}, ErrLayers, "512"},
		{"length", []merge.Layer{{Name: "long", Image: open(t, b)}}, Options{}, ErrLayers, "not a multiple"},
		{"merged before", []merge.Layer{{Name: "fsmeta", Image: over}}, Options{}, read.ErrNotAddressable, "fsmeta: a: "},
		{"layer", []merge.Layer{good}, Options{Layer: true}, nil, "flat"},
		{"compression", []merge.Layer{good}, Options{Compression: &Compression{Method: Method{Algorithm: z.LZ4}}}, nil, "compression"},
		{"label", []merge.Layer{good}, Options{Label: "0123456789abcdef"}, nil, "label"},
		{"link", []merge.Layer{good, lower}, Options{}, nil, "layer 0: b: hard link to missing"},
	} {
		err := WriteFsmeta(context.Background(), &image{}, c.layers, tree.Limits{}, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.err) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var limit *tree.LimitError
	if err := WriteFsmeta(context.Background(), &image{}, []merge.Layer{good}, tree.Limits{Entries: 1}, Options{}); !errors.As(err, &limit) {
		t.Errorf("limit: %v", err)
	}
}

// Attributes that no layer may have are left out and counted.
func TestReservedXattrs(t *testing.T) {
	var said []string
	warn := func(s string) { said = append(said, s) }
	b := build(t, Options{Layer: true},
		xattrs(dir("d"), "trusted.overlay.redirect", "/etc", "user.overlay.opaque", "y", "user.a", "b"),
		xattrs(file("f", nil), tree.Opaque.Name, "y"))
	merged, err := merge.Layers(context.Background(), []merge.Layer{{Name: "foreign", Image: open(t, b)}}, merge.Options{Warn: warn})
	if err != nil {
		t.Fatal(err)
	}
	if xs := merged.Lookup("d").Entry.Xattrs; len(xs) != 1 || xs[0].Name != "user.a" || len(merged.Lookup("f").Entry.Xattrs) > 0 {
		t.Errorf("%q", xs)
	}
	if len(said) != 1 || said[0] != "foreign: d: xattr trusted.overlay.redirect: left out, and 2 more" {
		t.Errorf("%q", said)
	}
}

func TestFsmetaOptions(t *testing.T) {
	layers := layersOf(t, Options{}, stack()...)
	b := fsmeta(t, Options{}, layers...)
	if !bytes.Equal(b, fsmeta(t, Options{}, layers...)) {
		t.Error("two images of the same layers differ")
	}
	ids := map[[16]byte]bool{}
	same := build(t, Options{Layer: true, UUID: &[16]byte{1}}, stack()[0]...)
	for _, b := range [][]byte{
		b, fsmeta(t, Options{NoDeviceTable: true}, layers...), fsmeta(t, Options{}, layers[:2]...),
		fsmeta(t, Options{}, merge.Layer{Name: "", Image: open(t, same)}, layers[1], layers[2]),
		fsmeta(t, Options{NoDeviceTable: true}, merge.Layer{Name: "", Image: open(t, same)}, layers[1], layers[2]),
	} {
		ids[erofstest.Super(t, b).UUID] = true
	}
	if len(ids) != 5 {
		t.Errorf("%d different UUIDs of 5 images", len(ids))
	}
	early := tree.Time{Sec: 5}
	img := open(t, fsmeta(t, Options{Mtime: &early, Label: "root", UUID: &[16]byte{9}}, layers...))
	if img.Label() != "root" || img.UUID() != [16]byte{9} {
		t.Errorf("label %q, UUID %x", img.Label(), img.UUID())
	}
	for path, e := range list(t, img.Source()) {
		if e.Time != early {
			t.Fatalf("%s is of %v", path, e.Time)
		}
	}
}

// FuzzFsmeta reads broken images with the devices of a good one, and merges them
// with a good layer. What can be merged must hold what it was merged from. Give Go
// -fuzzminimizetime 100x, as for FuzzReader.
func FuzzFsmeta(f *testing.F) {
	opts := Options{BlockSize: 512, UUID: new([16]byte)}
	layers := layersOf(f, opts,
		[]tree.Entry{file("a", pattern(1, 1000)), file("d/b", pattern(2, 100)), symlink("s", "d")},
		[]tree.Entry{device("a", tree.Char, 0, 0), sparse("s/sparse", 9000, []tree.Extent{{Off: 600, Len: 10}}), hardlink("h", "s/sparse")})
	compressed := func(c Compression) []byte {
		return build(f, Options{BlockSize: 512, Layer: true, UUID: new([16]byte), Compression: &c}, dir("."), file("words", words(20000)), file("zeros", make(data, 9000)), file("both", join(words(3000), noise(2000), words(2000))))
	}
	for _, b := range [][]byte{
		fsmeta(f, Options{UUID: new([16]byte)}, layers...),
		fsmeta(f, Options{UUID: new([16]byte), NoDeviceTable: true}, layers...),
		contentOf(f, layers[0]), contentOf(f, layers[1]), build(f, opts, dir("."), xattrs(file("big", pattern(1, 3000)), "user.a", "b"), file("inline", pattern(2, 100)), hardlink("hard", "big"), symlink("link", "target")),
		compressed(Compression{Method: Method{Algorithm: z.LZ4}, PCluster: 1024}), compressed(Compression{Method: Method{Algorithm: z.Zstd}, Encoded: true}),
	} {
		dropChecksum(b)
		if alone, with := drain(b), drain(b, devicesOf(layers)...); alone != nil && with != nil {
			f.Fatalf("seed is not accepted: %v; with devices: %v", alone, with)
		}
		f.Add(b)
	}
	limits := tree.Limits{FileSize: 1 << 30, Entries: 1 << 16}
	f.Fuzz(func(t *testing.T, b []byte) {
		drain(b, devicesOf(layers)...)
		drain(b, devicesOf(layers[:1])...)
		img, err := read.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		stack := []merge.Layer{layers[0], {Name: "fuzzed", Image: img}, layers[1]}
		if err := WriteFsmeta(context.Background(), &image{}, stack, limits, Options{Check: true}); err != nil && strings.Contains(err.Error(), "check: ") {
			t.Fatal(err)
		}
	})
}
