package disk

import "encoding/binary"

// Block maps are how ext2 and ext3 place files: i_block of an inode without FlagExtents has
// the numbers of the first blocks of the file, then that of a block with more numbers, then
// those of a tree of two levels and of one of three (ext4_block_to_path). A number is 0
// where the file has a hole.
const (
	mapDirect = 12
	mapLevels = 3
)

// MapReader reads a block map.
type MapReader struct {
	// Read returns a block of numbers, which stays valid until the walk ends. It checks the
	// address, and should refuse a block that it has returned before, because nothing else
	// keeps a map from using one block over and over.
	Read func(block uint64) ([]byte, error)
	// Visit is called for each run of blocks in order.
	Visit func(r Run) error

	next Run // to be visited
}

// Walk reads the map root, which is i_block, of a file with blocks of size bytes.
func (w *MapReader) Walk(root []byte, size int) error {
	if err := w.list(root[:mapDirect*PointerSize], 0); err != nil {
		return err
	}
	first, span := uint64(mapDirect), uint64(1)
	for level := 1; level <= mapLevels; level++ {
		span *= uint64(size / PointerSize)
		at := binary.LittleEndian.Uint32(root[(mapDirect+level-1)*PointerSize:])
		if err := w.below(at, level, first, span); err != nil {
			return err
		}
		first += span
	}
	return w.flush()
}

// below reads the block of numbers at, the root of a tree of some levels for the span blocks
// of the file from first on.
func (w *MapReader) below(at uint32, levels int, first, span uint64) error {
	if at == 0 {
		return nil
	}
	b, err := w.Read(uint64(at))
	if err != nil {
		return err
	}
	if levels == 1 {
		return w.list(b, first)
	}
	span /= uint64(len(b) / PointerSize)
	for ; len(b) > 0; b = b[PointerSize:] {
		if err := w.below(binary.LittleEndian.Uint32(b), levels-1, first, span); err != nil {
			return err
		}
		first += span
	}
	return nil
}

// list adds the blocks in a list of numbers, of which the first is for block first of the
// file.
func (w *MapReader) list(b []byte, first uint64) error {
	for ; len(b) > 0; b, first = b[PointerSize:], first+1 {
		at := uint64(binary.LittleEndian.Uint32(b))
		switch {
		case at == 0:
			continue
		case first >= ExtentMaxLogical:
			return Broken("block map with block %d of a file", first)
		case w.next.Blocks > 0 && w.next.End() == first && w.next.Physical+uint64(w.next.Blocks) == at:
			w.next.Blocks++
			continue
		}
		if err := w.flush(); err != nil {
			return err
		}
		w.next = Run{Logical: uint32(first), Blocks: 1, Physical: at}
	}
	return nil
}

// flush visits the run that was found last.
func (w *MapReader) flush() error {
	if w.next.Blocks == 0 {
		return nil
	}
	r := w.next
	w.next = Run{}
	return w.Visit(r)
}
