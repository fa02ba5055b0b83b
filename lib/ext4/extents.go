package ext4

import (
	"encoding/binary"
	"fmt"
)

// run is part of a file that lies in one piece: blocks of the disk from physical
// on hold those of the file from logical on. It may be longer than an extent.
type run struct {
	logical  uint32
	blocks   uint32
	physical uint64
}

func (r run) end() uint64 { return uint64(r.logical) + uint64(r.blocks) }

// extentCount is how many extents runs become.
func extentCount(runs []run) int {
	n := 0
	for _, r := range runs {
		n += int((uint64(r.blocks) + extentMaxBlocks - 1) / extentMaxBlocks)
	}
	return n
}

// extentTreeBlocks is how many blocks extentTree uses for the tree itself.
func extentTreeBlocks(runs []run) int {
	used := 0
	for n := extentCount(runs); n > extentRootMax; {
		n = (n + extentBlockMax - 1) / extentBlockMax
		used += n
	}
	return used
}

// extentTree writes the tree of runs, which are sorted and do not overlap: its
// root to root, every other node by emit to a block that take gives. It returns
// how many blocks those are. Nodes are filled from the leaves up.
func extentTree(root *[60]byte, runs []run, sum inodeSeed, take func() (uint64, error), emit func(block uint64, data []byte) error) (used int, err error) {
	entries, starts, err := extentLeaves(runs)
	if err != nil {
		return 0, err
	}
	for depth := 0; ; depth++ {
		if len(starts) <= extentRootMax {
			encodeExtentNode(root[:], entries, depth, extentRootMax)
			return used, nil
		}
		var above []byte
		var aboveStarts []uint32
		for len(starts) > 0 {
			n := min(len(starts), extentBlockMax)
			block, err := take()
			if err != nil {
				return used, err
			}
			node := make([]byte, blockSize)
			encodeExtentNode(node, entries[:n*extentSize], depth, extentBlockMax)
			binary.LittleEndian.PutUint32(node[extentSumOffset:], sum.extentBlock(node))
			if err := emit(block, node); err != nil {
				return used, err
			}
			used++
			above = append(above, make([]byte, extentSize)...)
			(&extentIndex{starts[0], block}).encode(above[len(above)-extentSize:])
			aboveStarts = append(aboveStarts, starts[0])
			entries, starts = entries[n*extentSize:], starts[n:]
		}
		entries, starts = above, aboveStarts
	}
}

// extentLeaves encodes runs as entries of leaves and lists where these start.
func extentLeaves(runs []run) (entries []byte, starts []uint32, err error) {
	n := extentCount(runs)
	entries, starts = make([]byte, 0, n*extentSize), make([]uint32, 0, n)
	end := uint64(0)
	for _, r := range runs {
		if uint64(r.logical) < end || r.blocks == 0 || r.end() > extentMaxLogical {
			return nil, nil, fmt.Errorf("%d blocks of a file at block %d, behind block %d: out of order or out of range", r.blocks, r.logical, end)
		}
		end = r.end()
		for r.blocks > 0 {
			n := min(r.blocks, extentMaxBlocks)
			entries = append(entries, make([]byte, extentSize)...)
			(&extentLeaf{r.logical, uint16(n), r.physical}).encode(entries[len(entries)-extentSize:])
			starts = append(starts, r.logical)
			r.logical, r.blocks, r.physical = r.logical+n, r.blocks-n, r.physical+uint64(n)
		}
	}
	return entries, starts, nil
}

// encodeExtentNode writes a node that has entries and room for limit.
func encodeExtentNode(b, entries []byte, depth, limit int) {
	clear(b)
	head := extentHead{Magic: extentMagic, Entries: uint16(len(entries) / extentSize), Max: uint16(limit), Depth: uint16(depth)}
	head.encode(b)
	copy(b[extentHeadSize:], entries)
}

// broken describes something that was read and cannot be; the caller knows where
// it came from.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// extentWalk reads an extent tree. What it accepts is sorted, without overlaps and
// not larger than what read hands out: no node can be met twice.
type extentWalk struct {
	// read returns a node of the tree, a whole block, that is good until the walk ends;
	// it checks address and checksum.
	read func(block uint64) ([]byte, error)
	// visit is told of each extent in order, also of those that were never written.
	visit func(r run, unwritten bool) error

	end uint64 // of the last extent, in the file
}

// walk reads the tree below the root in i_block.
func (w *extentWalk) walk(root []byte) error {
	var head extentHead
	head.decode(root)
	if head.Depth > extentMaxDepth {
		return broken("extent tree of depth %d", head.Depth)
	}
	return w.node(root, extentRootMax, head.Depth, span{end: extentMaxLogical})
}

// span is what a node may cover of the file. A node in a block begins where the
// entry above it says (ext4_valid_extent_entries); the root begins anywhere.
type span struct {
	start, end uint64
	exact      bool
}

func (s span) holds(first bool, start, end uint64) bool {
	return start >= s.start && start < end && end <= s.end && (start == s.start || !s.exact || !first)
}

func (w *extentWalk) node(b []byte, limit, depth uint16, in span) error {
	var head extentHead
	head.decode(b)
	switch {
	case head.Magic != extentMagic:
		return broken("extent node with the magic number %#04x", head.Magic)
	case head.Depth != depth:
		return broken("extent node of depth %d where %d is expected", head.Depth, depth)
	case head.Max == 0 || head.Max > limit || head.Entries > head.Max:
		return broken("extent node with %d of %d entries", head.Entries, head.Max)
	case head.Entries == 0 && (depth > 0 || in.exact):
		return broken("extent node without entries")
	}
	b = b[extentHeadSize:][:int(head.Entries)*extentSize]
	if depth == 0 {
		return w.leaf(b, in)
	}
	return w.index(b, depth, in)
}

func (w *extentWalk) leaf(b []byte, in span) error {
	for i := 0; i < len(b); i += extentSize {
		var x extentLeaf
		x.decode(b[i:])
		n, unwritten := x.blocks()
		r := run{x.Logical, n, x.Physical}
		if start := uint64(r.logical); start < w.end || !in.holds(i == 0, start, r.end()) {
			return broken("extent of %d blocks at block %d of the file, in a node for %d to %d", n, start, in.start, in.end)
		}
		w.end = r.end()
		if err := w.visit(r, unwritten); err != nil {
			return err
		}
	}
	return nil
}

func (w *extentWalk) index(b []byte, depth uint16, in span) error {
	for i := 0; i < len(b); i += extentSize {
		var x, next extentIndex
		x.decode(b[i:])
		below := span{start: uint64(x.Logical), end: in.end, exact: true}
		if i+extentSize < len(b) {
			next.decode(b[i+extentSize:])
			below.end = uint64(next.Logical)
		}
		if below.start < w.end || !in.holds(i == 0, below.start, below.end) {
			return broken("extent node for blocks %d to %d of the file, in one for %d to %d", below.start, below.end, in.start, in.end)
		}
		node, err := w.read(x.Child)
		if err != nil {
			return err
		}
		if err := w.node(node, extentBlockMax, depth-1, below); err != nil {
			return err
		}
	}
	return nil
}
