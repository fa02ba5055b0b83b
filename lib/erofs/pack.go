package erofs

import (
	"math/bits"
	"slices"

	"ocipipe/lib/erofs/disk"
)

// packer packs items of any size into blocks, best fit first. For each number of free slots
// it keeps the blocks that have so many left. An item of at most a block is in one block; a
// longer one begins at the start of a block.
type packer struct {
	bs   int64
	end  int64                                            // of the last block
	ends [1<<disk.MaxBlockBits/disk.NidUnit + 1][]int64   // by number of free slots: the ends of such blocks
	used [1<<disk.MaxBlockBits/disk.NidUnit/64 + 1]uint64 // bit n: ends[n] is not empty
}

func (k *packer) init(bs, start int64) { k.bs, k.end = bs, start }

// open makes the last n bytes before end available.
func (k *packer) open(end, n int64) {
	if slots := n / disk.NidUnit; slots > 0 {
		k.ends[slots] = append(k.ends[slots], end)
		k.used[slots/64] |= 1 << (slots % 64)
	}
}

// place finds room for n bytes and returns their offset.
func (k *packer) place(n int64) int64 {
	n = disk.RoundUp(n, disk.NidUnit)
	if slots, ok := k.find(n / disk.NidUnit); ok && n <= k.bs {
		ends := k.ends[slots]
		end := ends[len(ends)-1]
		k.ends[slots] = ends[:len(ends)-1]
		if len(ends) == 1 {
			k.used[slots/64] &^= 1 << (slots % 64)
		}
		free := slots * disk.NidUnit
		k.open(end, free-n)
		return end - free
	}
	off := k.end
	k.end += disk.RoundUp(n, k.bs)
	k.open(k.end, k.end-off-n)
	return off
}

// find returns the smallest number of free slots, n or more, that some block has.
func (k *packer) find(n int64) (int64, bool) {
	if n >= int64(len(k.ends)) {
		return 0, false
	}
	word := k.used[n/64] &^ (1<<(n%64) - 1)
	for i := n / 64; ; word = k.used[i] {
		if word != 0 {
			return i*64 + int64(bits.TrailingZeros64(word)), true
		}
		if i++; i == int64(len(k.used)) {
			return 0, false
		}
	}
}

// packWindow is how many inodes in the order of the tree are packed as one lot.
const packWindow = 2048

const maxSlots = 1 << 50 // more than any inode has

// packingOrder returns the root, then the other items in lots. In each lot the largest items
// come first, and small ones fill the gaps at the end. Lots keep inodes together that are
// near each other in the tree.
func (p *plan) packingOrder() []placedItem {
	order := append(make([]placedItem, 0, len(p.items)), placedItem{item: p.items[0]})
	keys := make([]uint64, 0, packWindow) // size, then place in the lot
	for lot := range slices.Chunk(p.items[1:], packWindow) {
		keys = keys[:0]
		for i, it := range lot {
			slots := disk.Blocks(it.full, disk.NidUnit)
			keys = append(keys, uint64(maxSlots-slots)*packWindow+uint64(i))
		}
		slices.Sort(keys)
		for _, k := range keys {
			order = append(order, placedItem{item: lot[k%packWindow]})
		}
	}
	return order
}
