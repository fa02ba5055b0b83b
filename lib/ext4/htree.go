package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Leaves and nodes are filled to four fifths, as e2fsck -D leaves them, so that
// the first names to come do not split them; in full only where the index would
// not hold them otherwise.
const (
	htreeFillNum = 4
	htreeFillDen = 5
)

// limits are how many entries the tables of root and nodes have room for.
func (o *dirOptions) limits() (root, node int) {
	if o.checksums {
		return htreeRootLimit, htreeNodeLimit
	}
	return (blockSize - htreeRootTable) / htreeEntrySize, (blockSize - htreeNodeTable) / htreeEntrySize
}

// nodes is how many blocks an htree needs between its root and that many leaves;
// ok is false if it has no room for them.
func (o *dirOptions) nodes(leaves int) (n int, ok bool) {
	root, node := o.limits()
	if leaves <= root {
		return 0, true
	}
	if fill := node * htreeFillNum / htreeFillDen; leaves <= root*fill {
		node = fill
	}
	n = (leaves + node - 1) / node
	return n, n <= root
}

type hashedDirent struct {
	nameHash
	dirent
}

// planIndex divides ents into the leaves of an htree: in order of their hash.
func (p *dirPlan) planIndex(ents []dirent) error {
	hashed := make([]hashedDirent, len(ents))
	for i, d := range ents {
		hashed[i] = hashedDirent{hashName(d.name, p.opt.hashSeed, p.opt.unsigned), d}
	}
	slices.SortFunc(hashed, func(a, b hashedDirent) int {
		return cmp.Or(cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor), strings.Compare(a.name, b.name))
	})
	sorted := make([]dirent, len(ents))
	for i := range hashed {
		sorted[i] = hashed[i].dirent
	}
	p.blocks = splitDirents(sorted, 0, p.opt.space()*htreeFillNum/htreeFillDen)
	nodes, ok := p.opt.nodes(len(p.blocks))
	if !ok {
		p.blocks = splitDirents(sorted, 0, p.opt.space())
		nodes, ok = p.opt.nodes(len(p.blocks))
	}
	if !ok {
		return fmt.Errorf("a directory of %d names takes %d blocks, more than its index can hold", len(ents), len(p.blocks))
	}
	p.nodes = nodes
	at := 0
	for _, leaf := range p.blocks {
		first := hashed[at].major
		if at > 0 && hashed[at-1].major == first {
			first |= 1 // the leaf before has names with this hash, too
		}
		p.hashes = append(p.hashes, first)
		at += len(leaf)
	}
	return nil
}

// encodeIndex writes the blocks of an htree to b: the root, nodes if there are any,
// leaves.
func (p *dirPlan) encodeIndex(b []byte, self, parent uint32, sum inodeSeed) {
	table := make([]htreeEntry, len(p.blocks))
	for i, ents := range p.blocks {
		at := 1 + p.nodes + i
		p.encodeBlock(b[at*blockSize:][:blockSize], sum, ents)
		table[i] = htreeEntry{p.hashes[i], uint32(at)}
	}
	rootLimit, nodeLimit := p.opt.limits()
	var levels uint8
	if p.nodes > 0 {
		var top []htreeEntry
		for i := range p.nodes {
			from, to := i*len(table)/p.nodes, (i+1)*len(table)/p.nodes
			node := b[(1+i)*blockSize:][:blockSize]
			(&direntHead{RecLen: blockSize}).encode(node)
			p.encodeTable(node, htreeNodeTable, nodeLimit, table[from:to], sum)
			top = append(top, htreeEntry{table[from].Hash, uint32(1 + i)})
		}
		table, levels = top, 1
	}
	encodeDots(b, self, parent)
	info := htreeInfo{Version: hashHalfMD4, Length: htreeInfoSize, Levels: levels}
	info.encode(b[htreeInfoOffset:])
	p.encodeTable(b[:blockSize], htreeRootTable, rootLimit, table, sum)
}

// encodeDots begins the root of an htree: .. takes the rest of the block.
func encodeDots(b []byte, self, parent uint32) {
	(&direntHead{Ino: self, RecLen: dotSize, NameLen: 1, Kind: kindDir}).encode(b)
	copy(b[direntHeadSize:], ".")
	(&direntHead{Ino: parent, RecLen: blockSize - dotSize, NameLen: 2, Kind: kindDir}).encode(b[dotSize:])
	copy(b[dotSize+direntHeadSize:], "..")
}

// encodeTable writes entries to the table that begins at table in block, and seals
// the block.
func (p *dirPlan) encodeTable(block []byte, table, limit int, entries []htreeEntry, sum inodeSeed) {
	for i := range entries {
		entries[i].encode(block[table+i*htreeEntrySize:])
	}
	count := htreeCount{Limit: uint16(limit), Count: uint16(len(entries))}
	count.encode(block[table:])
	if p.opt.checksums {
		binary.LittleEndian.PutUint32(block[htreeSumOffset:], sum.htree(block, table, len(entries)))
	}
}

// htreeTable is where the table of a root or node of an htree begins, or 0 if
// block, one of a directory, is none (get_dx_countlimit).
func htreeTable(block []byte) int {
	var first, second direntHead
	first.decode(block)
	second.decode(block[dotSize:])
	if first.RecLen == blockSize {
		return htreeNodeTable
	}
	var info htreeInfo
	info.decode(block[htreeInfoOffset:])
	if first.RecLen == dotSize && second.RecLen == blockSize-dotSize && info.Length == htreeInfoSize {
		return htreeRootTable
	}
	return 0
}

// decodeTable returns the table at table in block; the Hash of entry 0 is 0.
func decodeTable(block []byte, table int, opt dirOptions) ([]htreeEntry, error) {
	var count htreeCount
	count.decode(block[table:])
	limit, node := opt.limits()
	if table == htreeNodeTable {
		limit = node
	}
	if int(count.Limit) != limit || count.Count == 0 || count.Count > count.Limit {
		return nil, broken("index of a directory with %d of %d entries, should have room for %d", count.Count, count.Limit, limit)
	}
	entries := make([]htreeEntry, count.Count)
	for i := range entries {
		entries[i].decode(block[table+i*htreeEntrySize:])
	}
	entries[0].Hash = 0
	return entries, nil
}

func checkHtreeSum(block []byte, table int, sum inodeSeed) error {
	entries, err := decodeTable(block, table, dirOptions{checksums: true})
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(block[htreeSumOffset:]) != sum.htree(block, table, len(entries)) {
		return broken("index of a directory with a wrong checksum")
	}
	return nil
}

// htreeCheck looks whether every name of a hashed directory is where lookups
// search for it.
type htreeCheck struct {
	opt    dirOptions
	read   func(block uint32) ([]byte, error) // a block of the directory, good until the next call
	seen   []bool
	hashed bool // by the hash that we know
}

// checkIndex checks the htree of a directory of size blocks. It reads each of them
// once; their checksums are left to read.
func checkIndex(size uint32, opt dirOptions, read func(block uint32) ([]byte, error)) error {
	c := htreeCheck{opt: opt, read: read, seen: make([]bool, size)}
	root, err := c.block(0)
	if err != nil {
		return err
	}
	var info htreeInfo
	info.decode(root[htreeInfoOffset:])
	if htreeTable(root) != htreeRootTable || info.Version > hashTea || info.Levels > htreeMaxLevels {
		return broken("index of a directory with hash %d, %d levels", info.Version, info.Levels)
	}
	c.hashed = info.Version == hashHalfMD4
	entries, err := decodeTable(root, htreeRootTable, opt)
	if err != nil {
		return err
	}
	if err := c.table(entries, int(info.Levels), 0, 1<<32); err != nil {
		return err
	}
	for i, seen := range c.seen {
		if !seen {
			return broken("block %d of a directory is not in its index", i)
		}
	}
	return nil
}

func (c *htreeCheck) block(i uint32) ([]byte, error) {
	if i >= uint32(len(c.seen)) || c.seen[i] {
		return nil, broken("index of a directory with block %d of %d, or with it twice", i, len(c.seen))
	}
	c.seen[i] = true
	return c.read(i)
}

// table checks what entries lead to. All of it has hashes from first on and below
// end; an odd end is part of it.
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
			return broken("index of a directory out of order: %#x to %#x, within %#x to %#x", from, to, first, end)
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
		if htreeTable(block) != htreeNodeTable {
			return broken("block %d of a directory is no node of its index", e.Block)
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
	ents, err := appendDirents(nil, block)
	if err != nil || !c.hashed {
		return err
	}
	for _, d := range ents {
		h := uint64(hashName(d.name, c.opt.hashSeed, c.opt.unsigned).major)
		if h < first&^1 || h >= end {
			return broken("%q has hash %#x and lies among %#x to %#x", d.name, h, first, end)
		}
	}
	return nil
}
