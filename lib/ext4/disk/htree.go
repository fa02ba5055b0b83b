package disk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Leaves and nodes are filled to four fifths, as e2fsck -D does, so that the first new
// names do not split them. They are filled completely only if the directory would be too
// large for its index otherwise.
const (
	htreeFillNum = 4
	htreeFillDen = 5
)

// limits returns how many entries the tables of the root and of a node have room for, in
// blocks of size bytes: 507 and 510 with checksums and 4096 bytes.
func (o *DirOptions) limits(size int) (root, node int) {
	if o.Checksums {
		size -= htreeTailSize
	}
	return (size - HtreeRootTable) / HtreeEntrySize, (size - htreeNodeTable) / HtreeEntrySize
}

// nodes is how many nodes an htree needs between its root and the given number of leaves;
// ok is false if it has no room for so many leaves.
func (o *DirOptions) nodes(leaves int) (n int, ok bool) {
	root, node := o.limits(BlockSize)
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
	NameHash
	Dirent
}

// planIndex divides ents into the leaves of an htree, in the order of their hashes.
func (p *dirPlan) planIndex(ents []Dirent) error {
	hashed := make([]hashedDirent, len(ents))
	for i, d := range ents {
		hashed[i] = hashedDirent{HashName(d.Name, p.opt.HashSeed, p.opt.Unsigned), d}
	}
	slices.SortFunc(hashed, func(a, b hashedDirent) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor), strings.Compare(a.Name, b.Name))
	})
	sorted := make([]Dirent, len(ents))
	for i := range hashed {
		sorted[i] = hashed[i].Dirent
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
		first := hashed[at].Major
		if at > 0 && hashed[at-1].Major == first {
			first |= 1 // the previous leaf has names with this hash, too
		}
		p.hashes = append(p.hashes, first)
		at += len(leaf)
	}
	return nil
}

// encodeIndex writes the blocks of an htree to b: the root, the nodes if it has any, the
// leaves.
func (p *dirPlan) encodeIndex(b []byte, self, parent uint32, sum InodeSeed) {
	table := make([]htreeEntry, len(p.blocks))
	for i, ents := range p.blocks {
		at := 1 + p.nodes + i
		p.encodeBlock(b[at*BlockSize:][:BlockSize], sum, ents)
		table[i] = htreeEntry{p.hashes[i], uint32(at)}
	}
	rootLimit, nodeLimit := p.opt.limits(BlockSize)
	var levels uint8
	if p.nodes > 0 {
		var top []htreeEntry
		for i := range p.nodes {
			from, to := i*len(table)/p.nodes, (i+1)*len(table)/p.nodes
			node := b[(1+i)*BlockSize:][:BlockSize]
			(&DirentHead{RecLen: BlockSize}).Encode(node)
			p.encodeTable(node, htreeNodeTable, nodeLimit, table[from:to], sum)
			top = append(top, htreeEntry{table[from].Hash, uint32(1 + i)})
		}
		table, levels = top, 1
	}
	encodeDots(b, self, parent)
	info := htreeInfo{Version: HashHalfMD4, Length: htreeInfoSize, Levels: levels}
	info.Encode(b[HtreeInfoOffset:])
	p.encodeTable(b[:BlockSize], HtreeRootTable, rootLimit, table, sum)
}

// encodeDots writes the entries . and .. of the root of an htree. The second takes the rest
// of the block.
func encodeDots(b []byte, self, parent uint32) {
	(&DirentHead{Ino: self, RecLen: DotSize, NameLen: 1, Kind: KindDir}).Encode(b)
	copy(b[DirentHeadSize:], ".")
	(&DirentHead{Ino: parent, RecLen: BlockSize - DotSize, NameLen: 2, Kind: KindDir}).Encode(b[DotSize:])
	copy(b[DotSize+DirentHeadSize:], "..")
}

// encodeTable writes entries to the table at byte table of block, and seals the block.
func (p *dirPlan) encodeTable(block []byte, table, limit int, entries []htreeEntry, sum InodeSeed) {
	for i := range entries {
		entries[i].Encode(block[table+i*HtreeEntrySize:])
	}
	count := htreeCount{Limit: uint16(limit), Count: uint16(len(entries))}
	count.Encode(block[table:])
	if p.opt.Checksums {
		binary.LittleEndian.PutUint32(block[HtreeSumOffset:], sum.Htree(block, table, len(entries)))
	}
}
