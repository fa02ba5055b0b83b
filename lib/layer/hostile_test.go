package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// bounded fails t if do allocates more than the given number of MiB.
func bounded(t *testing.T, mib uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > mib {
		t.Errorf("allocated %d MiB, over %d", n, mib)
	}
}

// TestLinear has much of what a hostile layer can have much of.
func TestLinear(t *testing.T) {
	loads := func(headers func(n int) []raw) func(t *testing.T, n int) {
		return func(t *testing.T, n int) {
			loaded, err := layer.Load(context.Background(), input("x", rawTar(headers(n)...), layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			loaded.CountLinks()
			loaded.Close()
		}
	}
	cases := map[string]func(t *testing.T, n int){
		"records of extended headers": loads(func(n int) []raw {
			return []raw{{kind: 'x', name: "x", data: strings.Repeat("6 a=b\n", 20*n)}, {name: "a"}}
		}),
		"xattrs in falling order": loads(func(n int) []raw {
			var records []string
			for i := range n {
				records = append(records, fmt.Sprintf("SCHILY.xattr.user.%06d", n-i), "")
			}
			return []raw{pax(records...), {name: "a"}}
		}),
		"pieces of a sparse file": loads(func(n int) []raw { return sparsePieces(n) }),
		"deep paths": loads(func(n int) []raw {
			return deepPaths(n / 20)
		}),
		"deep targets of links": loads(func(n int) []raw {
			dir := strings.Repeat("d/", n)
			headers := []raw{pax("path", dir+"f"), {name: "x"}}
			for i := range 20 {
				headers = append(headers, pax("linkpath", fmt.Sprint(dir, i)), raw{kind: '1', name: fmt.Sprint(i), link: "x"})
			}
			return headers
		}),
		"implied directories merged": func(t *testing.T, n int) {
			data := rawTar(deepPaths(n / 20)...)
			merged, err := layer.Merge(context.Background(), []layer.Input{input("a", data, layer.Options{}), input("b", data, layer.Options{})}, layer.LoadOptions{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			merged.Close()
		},
	}
	for name, headers := range manyLinks {
		cases["links "+name] = loads(headers)
	}
	reftest.Linear(t, 400, cases)
}

// deepPaths are n files, each in directories of its own, as deep as a path can be.
func deepPaths(n int) (headers []raw) {
	for i := range n {
		headers = append(headers, pax("path", fmt.Sprintf("%03d/", i)+strings.Repeat("d/", 2040)+"f"), raw{name: "x"})
	}
	return headers
}

// sparsePieces is a sparse file of n pieces of one byte, in form 0.1 of pax.
func sparsePieces(n int) []raw {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%d,1", 1_000_000*i))
	}
	return []raw{
		pax("GNU.sparse.size", fmt.Sprint(1_000_000*n), "GNU.sparse.name", "f", "GNU.sparse.map", strings.Join(list, ",")),
		{name: "GNUSparseFile.1/f", data: strings.Repeat("x", n)},
	}
}

// manyLinks are links that wait for their target, and chains of them.
var manyLinks = map[string]func(n int) []raw{
	"to one target":      func(n int) []raw { return append(waitingLinks(n), raw{name: "t"}) },
	"that never comes":   waitingLinks,
	"over and over":      func(n int) []raw { return append(append(waitingLinks(n), waitingLinks(n)...), raw{name: "t"}) },
	"which is a symlink": func(n int) []raw { return append(waitingLinks(n), raw{kind: '2', name: "t", link: "l0"}) },
	"each to the next": func(n int) (chains []raw) {
		for i := range n / tree.MaxTargets {
			chains = append(chains, chainOfLinks(fmt.Sprintf("c%d.", i), tree.MaxTargets)...)
		}
		return chains
	},
}

// chainOfLinks are n links, each to the next and the last to a file.
func chainOfLinks(prefix string, n int) (chain []raw) {
	for i := range n {
		chain = append(chain, raw{kind: '1', name: fmt.Sprint(prefix, i), link: fmt.Sprint(prefix, i+1)})
	}
	return append(chain, raw{name: fmt.Sprint(prefix, n)})
}

func waitingLinks(n int) (headers []raw) {
	for i := range n {
		headers = append(headers, raw{kind: '1', name: fmt.Sprintf("l%d", i), link: "t"})
	}
	return headers
}

// TestClaims has headers that claim more data than follows.
func TestClaims(t *testing.T) {
	for name, headers := range map[string][]raw{
		"file of 2^62 bytes":              {{name: "a", size: base256(1<<62, 12)}},
		"file of 2^63-1 bytes":            {{name: "a", size: base256(1<<63-1, 12)}},
		"pax size":                        {pax("size", "9223372036854775807"), {name: "a"}},
		"sparse file with all that data":  {pax("GNU.sparse.size", "9223372036854775807", "GNU.sparse.map", "0,9223372036854775807", "size", "9223372036854775807"), {name: "a"}},
		"long name of 4 MiB":              {{kind: 'L', name: "x", size: base256(4<<20, 12)}},
		"extended header of 4 MiB":        {{kind: 'x', name: "x", size: base256(4<<20, 12)}},
		"sparse map in the data":          {pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "1"), {name: "a", size: base256(1<<40, 12), data: "1048576\n"}},
		"extension blocks that never end": {{kind: 'S', magic: "ustar  \x00", name: "a", prefix: strings.Repeat("\x00", 137) + "\x01"}},
	} {
		bounded(t, 16, func() {
			data := rawTar(headers...)
			if _, err := readAll(t, data[:len(data)-1024], layer.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestManyExtents reads sparse files of 70,000 pieces, about what an extended
// header of 4 MiB can hold in form 0.0, in all four forms.
func TestManyExtents(t *testing.T) {
	reftest.OneThread(t)
	const n = 70_000
	size := fmt.Sprint(n * 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	offsets := make([]int, n) // with gaps of all sizes
	for i := range offsets {
		offsets[i] = i*1000 + rng.IntN(990)
	}
	at := func(i int) int { return offsets[i] }
	var data, list, table strings.Builder
	fmt.Fprintf(&table, "%d\n", n)
	var oldGNU []raw
	pair := func(i int) string { return fmt.Sprintf("%011o\x00%011o\x00", at(i), 1) }
	head := raw{kind: 'S', magic: "ustar  \x00", name: "f"}
	head.prefix = strings.Repeat("\x00", 41)
	var pairs []string
	var zeroZero []string
	for i := range n {
		data.WriteByte(byte(i))
		fmt.Fprintf(&list, ",%d,1", at(i))
		fmt.Fprintf(&table, "%d\n1\n", at(i))
		pairs = append(pairs, pair(i))
		zeroZero = append(zeroZero, "GNU.sparse.offset", fmt.Sprint(at(i)), "GNU.sparse.numbytes", "1")
	}
	head.prefix += strings.Join(pairs[:4], "") + "\x01" + fmt.Sprintf("%011o", n*1000)
	head.size = fmt.Sprintf("%011o", n)
	oldGNU = append(oldGNU, head)
	oldGNUTar := head.bytes()
	for rest := pairs[4:]; len(rest) > 0; {
		m := min(21, len(rest))
		block := make([]byte, 512)
		copy(block, strings.Join(rest[:m], ""))
		if rest = rest[m:]; len(rest) > 0 {
			block[504] = 1
		}
		oldGNUTar = append(oldGNUTar, block...)
	}
	oldGNUTar = append(append(oldGNUTar, data.String()...), make([]byte, -n&511)...)
	oldGNUTar = append(oldGNUTar, endBlocks...)
	padded := table.String() + strings.Repeat("\x00", -table.Len()&511)
	for name, archive := range map[string][]byte{
		"old GNU": oldGNUTar,
		"pax 0.0": rawTar(pax(append([]string{"GNU.sparse.size", size, "GNU.sparse.numblocks", fmt.Sprint(n)}, zeroZero...)...), raw{name: "f", data: data.String()}),
		"pax 0.1": rawTar(pax("GNU.sparse.size", size, "GNU.sparse.name", "f", "GNU.sparse.map", list.String()[1:]), raw{name: "GNUSparseFile.1/f", data: data.String()}),
		"pax 1.0": rawTar(pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "f", "GNU.sparse.realsize", size), raw{name: "GNUSparseFile.1/f", data: padded + data.String()}),
	} {
		t.Run(name, func(t *testing.T) {
			var entry *tree.Entry
			var buf bytes.Buffer
			buf.Grow(n * 1000)
			bounded(t, 300, func() {
				loaded, err := layer.Load(context.Background(), input("x", archive, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				defer loaded.Close()
				entry = loaded.Lookup("f").Entry
				if err := tree.WriteExpanded(&buf, entry); err != nil {
					t.Fatal(err)
				}
			})
			got := buf.Bytes()
			if len(got) != n*1000 || entry.Size != n*1000 || len(entry.Extents) < 1000 {
				t.Fatalf("%d bytes, size %d, %d extents", len(got), entry.Size, len(entry.Extents))
			}
			for i := range got {
				want := byte(0)
				if i == at(i/1000) {
					want = byte(i / 1000)
				}
				if got[i] != want {
					t.Fatalf("byte %d is %d, want %d", i, got[i], want)
				}
			}
		})
	}
}

// TestManyRecords reads extended headers full of small records.
func TestManyRecords(t *testing.T) {
	reftest.OneThread(t)
	h := raw{kind: 'x', name: "x", data: strings.Repeat("6 a=b\n", 600_000)}
	bounded(t, 200, func() {
		if _, err := readAll(t, rawTar(h, raw{name: "a"}, h, raw{name: "b"}), layer.Options{}); err != nil {
			t.Error(err)
		}
	})
	var records []string
	for i := range 150_000 { // in falling order, which is the worst for an insertion
		records = append(records, fmt.Sprintf("SCHILY.xattr.%06d", 150_000-i), "")
	}
	bounded(t, 200, func() {
		_, err := layer.Load(context.Background(), input("x", rawTar(pax(records...), raw{name: "a"}), layer.Options{}),
			layer.LoadOptions{SpoolDir: t.TempDir(), Limits: tree.Limits{XattrBytes: 64 << 10}})
		var limit *tree.LimitError
		if !errors.As(err, &limit) || limit.Which != tree.LimitXattrBytes {
			t.Errorf("150,000 xattrs: %v", err)
		}
	})
}

// TestManyHeaders reads what stands before headers into the same memory.
func TestManyHeaders(t *testing.T) {
	reftest.OneThread(t)
	for name, h := range map[string]raw{
		"records":     {kind: 'x', name: "x", data: strings.Repeat("6 a=b\n", 100_000)},
		"long record": pax("a", strings.Repeat("b", 600_000)),
		"global":      {kind: 'g', name: "x", data: strings.Repeat("6 a=b\n", 100_000)},
		"long name":   {kind: 'L', name: "x", data: strings.Repeat("n\x00", 300_000)},
	} {
		var headers []raw
		for range 50 {
			headers = append(headers, h, raw{kind: 'L', name: "x", data: "a\x00"}, raw{name: "b"})
		}
		data := rawTar(headers...)
		bounded(t, 20, func() {
			got, err := readAll(t, data, layer.Options{})
			if want := strings.Repeat("a file 0000 0 0 0.000000000 size=0\n", 50); err != nil || got != want {
				t.Errorf("%s: %v\n%s", name, err, got)
			}
		})
	}
	mixed := rawTar(raw{kind: 'x', name: "x", data: "12 path=first\n"}, raw{kind: 'K', name: "x", data: strings.Repeat("t", 200)}, pax("uid", "7"),
		raw{kind: 'L', name: "x", data: "a long name\x00"}, raw{kind: '2', name: "x"})
	want := "a long name link 0000 7 0 0.000000000 -> " + strings.Repeat("t", 200) + "\n"
	if got, err := readAll(t, mixed, layer.Options{}); err != nil || got != want {
		t.Errorf("headers of all kinds: %v\n%s, want %s", err, got, want)
	}
}

// TestUntidyNames has names with many redundant parts: some are accepted.
func TestUntidyNames(t *testing.T) {
	long := strings.Repeat("./", 1<<20)
	for _, h := range []raw{{kind: 'L', name: "x", data: long + "a\x00"}, {kind: 'K', name: "x", data: long + "a\x00"}} {
		bounded(t, 30, func() {
			_, err := readAll(t, rawTar(h, raw{kind: '1', name: "b", link: "c"}), layer.Options{})
			if !errors.Is(err, layer.ErrCorrupt) {
				t.Errorf("%c: %.100v", h.kind, err)
			}
		})
	}
	some := raw{kind: 'L', name: "x", data: long[:10_000] + "/a//b/\x00"}
	if got, err := readAll(t, rawTar(some, raw{name: "x"}), layer.Options{}); err != nil || !strings.HasPrefix(got, "a/b file ") {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestDeepPaths has as many components as a path can.
func TestDeepPaths(t *testing.T) {
	deep := strings.Repeat("d/", 2047) + "f"
	var headers []raw
	for i := range 200 {
		headers = append(headers, pax("path", deep, "uid", fmt.Sprint(i)), raw{name: "x"})
	}
	bounded(t, 200, func() {
		loaded, err := layer.Load(context.Background(), input("x", rawTar(headers...), layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer loaded.Close()
		if e := loaded.Lookup(deep); e == nil || e.Entry.UID != 199 {
			t.Error("the file is not there")
		}
	})
}

// TestDeepMerge applies directories that are only implied, each below the next.
func TestDeepMerge(t *testing.T) {
	data := rawTar(deepPaths(150)...)
	bounded(t, 1000, func() {
		merged, err := layer.Merge(context.Background(), []layer.Input{input("a", data, layer.Options{}), input("b", data, layer.Options{})}, layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		merged.Close()
	})
}

// TestManyLinks has links that wait, and short chains of them, in numbers.
func TestManyLinks(t *testing.T) {
	reftest.OneThread(t)
	const n = 50_000
	for name, headers := range manyLinks {
		data := rawTar(headers(n)...)
		bounded(t, 600, func() {
			loaded, err := layer.Load(context.Background(), input(name, data, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			loaded.CountLinks()
			if got := len(loaded.Root().Children()); got < n {
				t.Errorf("%s: %d names", name, got)
			}
			loaded.Close()
		})
	}
}

// TestChainOfLinks refuses a chain whose links would each have to name all that
// follow.
func TestChainOfLinks(t *testing.T) {
	chain := func(n int) []byte { return rawTar(chainOfLinks("c", n)...) }
	loaded, err := layer.Load(context.Background(), input("short", chain(tree.MaxTargets), layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	loaded.Close()
	long := chain(50_000)
	bounded(t, 10, func() {
		_, err := layer.Load(context.Background(), input("long", long, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "c0 waits for another, and that for another, 16 times") {
			t.Error(err)
		}
	})
}

// TestBomb stops at the limit, long before the end of a gzip bomb.
func TestBomb(t *testing.T) {
	zeros := gzipped(t, make([]byte, 1<<26))
	bomb := bytes.NewReader(append(gzipped(t, raw{name: "a", size: base256(1<<40, 12)}.bytes()), bytes.Repeat(zeros, 16)...))
	bounded(t, 64, func() {
		_, err := layer.Load(context.Background(), layer.Input{Name: "x", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bomb), nil }}, layer.LoadOptions{
			SpoolDir: t.TempDir(), Limits: tree.Limits{FileSize: 1 << 30},
		})
		var limit *tree.LimitError
		if !errors.As(err, &limit) || limit.Which != tree.LimitFileSize {
			t.Error(err)
		}
	})
	if read := bomb.Size() - int64(bomb.Len()); read > bomb.Size()/2 {
		t.Errorf("read %d bytes of %d", read, bomb.Size())
	}
}

// TestManyLayers merges 130 layers, more than a process of old had descriptors
// left for (P17).
func TestManyLayers(t *testing.T) {
	var layers [][]item
	for i := range 130 {
		layers = append(layers, parseStack(fmt.Sprintf("file d/f%d #%d; file same #%d; file old%d; .wh.old%d", i, i, i, i, i-1))[0])
	}
	want, err := model(layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, jobs := range []int{1, 8} {
		got, err := mergeTars(t, layers, jobs)
		if err != nil || got != describeModel(want) {
			t.Errorf("-j%d: %v\n%s", jobs, err, got)
		}
	}
}

// TestLowestErrorCounts has faults in several layers.
func TestLowestErrorCounts(t *testing.T) {
	good := tarOf(t, parseStack("file a")[0])
	for _, jobs := range []int{1, 2, 8} {
		for range 20 {
			in := []layer.Input{
				input("layer 0", good, layer.Options{}),
				input("layer 1", good[:700], layer.Options{}),
				input("layer 2", []byte("junk"), layer.Options{}),
				input("layer 3", tarOf(t, parseStack("hard x -> missing")[0]), layer.Options{}),
			}
			_, err := layer.Merge(context.Background(), in, layer.LoadOptions{Jobs: jobs, SpoolDir: t.TempDir()})
			if err == nil || !strings.HasPrefix(err.Error(), "layer 1: ") || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("-j%d: %v", jobs, err)
			}
		}
	}
	_, err := layer.Merge(context.Background(), []layer.Input{
		input("layer 0", good, layer.Options{}), input("layer 1", tarOf(t, parseStack("hard x/y -> b")[0]), layer.Options{}),
	}, layer.LoadOptions{SpoolDir: t.TempDir()})
	if want := "layer 1: x/y: hard link to b in a layer below: it does not exist"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestSpool has contents around the sizes of the spool's buffers, read in order,
// backwards, and twice.
func TestSpool(t *testing.T) {
	var headers []raw
	sizes := []int{0, 1, 511, 512, 513, 128<<10 - 1, 128 << 10, 128<<10 + 1, 512 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20, 5, 6}
	for i, n := range sizes {
		headers = append(headers, raw{name: fmt.Sprintf("f%02d", i), data: strings.Repeat(string(rune('a'+i)), n)})
	}
	loaded, err := layer.Load(context.Background(), input("x", rawTar(headers...), layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	check := func(i int) {
		e := loaded.Lookup(fmt.Sprintf("f%02d", i)).Entry
		if e.Content == nil {
			if sizes[i] != 0 {
				t.Errorf("file %d has no content", i)
			}
			return
		}
		var b bytes.Buffer
		if n, err := e.Content.WriteTo(&b); err != nil || n != int64(sizes[i]) {
			t.Errorf("file %d: %d bytes, %v", i, n, err)
		}
		if b.String() != headers[i].data {
			t.Errorf("file %d is not what it was", i)
		}
	}
	for i := range sizes {
		check(i)
		check(len(sizes) - 1 - i)
	}
}

func TestPutFile(t *testing.T) {
	load := func() *layer.Loaded {
		merged, err := layer.Merge(context.Background(), inputs(t, parseStack("dir etc; sym conf -> /etc; file etc/old; sym etc/link -> old; file plain")), layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { merged.Close() })
		return merged
	}
	for _, c := range []struct{ path, at string }{
		{"etc/config.json", "etc/config.json"}, {"/etc/config.json", "etc/config.json"}, {"conf/old", "etc/old"},
		{"etc/link", "etc/link"}, {"new/dir/file", "new/dir/file"}, {"plain/x", "plain/x"},
		{"etc", "etc"},
	} {
		l := load()
		if err := l.PutFile(c.path, []byte("{}")); err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		n := l.Lookup(c.at)
		if n == nil || attributes(n.Entry) != "file 0644 0 0 0.000000000 size=2" || contentOf(t, n.Entry) != "{}" {
			t.Errorf("%s: %v", c.path, n)
		}
	}
	for _, bad := range []string{"", ".", "/", "../x"} {
		if err := load().PutFile(bad, nil); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
