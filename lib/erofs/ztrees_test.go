package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// compressedTrees is how many trees TestCompressedTrees makes.
func compressedTrees() int {
	if os.Getenv("SOAK") == "true" {
		return 60
	}
	return 6
}

// Random trees, compressed with random options: the bytes depend neither on the number of
// workers nor on how contents come; the kernel, fsck.erofs if FSCK_EROFS names one that knows
// all algorithms, and our reader read what was written.
func TestCompressedTrees(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	for seed := range compressedTrees() {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		opts := randomCompression(r)
		es := randomFiles(r, opts)
		t.Run(fmt.Sprintf("%d: %s, blocks of %d", seed, opts.Compression, opts.BlockSize), func(t *testing.T) {
			testCompressedTree(t, opts, es)
		})
	}
}

func testCompressedTree(t *testing.T, opts Options, es []tree.Entry) {
	f := write(t, opts, es...)
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	pieces := withAll(es, func(e *tree.Entry) {
		if d, ok := e.Content.(data); ok {
			e.Content = slowly(d)
		}
	})
	for workers, es := range map[int][]tree.Entry{2: pieces, 8: es} {
		more := *opts.Compression
		more.Workers = workers
		other := opts
		other.Compression = &more
		m := &image{}
		if err := writeTo(m, other, es); err != nil || !bytes.Equal(m.B, b) {
			t.Errorf("%d workers: other bytes (%v)", workers, err)
		}
	}
	if err := readBack(b, es); err != nil {
		t.Errorf("our reader: %v", err)
	}
	if opts.BlockSize > os.Getpagesize() {
		return // neither fsck.erofs nor the kernel knows these here
	}
	if reftest.Named("fsck.erofs") {
		if out, err := reftest.Try(t, "fsck.erofs", "--extract", f.Name()); err != nil || strings.Contains(out, "<E>") {
			t.Errorf("fsck.erofs: %v: %s", err, out)
		}
	}
	if err := readSomewhere(reftest.Mount(t, "erofs", f.Name(), ""), es); err != nil {
		t.Errorf("the kernel, somewhere: %v", err)
	}
	if opts.Layer {
		return // compareMount does not know the marks
	}
	if err := compareMount(reftest.Mount(t, "erofs", f.Name(), ""), sourceOf(t, es)); err != nil {
		t.Errorf("the kernel: %v", err)
	}
}

// readBack compares what our reader says of the image b with es.
func readBack(b []byte, es []tree.Entry) error {
	img, err := read.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	for i := range es {
		if es[i].Type != tree.File || es[i].Hardlink != "" {
			continue
		}
		var have, want bytes.Buffer
		e, err := img.Lookup(es[i].Path)
		if err == nil {
			err = tree.WriteExpanded(&have, e)
		}
		if err == nil {
			err = tree.WriteExpanded(&want, &es[i])
		}
		if err != nil || !bytes.Equal(have.Bytes(), want.Bytes()) {
			return fmt.Errorf("%s: content differs (%v)", es[i].Path, err)
		}
	}
	return nil
}

// randomCompression chooses all that the bytes of a compressed image depend on.
func randomCompression(r *rand.Rand) Options {
	methods := []Method{{z.LZ4, 1}, {z.LZ4, 2 + r.IntN(11)}, {z.Zstd, 1 + r.IntN(8)}, {z.Deflate, 1 + r.IntN(9)}}
	c := Compression{Method: methods[r.IntN(len(methods))], Encoded: r.IntN(3) == 0}
	opts := Options{BlockSize: 4096, Layer: r.IntN(4) == 0, KeepZeros: r.IntN(4) == 0, Compression: &c}
	if r.IntN(3) == 0 {
		opts.BlockSize = 512 << r.IntN(8)
	}
	c.PCluster = max(4096<<r.IntN(9), int64(opts.BlockSize))
	if opts.BlockSize == 512 {
		c.PCluster = min(c.PCluster, 512<<10) // an index counts no more blocks
	}
	if r.IntN(2) == 0 {
		c.Segment = 2 * c.PCluster << r.IntN(3)
	}
	if r.IntN(3) == 0 {
		c.Hints = []Hint{{"*1", methods[r.IntN(len(methods))]}, {"d", Method{Algorithm: z.Raw}}}
	}
	return opts
}

// randomFiles is a tree of files whose sizes lie near the limits of what opts say.
func randomFiles(r *rand.Rand, opts Options) []tree.Entry {
	c := opts.Compression.complete(int64(opts.BlockSize))
	limits := []int64{0, int64(opts.BlockSize), c.PCluster, 2 * c.PCluster, c.Segment, 17 * int64(opts.BlockSize), holeUnit(1<<30, int64(opts.BlockSize))}
	es := []tree.Entry{dir("."), dir("d")}
	for i := range 24 {
		n := limits[r.IntN(len(limits))] + []int64{-1, 0, 0, 1, int64(r.IntN(9000))}[r.IntN(5)]
		path := fmt.Sprint("f", i)
		if i%5 == 4 {
			path = "d/" + path
		}
		e := file(path, mixture(r, int(min(max(n, 0), 9<<20))))
		if r.IntN(3) == 0 {
			e = xattrs(e, "user.x", strings.Repeat("x", r.IntN(64)))
		}
		es = append(es, e)
	}
	for i := range 3 {
		es = append(es, hardlink(fmt.Sprint("link", i), es[2+r.IntN(24)].Path))
		same := es[2+r.IntN(24)]
		same.Path = fmt.Sprint("same", i)
		es = append(es, same)
	}
	es = append(es, sparse("sparse", 3<<20, []tree.Extent{{Off: 5000, Len: 100000}, {Off: 2 << 20, Len: 1 << 19}}))
	if r.IntN(4) == 0 {
		es = append(es, file("long", append(bytes.Repeat([]byte("x"), 12<<20), 'y')), file("late", append(make(data, 16<<20), 'y')))
	}
	return es
}

// mixture is n bytes of words, zeros and noise.
func mixture(r *rand.Rand, n int) data {
	parts := []data{words(1 << 20), noise(1 << 20), make(data, 1<<20)}
	part := func(i, n int) data {
		n = min(n, 1<<20)
		return parts[i][r.IntN(len(parts[i])-n+1):][:n]
	}
	whole := func(i int) (d data) {
		for len(d) < n {
			d = append(d, part(i, n-len(d))...)
		}
		return d
	}
	switch k := r.IntN(7); k {
	case 0, 1, 2:
		return whole(k)
	case 3, 4: // words then noise, and the other way round
		at := min(r.IntN(n+1), 1<<uint(r.IntN(24)))
		return append(whole(k - 3)[:at:at], whole(4 - k)[at:]...)
	}
	var d data
	for len(d) < n {
		d = append(d, part(r.IntN(3), min(n-len(d), 1<<r.IntN(20)))...)
	}
	return d
}
