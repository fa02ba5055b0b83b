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
