package disk

import "encoding/binary"

// HtreeTable is where in block, one of a directory, the table begins if the block is a root
// or node of an htree, and 0 if it is not (get_dx_countlimit).
func HtreeTable(block []byte) int {
	var first, second DirentHead
	first.Decode(block)
	second.Decode(block[DotSize:])
	if first.size(len(block)) == len(block) {
		return htreeNodeTable
	}
	var info htreeInfo
	info.Decode(block[HtreeInfoOffset:])
	if first.RecLen == DotSize && second.size(len(block)) == len(block)-DotSize && info.Length == htreeInfoSize {
		return HtreeRootTable
	}
	return 0
}

// decodeTable returns the table at byte table of block. The Hash of its entry 0 is 0.
func decodeTable(block []byte, table int, opt DirOptions) ([]htreeEntry, error) {
	var count htreeCount
	count.Decode(block[table:])
	limit, node := opt.limits(len(block))
	if table == htreeNodeTable {
		limit = node
	}
	if int(count.Limit) != limit || count.Count == 0 || count.Count > count.Limit {
		return nil, Broken("index of a directory with %d of %d entries, should have room for %d", count.Count, count.Limit, limit)
	}
	entries := make([]htreeEntry, count.Count)
	for i := range entries {
		entries[i].Decode(block[table+i*HtreeEntrySize:])
	}
	entries[0].Hash = 0
	return entries, nil
}

func checkHtreeSum(block []byte, table int, sum InodeSeed) error {
	entries, err := decodeTable(block, table, DirOptions{Checksums: true})
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(block[len(block)-htreeTailSize/2:]) != sum.Htree(block, table, len(entries)) {
		return Broken("index of a directory with a wrong checksum")
	}
	return nil
}

// htreeCheck checks that every name of a hashed directory is where lookups search for it.
type htreeCheck struct {
	opt    DirOptions
	read   func(block uint32) ([]byte, error) // a block of the directory, good until the next call
	seen   []bool
	hashed bool // with the hash that we know
}

// CheckIndex checks the htree of a directory of size blocks. It calls read once for each
// block; read checks the checksum.
func CheckIndex(size uint32, opt DirOptions, read func(block uint32) ([]byte, error)) error {
	c := htreeCheck{opt: opt, read: read, seen: make([]bool, size)}
	root, err := c.block(0)
	if err != nil {
		return err
	}
	var info htreeInfo
	info.Decode(root[HtreeInfoOffset:])
	if HtreeTable(root) != HtreeRootTable || info.Version > hashTea || info.Levels > htreeMaxLevels {
		return Broken("index of a directory with hash %d, %d levels", info.Version, info.Levels)
	}
	c.hashed = info.Version == HashHalfMD4
	entries, err := decodeTable(root, HtreeRootTable, opt)
	if err != nil {
		return err
	}
	if err := c.table(entries, int(info.Levels), 0, 1<<32); err != nil {
		return err
	}
	for i, seen := range c.seen {
		if !seen {
			return Broken("block %d of a directory is not in its index", i)
		}
	}
	return nil
}

func (c *htreeCheck) block(i uint32) ([]byte, error) {
	if i >= uint32(len(c.seen)) || c.seen[i] {
		return nil, Broken("index of a directory with block %d of %d, or with it twice", i, len(c.seen))
	}
	c.seen[i] = true
	return c.read(i)
}

// table checks the blocks that entries lead to. All names in them have hashes from first
// up to end; if end is odd, names with the hash end-1 may be in them, too.
func (c *htreeCheck) table(entries []htreeEntry, levels int, first, end uint64) error {
	for i, e := range entries {
		from, to := first, end
		if i > 0 {
			from = uint64(e.Hash)
		}
		if i+1 < len(entries) {
			to = uint64(entries[i+1].Hash)
		}
		if from < first || from > to || to > end {
			return Broken("index of a directory out of order: %#x to %#x, within %#x to %#x", from, to, first, end)
		}
		block, err := c.block(e.Block)
		if err != nil {
			return err
		}
		if levels == 0 {
			if err := c.leaf(block, from, to); err != nil {
				return err
			}
			continue
		}
		if HtreeTable(block) != htreeNodeTable {
			return Broken("block %d of a directory is no node of its index", e.Block)
		}
		below, err := decodeTable(block, htreeNodeTable, c.opt)
		if err == nil {
			err = c.table(below, levels-1, from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *htreeCheck) leaf(block []byte, first, end uint64) error {
	ents, err := AppendDirents(nil, block)
	if err != nil || !c.hashed {
		return err
	}
	for _, d := range ents {
		h := uint64(HashName(d.Name, c.opt.HashSeed, c.opt.Unsigned).Major)
		if h < first&^1 || h >= end {
			return Broken("%q has hash %#x and lies among %#x to %#x", d.Name, h, first, end)
		}
	}
	return nil
}
