package lib_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/layer"
	"ocipipe/lib/patch"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// This file holds every Source to what package tree says of contents: they are good
// until the source is closed, or from a stream until the next entry, and then an
// error; never other bytes.

// contents is a source of the sample.
type contents struct {
	name   string
	open   func(t *testing.T) tree.Source
	stream bool // a content ends at the next entry
	own    bool // contents lie in what the source closes
}

// sample is what each source has: names that are their contents, repeated, of sizes
// around those of buffers; one is sparse, one has two names.
func sample() (entries []*tree.Entry) {
	for i, n := range []int{1, 7, 512, 4095, 4097, 100_000, 131_072, 131_073, 3 << 20, 5} {
		name := fmt.Sprintf("f%02d", i)
		data := []byte(strings.Repeat(name+"\n", n/4+1)[:n])
		entries = append(entries, &tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Size: int64(n), Content: tree.Bytes(data)})
	}
	entries = append(entries,
		&tree.Entry{Path: "link", Type: tree.File, Mode: 0o644, Size: 7, Hardlink: "f01"},
		sparse("hole", 1<<20, nil),
		sparse("sparse", 1<<20, bytes.Repeat([]byte("sparse:\n"), 512), tree.Extent{Off: 8192, Len: 4096}),
		sparse("sparse, twice", 2<<20, bytes.Repeat([]byte("again.\n\n"), 4<<10), tree.Extent{Off: 0, Len: 4096}, tree.Extent{Off: 1 << 20, Len: 28 << 10}),
		&tree.Entry{Path: "z", Type: tree.File, Mode: 0o644, Size: 2, Content: tree.Bytes("z\n")})
	return entries
}

// sparse is a file of size bytes with data in extents, none in a hole.
func sparse(path string, size int64, data []byte, extents ...tree.Extent) *tree.Entry {
	e := &tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Size: size, Extents: append([]tree.Extent{}, extents...)}
	if data != nil {
		e.Content = tree.WithHoles(tree.Bytes(data), size, e.Extents)
	}
	return e
}

// fill copies the sample to a sink.
func fill(t *testing.T, sink tree.Sink) {
	t.Helper()
	for _, e := range sample() {
		if err := sink.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// must is v, unless there is an error.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// imageFile makes a file that write fills.
func imageFile(t *testing.T, write func(f *os.File)) (*os.File, int64) {
	t.Helper()
	f := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "image")))
	t.Cleanup(func() { f.Close() })
	write(f)
	return f, must[int64](t)(f.Seek(0, io.SeekEnd))
}

func allContents(t *testing.T) []contents {
	var stream, plain, zipped, zstd bytes.Buffer
	fill(t, tree.NewWriter(&stream, tree.WriterOptions{}))
	fill(t, must[*layer.Writer](t)(layer.NewWriter(&plain, layer.WriterOptions{})))
	gz := gzip.NewWriter(&zipped)
	gz.Write(plain.Bytes())
	gz.Close()
	fill(t, must[*layer.Writer](t)(layer.NewWriter(&zstd, layer.WriterOptions{Compression: compression.Zstd})))
	input := func(data []byte) layer.Input {
		return layer.Input{Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	}
	reader := func(data []byte) func(t *testing.T) tree.Source {
		return func(t *testing.T) tree.Source {
			return must[*layer.Reader](t)(layer.NewReader(bytes.NewReader(data), layer.Options{}))
		}
	}
	opts := func(t *testing.T) layer.LoadOptions { return layer.LoadOptions{SpoolDir: t.TempDir()} }
	onDisk, _ := imageFile(t, func(f *os.File) { f.Write(plain.Bytes()) })
	erofsImage := func(t *testing.T, opts erofs.Options) *erofsread.Image {
		f, size := imageFile(t, func(f *os.File) {
			opts.SpoolDir = t.TempDir()
			fill(t, must[*erofs.Writer](t)(erofs.NewWriter(t.Context(), f, opts)))
		})
		return must[*erofsread.Image](t)(erofsread.Open(f, size))
	}
	image := func(t *testing.T, layerImage bool) *erofsread.Image {
		return erofsImage(t, erofs.Options{Layer: layerImage})
	}
	compressed := func(t *testing.T, a z.Algorithm, encoded bool) *erofsread.Image {
		opts := erofs.Options{Layer: true, Compression: &erofs.Compression{Method: erofs.Method{Algorithm: a}, Encoded: encoded}}
		img := erofsImage(t, opts)
		if c := img.Compression(); !c.Has(a) {
			t.Fatalf("nothing is compressed by %s", a)
		}
		return img
	}
	ext := func(t *testing.T) *read.Image {
		f, size := imageFile(t, func(f *os.File) {
			fill(t, must[*ext4.Writer](t)(ext4.NewWriter(t.Context(), f, ext4.Options{})))
		})
		return must[*read.Image](t)(read.Open(f, size))
	}
	return []contents{
		{"tree stream", func(t *testing.T) tree.Source {
			return must[*tree.Reader](t)(tree.NewReader(bytes.NewReader(stream.Bytes()), tree.ReaderOptions{}))
		}, true, true},
		{"layer", reader(plain.Bytes()), true, true},
		{"layer in a file", func(t *testing.T) tree.Source {
			must[int64](t)(onDisk.Seek(0, io.SeekStart))
			return must[*layer.Reader](t)(layer.NewReader(onDisk, layer.Options{}))
		}, true, true},
		{"layer, gzip", reader(zipped.Bytes()), true, true},
		{"layer, zstd", reader(zstd.Bytes()), true, true},
		{"layer, opened", func(t *testing.T) tree.Source {
			return must[tree.Source](t)(layer.Open(context.Background(), input(zipped.Bytes())))
		}, true, true},
		{"layer with limits", func(t *testing.T) tree.Source {
			return tree.Limit(reader(plain.Bytes())(t), tree.Limits{Depth: 9})
		}, true, true},
		{"layer, loaded", func(t *testing.T) tree.Source {
			return must[*layer.Loaded](t)(layer.Load(context.Background(), input(zipped.Bytes()), opts(t))).Source(tree.Layer)
		}, false, true},
		{"layers merged", func(t *testing.T) tree.Source {
			in := []layer.Input{input(plain.Bytes()), input(zipped.Bytes())}
			return must[*layer.Loaded](t)(layer.Merge(context.Background(), in, opts(t))).Source(tree.Flat)
		}, false, true},
		{"EROFS", func(t *testing.T) tree.Source { return image(t, false).Source() }, false, false},
		{"EROFS, LZ4", func(t *testing.T) tree.Source { return compressed(t, z.LZ4, false).Source() }, false, false},
		{"EROFS, zstd", func(t *testing.T) tree.Source { return compressed(t, z.Zstd, false).Source() }, false, false},
		{"EROFS, deflate", func(t *testing.T) tree.Source { return compressed(t, z.Deflate, true).Source() }, false, false},
		{"EROFS layers merged, compressed", func(t *testing.T) tree.Source {
			layers := []merge.Layer{{Image: compressed(t, z.Zstd, true)}, {Image: compressed(t, z.LZ4, false)}}
			return must[*tree.Tree](t)(merge.Layers(context.Background(), layers, merge.Options{})).Source(tree.Flat)
		}, false, false},
		{"EROFS layers merged", func(t *testing.T) tree.Source {
			layers := []merge.Layer{{Image: image(t, true)}, {Image: image(t, true)}}
			return must[*tree.Tree](t)(merge.Layers(context.Background(), layers, merge.Options{})).Source(tree.Flat)
		}, false, false},
		{"EROFS layer patched", func(t *testing.T) tree.Source {
			lower := must[*tree.Tree](t)(merge.Layers(context.Background(), []merge.Layer{{Image: image(t, true)}}, merge.Options{}))
			ops := []patch.Op{patch.Text{Path: "/z", Content: "z", Replace: true}, patch.Append{Path: "/z", Content: "\n"}}
			return must[*patch.Result](t)(patch.Apply(context.Background(), lower, ops, patch.Options{})).Source(tree.Flat)
		}, false, false},
		{"ext4", func(t *testing.T) tree.Source { return ext(t).Source() }, false, false},
		{"ext4, a part", func(t *testing.T) tree.Source { return must[tree.Source](t)(ext(t).Subtree(".")) }, false, false},
	}
}

// kept is a content with what it should be.
type kept struct {
	path string
	want string
	c    tree.Content
}

func (k kept) check(t *testing.T, when string) {
	t.Helper()
	var b bytes.Buffer
	if n, err := k.c.WriteTo(&b); err != nil || b.String() != k.want || n != int64(len(k.want)) {
		t.Errorf("%s, %s: %d bytes, %v: %.20q", k.path, when, n, err, b.String())
	}
}

// gone checks that there is an error and not a byte.
func (k kept) gone(t *testing.T, when string) {
	t.Helper()
	var b bytes.Buffer
	if n, err := k.c.WriteTo(&b); !errors.Is(err, tree.ErrGone) || b.Len() > 0 || n != 0 {
		t.Errorf("%s, %s: %d bytes, %v", k.path, when, n, err)
	}
}

func wanted() map[string]string {
	want := map[string]string{}
	for _, e := range sample() {
		if e.Content != nil {
			var b strings.Builder
			e.Content.WriteTo(&b)
			want[e.Path] = b.String()
		}
	}
	return want
}

// TestContentsKept keeps every content and asks for all of them after each entry.
func TestContentsKept(t *testing.T) {
	for _, c := range allContents(t) {
		t.Run(c.name, func(t *testing.T) {
			running := reftest.RunningNow(t)
			src, want := c.open(t), wanted()
			var all []kept
			for {
				e, err := src.Next()
				if c.stream {
					for _, k := range all {
						k.gone(t, "after the next entry")
					}
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if e.Content == nil {
					continue
				}
				k := kept{e.Path, want[e.Path], e.Content}
				all = append(all, k)
				if len(all)%3 != 0 { // of the others nothing is read in time
					k.check(t, "at once")
					if c.stream {
						k.gone(t, "again")
					}
				}
				for i := range all {
					if k := all[len(all)-1-i]; !c.stream {
						k.check(t, "with "+e.Path)
					}
				}
			}
			if len(all) != len(want) {
				t.Fatalf("%d contents of %d", len(all), len(want))
			}
			for i := range 2 { // closing twice is harmless
				if err := src.Close(); err != nil {
					t.Errorf("close %d: %v", i, err)
				}
			}
			for _, k := range all {
				k.closed(t, c)
			}
			if c.own { // and an image is open
				running.Left(t)
			}
		})
	}
}

// closed checks that there is an error behind Close or, where the content lies in
// what the caller holds, what there was before.
func (k kept) closed(t *testing.T, c contents) {
	t.Helper()
	if c.stream {
		k.gone(t, "after Close")
		return
	}
	if !c.own {
		k.check(t, "after Close")
		return
	}
	var b bytes.Buffer
	if n, err := k.c.WriteTo(&b); err == nil || n > 0 || b.Len() > 0 {
		t.Errorf("%s, after Close: %d bytes, %v: %.20q", k.path, n, err, b.String())
	}
}

// TestContentsClosed closes streams while they have a content, whole or in part.
func TestContentsClosed(t *testing.T) {
	for _, c := range allContents(t) {
		if !c.stream {
			continue
		}
		for _, limit := range []int{0, 1} {
			src := c.open(t)
			e, err := src.Next()
			if err != nil {
				t.Fatal(err)
			}
			k := kept{e.Path, "", e.Content}
			k.c.WriteTo(&failing{limit})
			src.Close()
			k.gone(t, "after Close")
			if e, err := src.Next(); err == nil || err == io.EOF {
				t.Errorf("%s: an entry after Close: %v, %v", c.name, e, err)
			}
		}
	}
}

// TestContentsInPart stops in the middle of each content: what comes next is not
// touched by it.
func TestContentsInPart(t *testing.T) {
	for _, c := range allContents(t) {
		t.Run(c.name, func(t *testing.T) {
			src, want := c.open(t), wanted()
			var before *kept
			for i := 0; ; i++ {
				e, err := src.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if before != nil && c.stream {
					before.gone(t, "after the next entry")
				}
				if e.Content == nil {
					continue
				}
				k := kept{e.Path, want[e.Path], e.Content}
				if i%2 == 0 {
					k.check(t, "behind one in part")
				} else if _, err := k.c.WriteTo(&failing{len(k.want) / 2}); err == nil {
					t.Errorf("%s: no error of the writer", k.path)
				} else if c.stream {
					k.gone(t, "again, the first time in part")
				}
				before = &k
			}
			src.Close()
		})
	}
}

// TestContentsAtRandom compares what is read at random with what is written.
func TestContentsAtRandom(t *testing.T) {
	for _, c := range append(allContents(t), contents{"memory", func(*testing.T) tree.Source { return &failingSource{sample(), io.EOF} }, false, false}) {
		t.Run(c.name, func(t *testing.T) {
			src := c.open(t)
			type file struct {
				io.ReaderAt
				size, data int64
			}
			files := map[string]file{}
			for {
				e, err := src.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				r, ok := e.ReaderAt()
				if isFile := e.Type == tree.File && e.Hardlink == ""; ok != (isFile && (!c.stream || e.DataSize() == 0)) {
					t.Errorf("%s: at random: %v", e.Path, ok)
				}
				if ok {
					var whole bytes.Buffer
					if err := tree.WriteExpanded(&whole, e); err != nil {
						t.Fatal(err)
					}
					checkAtRandom(t, e.Path, r, whole.Bytes())
					files[e.Path] = file{r, e.Size, e.DataSize()}
				}
			}
			src.Close()
			for path, f := range files {
				_, err := f.ReadAt(make([]byte, f.size), 0)
				if gone := c.own && f.data > 0; gone != (err != nil && err != io.EOF) {
					t.Errorf("%s, after Close: %v", path, err)
				}
			}
		})
	}
}

// checkAtRandom reads pieces of r, which is all of want.
func checkAtRandom(t *testing.T, path string, r io.ReaderAt, want []byte) {
	t.Helper()
	for _, size := range []int{1, 100, 4096, 5000, len(want), len(want) + 1} {
		for _, off := range []int{0, 1, 4095, 8191, 8192, 12287, 1<<20 - 1, 1 << 20, len(want) - 1, len(want), len(want) + 1} {
			p := bytes.Repeat([]byte{0xA5}, size)
			n, err := r.ReadAt(p, int64(off))
			rest := want[min(off, len(want)):]
			all := rest[:min(size, len(rest))]
			if n != len(all) || !bytes.Equal(p[:n], all) || (err != nil || n < size) && (err != io.EOF || off+size < len(want)) {
				t.Fatalf("%s: %d bytes at %d of %d: %d, %v", path, size, off, len(want), n, err)
			}
		}
	}
	for _, off := range []int64{-1, -4096, math.MinInt64} {
		if n, err := r.ReadAt(make([]byte, 10), off); n != 0 || err == nil {
			t.Errorf("%s: at %d: %d, %v", path, off, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 10), math.MaxInt64); n != 0 || err != io.EOF {
		t.Errorf("%s: at the largest offset: %d, %v", path, n, err)
	}
}

// failing takes so many bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n := f.left
		f.left = 0
		return n, errors.New("full")
	}
	f.left -= len(p)
	return len(p), nil
}
