package materialize

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/ext4"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// textStack is n layers of files that become smaller, with zeros and noise.
func textStack(t testing.TB, n int) (layers [][]byte) {
	text := []byte(strings.Repeat("all work and no play makes jack a dull boy\n", 8000))
	for i := range n {
		p := ocitest.NewPack()
		p.Add(fmt.Sprintf("d/text%d", i), text[i:])
		p.Add("d/same", text[:5000*(i+1)])
		p.Add(fmt.Sprintf("d/zeros%d", i), slices.Concat(text[:9000], make([]byte, 300<<10), text[:20]))
		p.Add(fmt.Sprintf("d/only zeros%d", i), make([]byte, 200<<10))
		p.Add("d/small.log", []byte("small"))
		layers = append(layers, p.Tar(t))
	}
	return layers
}

func zstd() *erofs.Compression {
	return &erofs.Compression{Method: erofs.Method{Algorithm: z.Zstd}}
}

func compressedBy(c *erofs.Compression) func(*Options, *cas.Options) {
	return func(o *Options, _ *cas.Options) { o.Compression = c }
}

const needsZstd = "only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD"

// runCompressed is mustRun where the only warning may be that of the kernel.
func (b *bench) runCompressed(ref string, want int, change func(*Options, *cas.Options)) *Result {
	b.t.Helper()
	b.warned = nil
	r, err := b.run(b.t.Context(), ref, change)
	must(b.t, err)
	if len(b.warned) != want || want == 1 && b.warned[0] != needsZstd {
		b.t.Errorf("warned: %q", b.warned)
	}
	return r
}

// TestCompressed shows that compressed artifacts and plain ones lie side by side: neither is
// taken for the other, and each is found again.
func TestCompressed(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", textStack(t, 3)...)
	plain := b.mustRun("r:v1", nil)
	before := contents(t, plain)
	if plain.Compression != nil {
		t.Errorf("%s", plain.JSON())
	}
	small := b.runCompressed("r:v1", 1, compressedBy(zstd()))
	if want := (Compression{Algorithm: "zstd", Level: 3, PCluster: 64 << 10, Extents: "index", Variant: "z1-zstd-3-64k"}); *small.Compression != want {
		t.Errorf("%+v", small.Compression)
	}
	if !strings.Contains(string(small.JSON()), `"compression": {`) || strings.Contains(string(plain.JSON()), `"compression"`) {
		t.Errorf("%s\n%s", plain.JSON(), small.JSON())
	}
	for i, l := range small.Layers {
		if !l.Built || l.ImageSize > plain.Layers[i].ImageSize/4 || !strings.HasSuffix(l.Path, "-z1-zstd-3-64k.erofs") {
			t.Errorf("layer %d: %+v, plain %+v", i, l, plain.Layers[i])
		}
	}
	if !small.Fsmeta.Built || !small.VMDK.Built || !small.Flat.Built || small.Flat.Size > plain.Flat.Size/4 {
		t.Errorf("%s", small.JSON())
	}
	for _, p := range paths(small) {
		if slices.Contains(paths(plain), p) {
			t.Errorf("%s is both", p)
		}
	}
	for _, same := range []*erofs.Compression{
		zstd(),
		{Method: erofs.Method{Algorithm: z.Zstd, Level: 3}, PCluster: 64 << 10, Workers: 9},
	} {
		r := b.runCompressed("r:v1", 0, func(o *Options, c *cas.Options) { o.Compression, o.Verify, c.Verify = same, true, true })
		if !r.Hit || !mapsEqual(contents(t, r), contents(t, small)) {
			t.Errorf("%+v: %s", same, r.JSON())
		}
	}
	again := b.mustRun("r:v1", compressedBy(&erofs.Compression{Method: erofs.Method{Algorithm: z.Raw}}))
	if !again.Hit || !mapsEqual(contents(t, again), before) {
		t.Errorf("plain: %s", again.JSON())
	}
	b.checkClean()
	b.wantSound()
}

// wantSound verifies the cache.
func (b *bench) wantSound() {
	b.t.Helper()
	store, err := cas.Open(b.t.Context(), b.dir, cas.Options{})
	must(b.t, err)
	v, err := imagecache.Verify(b.t.Context(), store, imagecache.VerifyOptions{})
	must(b.t, err)
	if len(v.Faults)+len(v.Foreign) > 0 {
		b.t.Errorf("%+v", v)
	}
	l, err := imagecache.List(b.t.Context(), store)
	must(b.t, err)
	if l.Unheld != 0 {
		b.t.Errorf("%d bytes are held by no image", l.Unheld)
	}
}

// TestCompressedKeys shows that every part of a compression, and of its hints, has artifacts
// of its own, and which of them are shared.
func TestCompressedKeys(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", textStack(t, 1)...)
	seen := map[string]string{}
	note := func(what string, r *Result) {
		for _, p := range paths(r) {
			if old, ok := seen[p]; ok {
				t.Errorf("%s and %s have the same %s", old, what, p)
			}
			seen[p] = what
		}
	}
	note("plain", b.mustRun("r:v1", nil))
	quiet := func(o *Options) { o.Warn = nil }
	for what, c := range map[string]*erofs.Compression{
		"zstd":    zstd(),
		"level":   {Method: erofs.Method{Algorithm: z.Zstd, Level: 9}},
		"lz4":     {Method: erofs.Method{Algorithm: z.LZ4}},
		"lz4hc":   {Method: erofs.Method{Algorithm: z.LZ4, Level: 9}},
		"cluster": {Method: erofs.Method{Algorithm: z.Zstd}, PCluster: 4096},
		"extents": {Method: erofs.Method{Algorithm: z.Zstd}, Encoded: true},
		"hints":   {Method: erofs.Method{Algorithm: z.Zstd}, Hints: []erofs.Hint{{Pattern: "*.log", Method: erofs.Method{Algorithm: z.Raw}}}},
		"hints 2": {Method: erofs.Method{Algorithm: z.Zstd}, Hints: []erofs.Hint{{Pattern: "*.lo", Method: erofs.Method{Algorithm: z.Raw}}}},
	} {
		r, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Compression = c; quiet(o) })
		must(t, err)
		note(what, r)
		noTable, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Compression, o.NoDeviceTable = c, true; quiet(o) })
		must(t, err)
		if noTable.Layers[0].Path != r.Layers[0].Path || noTable.Flat.Path != r.Flat.Path || noTable.Layers[0].Built || noTable.Fsmeta.Path == r.Fsmeta.Path || noTable.VMDK.Path == r.VMDK.Path {
			t.Errorf("%s: %s\nwithout a table %s", what, r.JSON(), noTable.JSON())
		}
		if !strings.HasSuffix(noTable.Fsmeta.Path, r.Compression.Variant+"-no-table.erofs") {
			t.Errorf("%s", noTable.Fsmeta.Path)
		}
	}
	b.wantSound()
}

func inputsOf(layers [][]byte) (inputs []layer.Input) {
	for i, data := range layers {
		inputs = append(inputs, layer.Input{Name: fmt.Sprint(i), Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	return inputs
}

// TestCompressedBytes compares what is made with what the writer makes by itself of the same
// layers, whatever the number of processors and of jobs.
func TestCompressedBytes(t *testing.T) {
	layers := textStack(t, 3)
	c := &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}, Hints: []erofs.Hint{{Pattern: "same", Method: erofs.Method{Algorithm: z.Deflate, Level: 9}}}}
	write := func(t *testing.T, opts erofs.Options, src tree.Source) string {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		must(t, err)
		defer f.Close()
		opts.Compression = c
		w, err := erofs.NewWriter(t.Context(), f, opts)
		must(t, err)
		must(t, tree.Copy(t.Context(), w, src))
		data, err := os.ReadFile(f.Name())
		must(t, err)
		return string(data)
	}
	inputs := inputsOf(layers)
	for _, procs := range []int{1, 3} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		b := newBench(t)
		b.AddImage("r", "v1", layers...)
		r, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Compression, o.Jobs = c, procs })
		must(t, err)
		have := contents(t, r)
		at := func(path string) string {
			rel, err := filepath.Rel(r.Cache, path)
			must(t, err)
			return have[rel]
		}
		for i, in := range inputs {
			src, err := layer.Open(t.Context(), in)
			must(t, err)
			if at(r.Layers[i].Path) != write(t, erofs.Options{Layer: true}, src) {
				t.Errorf("layer %d: other bytes", i)
			}
		}
		merged, err := layer.Merge(t.Context(), inputs, layer.LoadOptions{SpoolDir: t.TempDir()})
		must(t, err)
		if at(r.Flat.Path) != write(t, erofs.Options{}, merged.Source(tree.Flat)) {
			t.Error("flat image: other bytes")
		}
		merged.Close()
	}
}

// TestCompressedExt4 shows that an ext4 image has the bytes that the writer makes of the same
// layers by itself, though each kind of layer image has holes at other places, and is shared.
func TestCompressedExt4(t *testing.T) {
	reftest.SameThreads(t, "TestCompressed")
	layers := textStack(t, 3)
	merged, err := layer.Merge(t.Context(), inputsOf(layers), layer.LoadOptions{SpoolDir: t.TempDir()})
	must(t, err)
	defer merged.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	must(t, err)
	defer f.Close()
	w, err := ext4.NewWriter(t.Context(), f, ext4.Options{})
	must(t, err)
	must(t, tree.Copy(t.Context(), w, merged.Source(tree.Flat)))
	want, err := os.ReadFile(f.Name())
	must(t, err)

	shared := newBench(t)
	shared.AddImage("r", "v1", layers...)
	for _, c := range []*erofs.Compression{nil, zstd(), {Method: erofs.Method{Algorithm: z.LZ4}, Encoded: true}} {
		alone := newBench(t)
		alone.AddImage("r", "v1", layers...)
		for _, b := range []*bench{alone, shared} {
			r, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) {
				o.Compression, o.Flat.Format, o.Verify, o.Target = c, Ext4, true, All
			})
			must(t, err)
			have, err := os.ReadFile(r.Flat.Path)
			must(t, err)
			if !bytes.Equal(have, want) {
				t.Errorf("%+v: %d bytes, %d are right: %s", c, len(have), len(want), r.JSON())
			}
		}
		_, err := alone.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Compression, o.Flat.Format, o.Target = c, Ext4, Flat })
		if (err != nil) != (c != nil) {
			t.Errorf("%+v: ext4 alone: %v", c, err)
		}
		alone.wantSound()
	}
	if flat, err := filepath.Glob(filepath.Join(shared.dir, "rootfs", "*", "*", "*.ext4")); err != nil || len(flat) != 1 {
		t.Errorf("%v, %v", flat, err)
	}
	shared.wantSound()
}

func TestCompressionRefused(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", textStack(t, 1)...)
	for _, c := range []erofs.Compression{
		{Method: erofs.Method{Algorithm: z.Zstd, Level: 99}},
		{Method: erofs.Method{Algorithm: z.Zstd}, PCluster: 5000},
		{Method: erofs.Method{Algorithm: z.Zstd}, PCluster: 2048},
		{Method: erofs.Method{Algorithm: z.Zstd}, Hints: []erofs.Hint{{Pattern: "["}}},
	} {
		if r, err := b.run(t.Context(), "r:v1", compressedBy(&c)); err == nil {
			t.Errorf("%+v: %s", c, r.JSON())
		}
	}
}

// TestCompressedTargets shows that the kernel that is needed is named once, whatever is made,
// and not again for what is found.
func TestCompressedTargets(t *testing.T) {
	for _, target := range []Target{Layers, Fsmeta, VMDK, Flat, All} {
		b := newBench(t)
		b.AddImage("r", "v1", textStack(t, 3)...)
		for _, want := range []int{1, 0} {
			b.warned = nil
			_, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) { o.Compression, o.Target = zstd(), target })
			must(t, err)
			said := slices.DeleteFunc(b.warned, func(s string) bool { return strings.Contains(s, "overlayfs alone cannot express") })
			if len(said) != want || want == 1 && said[0] != needsZstd {
				t.Errorf("%s: warned: %q", target, said)
			}
		}
	}
}

// TestCompressedTogether runs plain and compressed calls at once, on one cache.
func TestCompressedTogether(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", textStack(t, 4)...)
	kinds := []*erofs.Compression{nil, zstd(), {Method: erofs.Method{Algorithm: z.LZ4}}}
	var mu sync.Mutex
	built := map[string]int{}
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			r, err := b.run(t.Context(), "r:v1", compressedBy(kinds[i%3]))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, l := range r.Layers {
				if l.Built {
					built[l.Path]++
				}
			}
			for _, f := range []*Image{r.Fsmeta, r.Flat} {
				if f.Built {
					built[f.Path]++
				}
			}
		})
	}
	wg.Wait()
	if len(built) != 3*6 {
		t.Errorf("built: %v", built)
	}
	for path, n := range built {
		if n != 1 {
			t.Errorf("%s was built %d times", path, n)
		}
	}
	b.checkClean()
	b.wantSound()
}
