package ext4

import (
	"fmt"
	"slices"
	"strings"
)

// dirent is one name in a directory.
type dirent struct {
	name string
	ino  uint32
	kind uint8 // kindFile to kindLink
}

// dirOptions are what the superblock says about directories, and where to put one.
type dirOptions struct {
	index     bool             // those of more than a block are hashed
	hashSeed  [4]uint32        // HashSeed
	unsigned  bool             // unsignedHash rather than signedHash
	checksums bool             // blocks end in a tail
	block     *[blockSize]byte // for the content of a directory of one block; nil: a new one
}

// space is how much of a block entries may take.
func (o *dirOptions) space() int {
	if o.checksums {
		return dirTailOffset
	}
	return blockSize
}

// dirPlan is a directory divided into blocks.
type dirPlan struct {
	opt    dirOptions
	blocks [][]dirent // of a linear directory the blocks, without . and ..; of a hashed one the leaves
	hashes []uint32   // of a hashed one: where each leaf begins
	nodes  int        // of a hashed one: between root and leaves
}

// planDir divides ents, in any order, into blocks.
func planDir(ents []dirent, opt dirOptions) (*dirPlan, error) {
	for _, d := range ents {
		if len(d.name) == 0 || len(d.name) > nameMax {
			return nil, fmt.Errorf("name of %d bytes in a directory, which takes 1 to %d", len(d.name), nameMax)
		}
	}
	p := &dirPlan{opt: opt}
	if opt.index && linearSize(ents) > opt.space() {
		return p, p.planIndex(ents)
	}
	sorted := slices.Clone(ents)
	slices.SortFunc(sorted, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	p.blocks = splitDirents(sorted, 2*dotSize, opt.space())
	return p, nil
}

// linearSize is what . and .. and ents take.
func linearSize(ents []dirent) int {
	n := 2 * dotSize
	for _, d := range ents {
		n += direntSize(len(d.name))
	}
	return n
}

// splitDirents cuts ents into blocks filled up to fill, the first of which has
// taken bytes in use.
func splitDirents(ents []dirent, taken, fill int) (blocks [][]dirent) {
	from := 0
	for i, d := range ents {
		n := direntSize(len(d.name))
		if taken+n > fill && taken > 0 {
			blocks = append(blocks, ents[from:i])
			from, taken = i, 0
		}
		taken += n
	}
	return append(blocks, ents[from:])
}

// size is the number of blocks of the directory.
func (p *dirPlan) size() int {
	if p.hashes == nil {
		return len(p.blocks)
	}
	return 1 + p.nodes + len(p.blocks)
}

// encode returns the content of directory self, sealed where there are checksums.
func (p *dirPlan) encode(self, parent uint32, sum inodeSeed) []byte {
	var b []byte
	if p.opt.block != nil && p.size() == 1 {
		b = p.opt.block[:]
		clear(b)
	} else {
		b = make([]byte, p.size()*blockSize)
	}
	if p.hashes != nil {
		p.encodeIndex(b, self, parent, sum)
		return b
	}
	dots := []dirent{{".", self, kindDir}, {"..", parent, kindDir}}
	for i, ents := range p.blocks {
		block := b[i*blockSize:][:blockSize]
		p.encodeBlock(block, sum, dots, ents)
		dots = nil
	}
	return b
}

// encodeBlock fills block with the entries, the last of which takes what is left.
func (p *dirPlan) encodeBlock(block []byte, sum inodeSeed, lists ...[]dirent) {
	end := p.opt.space()
	head := direntHead{RecLen: uint16(end)} // of a block without entries
	at, last := 0, 0
	for _, ents := range lists {
		for _, d := range ents {
			n := direntSize(len(d.name))
			head = direntHead{Ino: d.ino, RecLen: uint16(n), NameLen: uint8(len(d.name)), Kind: d.kind}
			head.encode(block[at:])
			copy(block[at+direntHeadSize:], d.name)
			at, last = at+n, at
		}
	}
	head.RecLen = uint16(end - last)
	head.encode(block[last:])
	if p.opt.checksums {
		encodeDirTail(block, sum.dirLeaf(block))
	}
}

// dirBlocks is the content of directory self, whole blocks, sealed. indexed says
// that its inode needs flagIndex.
func dirBlocks(self, parent uint32, ents []dirent, opt dirOptions, sum inodeSeed) (blocks []byte, indexed bool, err error) {
	p, err := planDir(ents, opt)
	if err != nil {
		return nil, false, err
	}
	return p.encode(self, parent, sum), p.hashes != nil, nil
}

// appendDirents appends to list what is in a block of a directory, . and ..
// included. In the eyes of this function the root and nodes of an htree are blocks
// with much unused space, as the kernel meant them to be.
func appendDirents(list []dirent, block []byte) ([]dirent, error) {
	for at := 0; at < len(block); {
		var head direntHead
		if len(block)-at < direntHeadSize {
			return nil, broken("directory entry at byte %d of %d", at, len(block))
		}
		head.decode(block[at:])
		size, name := int(head.RecLen), int(head.NameLen)
		if size < direntSize(name) || size%direntAlign != 0 || size > len(block)-at {
			return nil, broken("directory entry of %d bytes with a name of %d at byte %d of %d", size, name, at, len(block))
		}
		if head.Ino != 0 {
			d := dirent{string(block[at+direntHeadSize:][:name]), head.Ino, head.Kind}
			if name == 0 || strings.ContainsAny(d.name, "/\x00") || head.Kind > kindLink {
				return nil, broken("directory entry %q of kind %d", d.name, head.Kind)
			}
			list = append(list, d)
		}
		at += size
	}
	return list, nil
}

// checkDirBlock checks the checksum of a block, of which indexed says that it is
// one of a directory with an htree.
func checkDirBlock(block []byte, indexed bool, sum inodeSeed) error {
	if table := htreeTable(block); indexed && table > 0 {
		return checkHtreeSum(block, table, sum)
	}
	stored, ok := decodeDirTail(block)
	if !ok {
		return broken("directory block without a checksum")
	}
	if stored != sum.dirLeaf(block) {
		return broken("directory block with a wrong checksum")
	}
	return nil
}
