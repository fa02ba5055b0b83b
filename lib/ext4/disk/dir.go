package disk

import (
	"fmt"
	"slices"
	"strings"
)

// Dirent is one name in a directory.
type Dirent struct {
	Name string
	Ino  uint32
	Kind uint8 // KindFile to KindLink
}

// DirOptions are the settings of the superblock for directories, and a buffer.
type DirOptions struct {
	Index     bool             // directories of more than a block are hashed
	HashSeed  [4]uint32        // of the superblock
	Unsigned  bool             // UnsignedHash rather than SignedHash
	Checksums bool             // blocks end in a tail
	Block     *[BlockSize]byte // buffer that DirBlocks may use for a directory of one block; nil: none
}

// space is how many bytes of a block entries may take.
func (o *DirOptions) space() int {
	if o.Checksums {
		return DirTailOffset
	}
	return BlockSize
}

// dirPlan is a directory divided into blocks.
type dirPlan struct {
	opt    DirOptions
	blocks [][]Dirent // entries of each block, without . and ..; in a hashed directory, of each leaf
	hashes []uint32   // hashed directories only: the first hash of each leaf
	nodes  int        // hashed directories only: number of nodes between root and leaves
}

// planDir divides ents, in any order, into blocks.
func planDir(ents []Dirent, opt DirOptions) (*dirPlan, error) {
	for _, d := range ents {
		if len(d.Name) == 0 || len(d.Name) > nameMax {
			return nil, fmt.Errorf("name of %d bytes in a directory, which takes 1 to %d", len(d.Name), nameMax)
		}
	}
	p := &dirPlan{opt: opt}
	if opt.Index && linearSize(ents) > opt.space() {
		return p, p.planIndex(ents)
	}
	sorted := slices.Clone(ents)
	slices.SortFunc(sorted, func(a, b Dirent) int { return strings.Compare(a.Name, b.Name) })
	p.blocks = splitDirents(sorted, 2*DotSize, opt.space())
	return p, nil
}

// linearSize is how many bytes . and .. and ents take.
func linearSize(ents []Dirent) int {
	n := 2 * DotSize
	for _, d := range ents {
		n += direntSize(len(d.Name))
	}
	return n
}

// splitDirents cuts ents into blocks of up to fill bytes. The first block already has taken
// bytes in use.
func splitDirents(ents []Dirent, taken, fill int) (blocks [][]Dirent) {
	from := 0
	for i, d := range ents {
		n := direntSize(len(d.Name))
		if taken+n > fill && taken > 0 {
			blocks = append(blocks, ents[from:i])
			from, taken = i, 0
		}
		taken += n
	}
	return append(blocks, ents[from:])
}

// size is the length of the directory in blocks.
func (p *dirPlan) size() int {
	if p.hashes == nil {
		return len(p.blocks)
	}
	return 1 + p.nodes + len(p.blocks)
}

// encode returns the content of the directory self, with checksums if the file system has
// them.
func (p *dirPlan) encode(self, parent uint32, sum InodeSeed) []byte {
	var b []byte
	if p.opt.Block != nil && p.size() == 1 {
		b = p.opt.Block[:]
		clear(b)
	} else {
		b = make([]byte, p.size()*BlockSize)
	}
	if p.hashes != nil {
		p.encodeIndex(b, self, parent, sum)
		return b
	}
	dots := []Dirent{{".", self, KindDir}, {"..", parent, KindDir}}
	for i, ents := range p.blocks {
		block := b[i*BlockSize:][:BlockSize]
		p.encodeBlock(block, sum, dots, ents)
		dots = nil
	}
	return b
}

// encodeBlock fills block with the entries of lists. The last entry takes the rest of it.
func (p *dirPlan) encodeBlock(block []byte, sum InodeSeed, lists ...[]Dirent) {
	end := p.opt.space()
	head := DirentHead{RecLen: uint16(end)} // for a block without entries
	at, last := 0, 0
	for _, ents := range lists {
		for _, d := range ents {
			n := direntSize(len(d.Name))
			head = DirentHead{Ino: d.Ino, RecLen: uint16(n), NameLen: uint8(len(d.Name)), Kind: d.Kind}
			head.Encode(block[at:])
			copy(block[at+DirentHeadSize:], d.Name)
			at, last = at+n, at
		}
	}
	head.RecLen = uint16(end - last)
	head.Encode(block[last:])
	if p.opt.Checksums {
		encodeDirTail(block, sum.DirLeaf(block))
	}
}

// EmptyDirBlock makes block a block of a directory without entries.
func EmptyDirBlock(block []byte, opt DirOptions, sum InodeSeed) {
	(&dirPlan{opt: opt}).encodeBlock(block, sum)
}

// DirBlocks returns the content of the directory self: whole blocks, with checksums if the
// file system has them. If indexed is true, the inode of the directory needs FlagIndex.
func DirBlocks(self, parent uint32, ents []Dirent, opt DirOptions, sum InodeSeed) (blocks []byte, indexed bool, err error) {
	p, err := planDir(ents, opt)
	if err != nil {
		return nil, false, err
	}
	return p.encode(self, parent, sum), p.hashes != nil, nil
}

// AppendDirents appends to list the entries in a block of a directory, . and .. included.
// The root and nodes of an htree look like blocks with few or no entries, as the format
// intends.
func AppendDirents(list []Dirent, block []byte) ([]Dirent, error) {
	for at := 0; at < len(block); {
		var head DirentHead
		if len(block)-at < DirentHeadSize {
			return nil, Broken("directory entry at byte %d of %d", at, len(block))
		}
		head.Decode(block[at:])
		size, name := head.size(len(block)), int(head.NameLen)
		if size < direntSize(name) || size%direntAlign != 0 || size > len(block)-at {
			return nil, Broken("directory entry of %d bytes with a name of %d at byte %d of %d", size, name, at, len(block))
		}
		if head.Ino != 0 {
			d := Dirent{string(block[at+DirentHeadSize:][:name]), head.Ino, head.Kind}
			if name == 0 || strings.ContainsAny(d.Name, "/\x00") || head.Kind > KindLink {
				return nil, Broken("directory entry %q of kind %d", d.Name, head.Kind)
			}
			list = append(list, d)
		}
		at += size
	}
	return list, nil
}

// CheckDirBlock checks the checksum of a block of a directory; indexed says that the
// directory has an htree.
func CheckDirBlock(block []byte, indexed bool, sum InodeSeed) error {
	if table := HtreeTable(block); indexed && table > 0 {
		return checkHtreeSum(block, table, sum)
	}
	stored, ok := decodeDirTail(block)
	if !ok {
		return Broken("directory block without a checksum")
	}
	if stored != sum.DirLeaf(block) {
		return Broken("directory block with a wrong checksum")
	}
	return nil
}

// DirOptions returns the settings of s for directories.
func (s *Superblock) DirOptions() DirOptions {
	return DirOptions{
		Index: s.Compat&CompatDirIndex != 0, HashSeed: s.HashSeed, Unsigned: s.Flags&UnsignedHash != 0, Checksums: s.HasSums(),
	}
}
