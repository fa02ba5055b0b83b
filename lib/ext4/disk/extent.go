package disk

import (
	"encoding/binary"
	"fmt"
)

// Run is a part of a file in consecutive blocks: the blocks of the disk from Physical on
// hold those of the file from Logical on. It may be longer than an extent can be.
type Run struct {
	Logical  uint32
	Blocks   uint32
	Physical uint64
}

// End is the first block of the file after r.
func (r Run) End() uint64 { return uint64(r.Logical) + uint64(r.Blocks) }

// Offset is where r begins in the file, in bytes, with blocks of the given length.
func (r Run) Offset(block int64) int64 { return int64(r.Logical) * block }

// DiskOffset is where r begins on the disk, in bytes, with blocks of the given length.
func (r Run) DiskOffset(block int64) int64 { return int64(r.Physical) * block }

// Bytes is how many bytes of a file of size bytes r holds, with blocks of the given length.
func (r Run) Bytes(block, size int64) int64 {
	return min(int64(r.Blocks)*block, size-r.Offset(block))
}

// ExtentCount is how many extents it takes to store runs.
func ExtentCount(runs []Run) int {
	n := 0
	for _, r := range runs {
		n += int((uint64(r.Blocks) + extentMaxBlocks - 1) / extentMaxBlocks)
	}
	return n
}

// ExtentTreeBlocks is how many blocks the nodes of ExtentTree take, without the root.
func ExtentTreeBlocks(runs []Run) int {
	used := 0
	for n := ExtentCount(runs); n > ExtentRootMax; {
		n = (n + extentBlockMax - 1) / extentBlockMax
		used += n
	}
	return used
}

// ExtentTree builds the extent tree of runs, which are sorted and do not overlap, from the
// leaves up. It writes the root to root. For every other node it calls take, which returns
// a free block, and emit, which writes the node there. It returns how many blocks it took.
func ExtentTree(root *[60]byte, runs []Run, sum InodeSeed, take func() (uint64, error), emit func(block uint64, data []byte) error) (used int, err error) {
	entries, starts, err := extentLeaves(runs)
	if err != nil {
		return 0, err
	}
	for depth := 0; ; depth++ {
		if len(starts) <= ExtentRootMax {
			encodeExtentNode(root[:], entries, depth, ExtentRootMax)
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
			node := make([]byte, BlockSize)
			encodeExtentNode(node, entries[:n*ExtentSize], depth, extentBlockMax)
			binary.LittleEndian.PutUint32(node[ExtentSumOffset:], sum.ExtentBlock(node))
			if err := emit(block, node); err != nil {
				return used, err
			}
			used++
			above = append(above, make([]byte, ExtentSize)...)
			(&ExtentIndex{starts[0], block}).Encode(above[len(above)-ExtentSize:])
			aboveStarts = append(aboveStarts, starts[0])
			entries, starts = entries[n*ExtentSize:], starts[n:]
		}
		entries, starts = above, aboveStarts
	}
}

// extentLeaves encodes runs as entries of leaves. starts has the first block of the file
// of each entry.
func extentLeaves(runs []Run) (entries []byte, starts []uint32, err error) {
	n := ExtentCount(runs)
	entries, starts = make([]byte, 0, n*ExtentSize), make([]uint32, 0, n)
	end := uint64(0)
	for _, r := range runs {
		if uint64(r.Logical) < end || r.Blocks == 0 || r.End() > ExtentMaxLogical {
			return nil, nil, fmt.Errorf("%d blocks of a file at block %d, after block %d: out of order or out of range", r.Blocks, r.Logical, end)
		}
		end = r.End()
		for r.Blocks > 0 {
			n := min(r.Blocks, extentMaxBlocks)
			entries = append(entries, make([]byte, ExtentSize)...)
			(&ExtentLeaf{r.Logical, uint16(n), r.Physical}).Encode(entries[len(entries)-ExtentSize:])
			starts = append(starts, r.Logical)
			r.Logical, r.Blocks, r.Physical = r.Logical+n, r.Blocks-n, r.Physical+uint64(n)
		}
	}
	return entries, starts, nil
}

// encodeExtentNode writes a node with entries, and room for limit of them, to b.
func encodeExtentNode(b, entries []byte, depth, limit int) {
	clear(b)
	head := ExtentHead{Magic: ExtentMagic, Entries: uint16(len(entries) / ExtentSize), Max: uint16(limit), Depth: uint16(depth)}
	head.Encode(b)
	copy(b[ExtentHeadSize:], entries)
}
