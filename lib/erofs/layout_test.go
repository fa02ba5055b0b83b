package erofs

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

func TestPacker(t *testing.T) {
	for _, bs := range []int64{512, 4096, 65536} {
		var (
			k    packer
			r    = rand.New(rand.NewPCG(1, uint64(bs)))
			used = make(map[int64]bool) // slots
			sum  int64
		)
		k.init(bs, 3*bs)
		k.open(3*bs, 96)
		for range max(1000, 5_000_000/bs) {
			n := 1 + r.Int64N(bs+bs/8)
			off := k.place(n)
			sum += disk.RoundUp(n, disk.NidUnit)
			if off%disk.NidUnit != 0 || off < 3*bs-96 || off+n > k.end {
				t.Fatalf("%d bytes at %d of %d", n, off, k.end)
			}
			if n <= bs && off/bs != (off+n-1)/bs {
				t.Fatalf("%d bytes at %d cross a block", n, off)
			}
			for slot := off / disk.NidUnit; slot < (off+n+disk.NidUnit-1)/disk.NidUnit; slot++ {
				if used[slot] {
					t.Fatalf("%d bytes at %d overlap others", n, off)
				}
				used[slot] = true
			}
		}
		if waste := k.end - 3*bs - sum; waste > sum/20 {
			t.Errorf("blocks of %d: %d bytes wasted on %d", bs, waste, sum)
		}
	}
}

func TestPackerFillsGaps(t *testing.T) {
	var k packer
	k.init(4096, 4096)
	k.open(4096, 4096-1152)
	for _, c := range []struct{ n, off int64 }{
		{64, 1152},            // into the head
		{4000, 4096},          // opens block 1
		{96, 4096 + 4000},     // fits there exactly: 4000 takes 125 slots
		{96, 1216},            // nothing fits better than the head
		{4096 + 32, 2 * 4096}, // two blocks, the second nearly free
		{4000, 3*4096 + 32},
		{2784, 1312}, // the rest of the head
		{1, 3*4096 + 32 + 4000},
	} {
		if off := k.place(c.n); off != c.off {
			t.Errorf("%d bytes are at %d, expected %d", c.n, off, c.off)
		}
	}
}

func TestDirBlocks(t *testing.T) {
	name := func(n, i int) dirName { return dirName{name: fmt.Sprintf("%0*d", n, i)} }
	for _, c := range []struct {
		len, count int
		size       int64
	}{
		{1, 0, 0}, {1, 1, 13}, {4, 256, 4096}, {4, 257, 4096 + 16}, {255, 15, 267 * 15}, {255, 16, 4096 + 267}, {255, 31, 2*4096 + 267},
	} {
		var names []dirName
		for i := range c.count {
			names = append(names, name(c.len, i))
		}
		if size := dirSize(names, 4096); size != c.size {
			t.Errorf("%d names of %d bytes make %d bytes, expected %d", c.count, c.len, size, c.size)
		}
	}
}

func TestChunkBits(t *testing.T) {
	every := func(step, n, size int64) (xs []tree.Extent) {
		for off := int64(0); off < size; off += step {
			xs = append(xs, tree.Extent{Off: off, Len: n})
		}
		return xs
	}
	for _, c := range []struct {
		name  string
		size  int64
		xs    []tree.Extent
		exact bool  // no block of a hole is lost
		cost  int64 // at most: map and data
	}{
		{"1 TiB of nothing", 1 << 40, nil, true, 8},
		{"nothing, as long as it gets", 1<<63 - 1, nil, true, 8 << 20},
		{"10 GiB, one block", 10 << 30, []tree.Extent{{Off: 5 << 30, Len: 4096}}, false, 600 << 10},
		{"1 GiB, one block at its beginning", 1 << 30, []tree.Extent{{Off: 0, Len: 4096}}, false, 200 << 10},
		{"1 MiB, every other block", 1 << 20, every(8192, 4096, 1<<20), true, 1<<19 + 2048},
		{"100 MiB, half of it in small pieces", 100 << 20, every(32768, 16384, 100<<20), true, 51 << 20},
		{"100 MiB, half of it in large pieces", 100 << 20, every(1<<20, 1<<19, 100<<20), true, 50<<20 + 1600},
		{"1 GiB, 64 small pieces", 1 << 30, every(16<<20, 60<<10, 1<<30), false, 5 << 20},
		{"one byte", 1 << 20, []tree.Extent{{Off: 1<<20 - 1, Len: 1}}, true, 4096 + 2048},
	} {
		bits := chunkBits(c.xs, c.size, 4096)
		chunk := int64(4096) << bits
		data := runsLen(c.xs, c.size, chunk)
		if cost := data + mapSize(c.size, chunk); cost > c.cost {
			t.Errorf("%s: chunks of %d cost %d, more than %d", c.name, chunk, cost, c.cost)
		}
		if exact := data == runsLen(c.xs, c.size, 4096); exact != c.exact {
			t.Errorf("%s: chunks of %d: exact is %v", c.name, chunk, exact)
		}
	}
}

func TestRuns(t *testing.T) {
	xs := []tree.Extent{{Off: 10, Len: 5}, {Off: 4000, Len: 200}, {Off: 9000, Len: 1}, {Off: 20000, Len: 100}}
	for _, c := range []struct {
		chunk int64
		want  string
	}{
		{4096, "[{0 12288} {16384 3716}]"},
		{8192, "[{0 20100}]"},
		{1 << 20, "[{0 20100}]"},
	} {
		if have := fmt.Sprint(chunkRuns(xs, 20100, c.chunk)); have != c.want {
			t.Errorf("chunks of %d: %s, expected %s", c.chunk, have, c.want)
		}
	}
}

func TestCheckExtents(t *testing.T) {
	for _, c := range []struct {
		xs []tree.Extent
		ok bool
	}{
		{nil, true},
		{[]tree.Extent{{Off: 0, Len: 100}}, true},
		{[]tree.Extent{{Off: 0, Len: 101}}, false},
		{[]tree.Extent{{Off: 99, Len: 1<<63 - 1}}, false},
		{[]tree.Extent{{Off: -1, Len: 1}}, false},
		{[]tree.Extent{{Off: 5, Len: 0}}, false},
		{[]tree.Extent{{Off: 0, Len: 5}, {Off: 5, Len: 5}}, false},
		{[]tree.Extent{{Off: 8, Len: 5}, {Off: 5, Len: 2}}, false},
	} {
		if err := checkExtents(c.xs, 100); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.xs, err)
		}
	}
}
