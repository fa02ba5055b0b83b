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

// at is where r begins in the file, and on the disk; length how long it is in a
// file of size bytes.
func (r run) at() int64 { return int64(r.logical) * blockSize }

func (r run) disk() int64 { return int64(r.physical) * blockSize }

func (r run) length(size int64) int64 {
	return min(int64(r.blocks)*blockSize, size-r.at())
}
