package erofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// words is n bytes that compress to about half.
func words(n int) data {
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint32N(1<<(r.IntN(28)+4))&^0xff00)
	}
	return b.Bytes()[:n]
}

// noise is n bytes that do not compress.
func noise(n int) data {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{2}).Read(b)
	return b
}

func join(parts ...data) (all data) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// compressible is the corpus and more, for segments of 256 KiB.
func compressible() []tree.Entry {
	es := corpus()
	text, random := words(1<<20+1), noise(300<<10)
	for _, n := range []int{4096, 4097, 8192, 8193, 64 << 10, 64<<10 + 1, 68<<10 + 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 1<<20 + 1} {
		es = append(es, file(fmt.Sprintf("text/%d", n), text[:n]))
	}
	for i := 5; i < 40; i++ { // packs of indexes end in every way, behind xattrs of every length
		es = append(es, xattrs(file(fmt.Sprintf("packs/%d", i), text[:4096*i+1]), "user.x", strings.Repeat("x", i)))
	}
	return append(es, dir("text"), dir("packs"),
		file("noise", random), file("noise, text", join(random[:22000], text[:400000])), file("text, noise", join(text[:70000], random)),
		file("late text", join(random[:256<<10], text)), file("late noise", join(text[:256<<10], random)),
		file("zeros", make(data, 1<<20)), file("zeros, x", append(make(data, 1<<20), 'x')), file("x, zeros", append(data("x"), make(data, 1<<20)...)),
		file("no.gz", text[:100000]), file("raw/text", text), dir("raw"), file("other.hc", text))
}

// someCompression are options of every kind, with short segments.
func someCompression() []Compression {
	hints := []Hint{{"*.gz", Method{Algorithm: z.Raw}}, {"raw", Method{Algorithm: z.Raw}}, {"*.hc", Method{z.LZ4, 9}}}
	return []Compression{
		{Method: Method{Algorithm: z.LZ4}},
		{Method: Method{z.LZ4, 9}, PCluster: 4096},
		{Method: Method{Algorithm: z.LZ4}, Encoded: true},
		{Method: Method{Algorithm: z.Zstd}, Hints: hints},
		{Method: Method{Algorithm: z.Zstd}, PCluster: 16 << 10, Encoded: true, Hints: hints},
		{Method: Method{Algorithm: z.Deflate}, PCluster: 32 << 10},
		{Method: Method{Algorithm: z.Deflate}, PCluster: 4096, Encoded: true},
	}
}

func (c Compression) String() string {
	return fmt.Sprintf("%s-%d, %d, encoded=%v", c.Algorithm, c.Level, c.PCluster, c.Encoded)
}

// eachCompression runs fn for all of them, some with images of layers.
func eachCompression(t *testing.T, fn func(t *testing.T, opts Options)) {
	for i, c := range someCompression() {
		c.Segment = 256 << 10
		opts := Options{Layer: i%3 == 2, Compression: &c}
		t.Run(fmt.Sprintf("%s, layer=%v", c, opts.Layer), func(t *testing.T) { fn(t, opts) })
	}
}

// The kernel reads what was added: pieces anywhere first, before it has read more, then all.
func TestKernelReadsCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	es := compressible()
	eachCompression(t, func(t *testing.T, opts Options) {
		image := write(t, opts, es...).Name()
		if err := readSomewhere(reftest.Mount(t, "erofs", image, ""), es); err != nil {
			t.Error(err)
		}
		if opts.Layer {
			return // compareMount does not know the marks
		}
		if err := compareMount(reftest.Mount(t, "erofs", image, ""), sourceOf(t, es)); err != nil {
			t.Error(err)
		}
	})
}

// readSomewhere compares pieces of each file.
func readSomewhere(root string, es []tree.Entry) error {
	r := rand.New(rand.NewPCG(5, 6))
	for _, e := range es {
		if e.Type != tree.File || e.Size == 0 || e.Hardlink != "" {
			continue
		}
		var want bytes.Buffer
		if err := tree.WriteExpanded(&want, &e); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(root, e.Path))
		if err != nil {
			return err
		}
		defer f.Close()
		for range 4 {
			at := r.IntN(want.Len())
			b := make([]byte, min(1+r.IntN(9000), want.Len()-at))
			if _, err := f.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, want.Bytes()[at:][:len(b)]) {
				return fmt.Errorf("%s: %d bytes at %d differ (%v)", e.Path, len(b), at, err)
			}
		}
	}
	return nil
}

func TestFsckReadsCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	for _, c := range []Compression{{Method: Method{Algorithm: z.LZ4}}, {Method: Method{z.LZ4, 9}, PCluster: 4096}} { // Debian's 1.5 has LZ4 alone
		name := write(t, Options{Compression: &c}, compressible()...).Name()
		if out, err := reftest.Try(t, "fsck.erofs", "--extract", name); err != nil || strings.Contains(out, "<E>") {
			t.Errorf("%s: %v: %s", c, err, out)
		}
	}
}

// slowly is a content in pieces.
type slowly data

func (d slowly) WriteTo(w io.Writer) (n int64, err error) {
	for k := 0; len(d) > 0 && err == nil; d = d[k:] {
		k, err = w.Write(d[:min(len(d), 1+len(d)%7001)])
		n += int64(k)
	}
	return n, err
}

// The bytes depend neither on the number of workers nor on the pieces in which contents come.
func TestCompressedSame(t *testing.T) {
	es := compressible()
	pieces := withAll(es, func(e *tree.Entry) {
		if d, ok := e.Content.(data); ok {
			e.Content = slowly(d)
		}
	})
	eachCompression(t, func(t *testing.T, opts Options) {
		if testing.Short() && (opts.Compression.Algorithm != z.LZ4 || opts.Compression.Level > 1) {
			t.Skip("the goroutines are those of fast LZ4")
		}
		want := build(t, opts, es...)
		more := *opts.Compression
		more.Workers = 8
		opts.Compression = &more
		if !bytes.Equal(build(t, opts, es...), want) {
			t.Error("other bytes with 8 workers")
		}
		if !bytes.Equal(build(t, opts, pieces...), want) {
			t.Error("other bytes with contents in pieces")
		}
	})
}

// A file is stored in the form that is the smallest.
func TestCompressedForms(t *testing.T) {
	opts := Options{Compression: &Compression{Method: Method{Algorithm: z.Zstd}, Segment: 256 << 10, Hints: []Hint{{"*.gz", Method{Algorithm: z.Raw}}, {"raw", Method{Algorithm: z.Raw}}}}}
	b := build(t, opts, compressible()...)
	for path, want := range map[string]disk.Layout{
		"text/1048577": disk.CompressedCompact, "text/8193": disk.CompressedCompact, "text/4096": disk.FlatPlain, "one": disk.FlatInline,
		"noise": disk.FlatPlain, "zeros": disk.ChunkBased, "zeros, x": disk.CompressedCompact, "late noise": disk.CompressedCompact,
		"late text": disk.CompressedCompact, "no.gz": disk.FlatInline, "raw/text": disk.FlatInline, "hole": disk.ChunkBased, "sparse": disk.ChunkBased,
	} {
		if n := find(t, b, path); n.Layout != want {
			t.Errorf("%s has layout %d, want %d", path, n.Layout, want)
		}
	}
	plain := len(build(t, Options{}, compressible()...))
	if len(b) > plain*3/4 {
		t.Errorf("%d bytes, plain are %d", len(b), plain)
	}
	nothing := []tree.Entry{dir("."), file("noise", noise(300<<10)), file("small", words(100))}
	if d := build(t, opts, nothing...); !bytes.Equal(d, build(t, Options{}, nothing...)) {
		t.Error("an image of which nothing is compressed is not a plain one")
	}
}

// The superblock has the features that files use, and no others.
func TestCompressedFeatures(t *testing.T) {
	text := []tree.Entry{dir("."), file("a", words(300<<10)), file("b.hc", words(300<<10)), file("c.z", words(300<<10)), file("d.raw", words(300<<10))}
	hint := func(glob string, a z.Algorithm) Hint { return Hint{glob, Method{Algorithm: a}} }
	const lz4, compression, encoded = disk.IncompatLZ4, disk.IncompatLZ4 | disk.IncompatCompression, disk.IncompatLZ4 | disk.IncompatCompression | disk.Incompat48Bit
	for _, c := range []struct {
		name       string
		c          Compression
		features   disk.Incompat
		algorithms uint16
		config     string
		warning    string
	}{
		{"small clusters of LZ4", Compression{Method: Method{Algorithm: z.LZ4}, PCluster: 4096}, lz4, 0xffff, "", ""},
		{"LZ4", Compression{Method: Method{Algorithm: z.LZ4}}, compression, 1 << z.LZ4, "0e00ffff1000", ""},
		{"zstd", Compression{Method: Method{Algorithm: z.Zstd}}, compression, 1 << z.Zstd, "06000008", "only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD"},
		{"deflate", Compression{Method: Method{Algorithm: z.Deflate}}, compression, 1 << z.Deflate, "06000f", "only Linux 6.6 and later can mount the image, with CONFIG_EROFS_FS_ZIP_DEFLATE"},
		{"several", Compression{Method: Method{Algorithm: z.Deflate}, Hints: []Hint{hint("*.hc", z.LZ4), hint("*.z", z.Zstd)}}, compression, 1<<z.LZ4 | 1<<z.Deflate | 1<<z.Zstd,
			"0e00ffff1000000000000000000000000600" + "0f0000000000" + "06000008", "only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_DEFLATE and CONFIG_EROFS_FS_ZIP_ZSTD"},
		{"hints alone", Compression{Method: Method{Algorithm: z.Raw}, Hints: []Hint{hint("*.z", z.Zstd)}}, compression, 1 << z.Zstd, "06000008", "only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD"},
		{"none of them used", Compression{Method: Method{Algorithm: z.Raw}, Hints: []Hint{hint("none", z.Zstd)}}, 0, 0, "", ""},
		{"encoded", Compression{Method: Method{Algorithm: z.LZ4}, Encoded: true}, encoded, 1 << z.LZ4, "0e00ffff", "only Linux 6.15 and later can mount the image, with CONFIG_EROFS_FS_ZIP"},
	} {
		var said []string
		b := build(t, Options{Compression: &c.c, Warn: func(s string) { said = append(said, s) }}, text...)
		s, _ := disk.FindSuperblock(b)
		if s.Incompat != c.features || s.Algorithms != c.algorithms || !strings.HasPrefix(fmt.Sprintf("%x", b[disk.SuperOffset+disk.SuperSize:][:64]), c.config) {
			t.Errorf("%s: features %#x, algorithms %#x, %x", c.name, s.Incompat, s.Algorithms, b[disk.SuperOffset+disk.SuperSize:][:40])
		}
		if strings.Join(said, "; ") != c.warning {
			t.Errorf("%s: said %q, want %q", c.name, said, c.warning)
		}
	}
}

// The superblock says in how many blocks a cluster can be, and Linux makes room for no more.
func TestClusterBlocks(t *testing.T) {
	for _, c := range []struct {
		n, bs int64
		exact bool
		want  uint16
	}{
		{65536, 4096, false, 16}, {1 << 20, 4096, false, 256}, {1 << 20, 1024, false, 256}, {65536, 65536, false, 1},
		{1, 4096, true, 1}, {2, 4096, true, 2}, {65535, 4096, true, 17}, {65536, 4096, true, 17}, {65537, 4096, true, 17}, {65538, 4096, true, 18},
		{1<<20 - 4095, 4096, true, 256}, {1 << 20, 4096, true, 256}, {1 << 19, 512, true, 256},
	} {
		if n := clusterBlocks(c.n, c.bs, c.exact); n != c.want {
			t.Errorf("%d bytes, blocks of %d, exact %v: %d, want %d", c.n, c.bs, c.exact, n, c.want)
		}
	}
}

// Compressed files in blocks of less than 4096 bytes need a later kernel than plain ones.
func TestCompressedNeeds(t *testing.T) {
	for _, c := range []struct {
		bs   int
		c    Compression
		want string
	}{
		{2048, Compression{Method: Method{Algorithm: z.LZ4}}, "only Linux 6.8 and later can mount the image, with CONFIG_EROFS_FS_ZIP"},
		{512, Compression{Method: Method{Algorithm: z.Deflate}}, "only Linux 6.8 and later can mount the image, with CONFIG_EROFS_FS_ZIP_DEFLATE"},
		{512, Compression{Method: Method{Algorithm: z.Zstd}}, "only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD"},
		{512, Compression{Method: Method{Algorithm: z.LZ4}, Encoded: true}, "only Linux 6.15 and later can mount the image, with CONFIG_EROFS_FS_ZIP"},
		{512, Compression{Method: Method{Algorithm: z.Raw}}, ""},
		{8192, Compression{Method: Method{Algorithm: z.LZ4}}, ""},
	} {
		said := ""
		build(t, Options{BlockSize: c.bs, Compression: &c.c, Warn: func(s string) { said += s }}, dir("."), file("a", words(100<<10)))
		if said != c.want {
			t.Errorf("%s, blocks of %d: said %q, want %q", c.c, c.bs, said, c.want)
		}
		apart := ""
		build(t, Options{BlockSize: c.bs, Compression: &c.c, Warn: func(s string) { t.Errorf("Warn(%q)", s) }, WarnKernel: func(s string) { apart += s }},
			dir("."), file("a", words(100<<10)))
		if apart != c.want {
			t.Errorf("%s, blocks of %d: WarnKernel(%q), want %q", c.c, c.bs, apart, c.want)
		}
	}
}

func TestCompressedFailures(t *testing.T) {
	full := errors.New("the disk is full")
	text := words(600 << 10)
	for _, c := range []struct {
		name, want string
		es         []tree.Entry
		out        Output
	}{
		{"short content", "b: content ends 1 bytes early", []tree.Entry{file("a", text), with(file("b", text), func(e *tree.Entry) { e.Size++ })}, &image{}},
		{"long content", "b: content is longer", []tree.Entry{file("a", text), with(file("b", text), func(e *tree.Entry) { e.Size-- })}, &image{}},
		{"full disk", "the disk is full", []tree.Entry{file("a", text), file("b", text)}, failing{full}},
	} {
		err := writeTo(c.out, Options{Compression: &Compression{Method: Method{Algorithm: z.Zstd}, Segment: 256 << 10, Workers: 3}}, c.es)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), ": ") > 2 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	w, err := NewWriter(ctx, &image{}, Options{Compression: &Compression{Method: Method{Algorithm: z.LZ4}}})
	if err != nil {
		t.Fatal(err)
	}
	e := file("a", text)
	if err := w.Add(&e); err != nil {
		t.Fatal(err)
	}
	cancel(full)
	if err := w.Close(); err != full {
		t.Errorf("stopped: %v", err)
	}
}

// cancelling is an output whose first write cancels the writer, and that counts the others.
type cancelling struct {
	image
	cancel context.CancelCauseFunc
	writes atomic.Int32
}

func (c *cancelling) WriteAt(p []byte, off int64) (int, error) {
	c.writes.Add(1)
	c.cancel(io.ErrClosedPipe)
	return c.image.WriteAt(p, off)
}

// Zeros wait until other bytes come, and then they may be many.
func TestManyZerosStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	out := &cancelling{cancel: cancel}
	w, err := NewWriter(ctx, out, Options{Compression: &Compression{Method: Method{Algorithm: z.LZ4}, PCluster: 4096, Segment: 64 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	e := with(file("a", nil), func(e *tree.Entry) { e.Content, e.Size = zerosAnd{512 << 20}, 512<<20+1 })
	if err := w.Add(&e); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("stopped: %v", err)
	}
	w.Abort(nil)
	if n := out.writes.Load(); n == 0 || n > 8 {
		t.Errorf("%d writes", n)
	}
}

// zerosAnd are some zeros and a byte.
type zerosAnd struct{ zeros int64 }

func (c zerosAnd) WriteTo(w io.Writer) (int64, error) {
	n, err := zeroContent(c.zeros).WriteTo(w)
	if err == nil {
		_, err = w.Write([]byte("y"))
	}
	return n + 1, err
}

// A writer that has failed does not wait until all that was begun is compressed.
func TestCompressionStops(t *testing.T) {
	w, err := NewWriter(t.Context(), &image{}, Options{Compression: &Compression{Method: Method{Algorithm: z.Zstd}}})
	if err != nil {
		t.Fatal(err)
	}
	text := words(300 << 10)
	e := file("a", text)
	if err := w.Add(&e); err != nil {
		t.Fatal(err)
	}
	if err := w.compressor.drain(); err != nil {
		t.Fatal(err)
	}
	cutter := (<-w.compressor.idle)[0]
	if _, cuts := cutter.Cut(nil, nil, text); len(cuts) < 2 {
		t.Errorf("%d extents", len(cuts))
	}
	w.compressor.end()
	if _, cuts := cutter.Cut(nil, nil, text); len(cuts) > 0 {
		t.Errorf("%d extents after the end", len(cuts))
	}
}

// failing is an output that cannot be written.
type failing struct{ err error }

func (f failing) WriteAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) ReadAt([]byte, int64) (int, error)  { return 0, io.EOF }

func TestCompressionOptions(t *testing.T) {
	valid := Compression{Method: Method{Algorithm: z.Zstd}}
	for _, c := range []struct {
		name   string
		bs     int
		change func(c *Compression)
	}{
		{"level", 0, func(c *Compression) { c.Level = 99 }}, {"cluster", 0, func(c *Compression) { c.PCluster = 5000 }},
		{"cluster below a block", 16384, func(c *Compression) { c.PCluster = 8192 }}, {"cluster of too many blocks", 512, func(c *Compression) { c.PCluster = 1 << 20 }}, {"segment", 0, func(c *Compression) { c.Segment = 100 << 10 }},
		{"algorithm", 0, func(c *Compression) { c.Algorithm = z.LZMA }}, {"hint", 0, func(c *Compression) { c.Hints = []Hint{{"[", Method{Algorithm: z.Raw}}} }},
	} {
		o := valid
		c.change(&o)
		opts := Options{Compression: &o, BlockSize: c.bs}
		if opts.Validate() == nil {
			t.Errorf("%s: %+v is valid", c.name, o)
		}
		if opts.Compression = &valid; opts.Validate() != nil {
			t.Errorf("%s: the valid one is refused", c.name)
		}
	}
}

// Images with other blocks, which the kernel here may not mount: full indexes among them.
func TestCompressedBlockSizes(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	for _, bs := range []int{512, 2048, 16384, 65536} {
		for _, c := range someCompression()[:4] {
			c.PCluster, c.Segment = max(c.PCluster, int64(bs)), 256<<10
			b := build(t, Options{BlockSize: bs, Compression: &c}, compressible()...)
			want := disk.CompressedCompact
			if bs > 4096 || c.Encoded {
				want = disk.CompressedFull
			}
			if n := find(t, b, "text/1048577"); n.Layout != want {
				t.Errorf("%s, blocks of %d: layout %d, want %d", c, bs, n.Layout, want)
			}
		}
	}
}

// Linux reads the longest clusters of encoded extents, wherever in a page they begin.
func TestKernelReadsLongestExact(t *testing.T) {
	content := words(20000)
	for i := range 5 {
		content = join(content, bytes.Repeat([]byte("q"), 4000+i*300), noise(1<<20-4000-i*300))
	}
	es := []tree.Entry{dir("."), file("a", content)}
	for _, c := range []Method{{Algorithm: z.LZ4}, {z.LZ4, 2}, {z.Zstd, 1}, {z.Deflate, 1}} {
		opts := Options{Compression: &Compression{Method: c, PCluster: 1 << 20, Encoded: true}}
		image := write(t, opts, es...).Name()
		if err := compareMount(reftest.Mount(t, "erofs", image, ""), sourceOf(t, es)); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Linux mounts images whose clusters have more blocks than it has pages of that length.
func TestKernelReadsShortBlocks(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	es := []tree.Entry{dir("."), file("text", words(6<<20))}
	for _, c := range []struct {
		bs      int
		cluster int64
		encoded bool
	}{{512, 512 << 10, false}, {1024, 1 << 20, false}, {512, 1 << 20, true}} {
		opts := Options{BlockSize: c.bs, Compression: &Compression{Method: Method{Algorithm: z.LZ4}, PCluster: c.cluster, Encoded: c.encoded}}
		if err := compareMount(reftest.Mount(t, "erofs", write(t, opts, es...).Name(), ""), sourceOf(t, es)); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The check sees a byte that changed in a cluster, in an index, and in a list of extents.
func TestCheckFindsAFlippedByteInCompressed(t *testing.T) {
	text := words(300 << 10)
	es := []tree.Entry{file("a", text), file("b", text[5000:])}
	for _, c := range someCompression() {
		opts := Options{Compression: &c, BlockSize: 4096}
		b := build(t, opts, es...)
		index := int(find(t, b, "b").End())
		for what, at := range map[string]int{"cluster": 4096 * 9, "end of a cluster": 4096*10 - 1, "header": index + 4, "index": index + 20} {
			opts.Check = true
			if err := writeTo(&flipping{at: int64(at)}, opts, es); err == nil || !strings.HasPrefix(err.Error(), "check: ") {
				t.Errorf("%s: %s, byte %d: %v", c, what, at, err)
			}
		}
	}
}

// Equal files that are compressed in the same way share what is stored.
func TestCompressedFilesShare(t *testing.T) {
	reftest.OneThread(t)
	text := words(300 << 10)
	for _, c := range someCompression() {
		c.Hints = []Hint{{"*.hc", Method{z.LZ4, 12}}}
		one := []tree.Entry{dir("."), file("a", text), file("z.hc", text)}
		b := build(t, Options{Compression: &c}, append(one, file("b", text), file("c", text), file("y.hc", text), file("d", text[:len(text)-1]))...)
		alone := build(t, Options{Compression: &c}, append(one, file("d", text[:len(text)-1]))...)
		if more := len(b) - len(alone); more > 4096*2 {
			t.Errorf("%s: three copies take %d bytes", c, more)
		}
	}
	src := []byte("what is stored")
	p := z.Encoding{Algorithm: z.LZ4, Level: 1, PCluster: 4096, BlockSize: 4096}
	if sumOf(src, p.RawCuts(int64(len(src)))) == sumOf(src, nil) || sumOf(src, nil) == sumOf(src[1:], nil) {
		t.Error("the sum is not of the cuts, too")
	}
}
