package erofs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// TestTailLot reads tails from the spool and from memory, near each other and far apart,
// in any order.
func TestTailLot(t *testing.T) {
	const bs = 4096
	rnd := rand.New(rand.NewPCG(1, 2))
	from := &tails{dir: t.TempDir()}
	defer from.free()
	var items []placedItem
	var want [][]byte
	for range 4000 {
		tail := pattern(byte(rnd.Uint32()), 1+rnd.IntN(bs-1))
		e := &tree.Entry{Type: tree.File, Size: 3*bs + int64(len(tail))}
		items = append(items, placedItem{item: &item{entry: e, layout: disk.FlatInline, tail: from.offset()}})
		want = append(want, tail)
		if err := from.write(tail); err != nil {
			t.Fatal(err)
		}
	}
	if err := from.wait(); err != nil {
		t.Fatal(err)
	}
	l := tailLot{from: from}
	items = append(items, placedItem{item: &item{entry: &tree.Entry{Type: tree.Fifo}}})
	for rest := rnd.Perm(len(items)); len(rest) > 0; {
		lot := rest[:min(len(rest), 300)]
		rest = rest[len(lot):]
		var some []placedItem
		for _, i := range lot {
			some = append(some, items[i])
		}
		if err := l.load(some, bs); err != nil {
			t.Fatal(err)
		}
		for _, i := range lot {
			if i < len(want) && !bytes.Equal(l.of(items[i].item, bs), want[i]) {
				t.Fatalf("tail %d of %d bytes is another", i, len(want[i]))
			}
		}
	}
}
