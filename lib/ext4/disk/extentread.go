package disk

// ExtentReader reads an extent tree. It checks that extents are sorted and do not overlap,
// so no node can come twice, and the walk ends.
type ExtentReader struct {
	// Read returns a node of the tree, a whole block, which stays valid until the walk
	// ends. It checks the address and the checksum.
	Read func(block uint64) ([]byte, error)
	// Visit is called for each extent in order. unwritten says that the blocks of the
	// extent were reserved, but never written.
	Visit func(r Run, unwritten bool) error

	end uint64 // of the last extent, in the file
}

// Walk reads the tree whose root is i_block, and calls Visit for its extents.
func (w *ExtentReader) Walk(root []byte) error {
	var head ExtentHead
	head.Decode(root)
	if head.Depth > extentMaxDepth {
		return Broken("extent tree of depth %d", head.Depth)
	}
	return w.node(root, ExtentRootMax, head.Depth, span{end: ExtentMaxLogical})
}

// span is the range of blocks of the file that a node may cover. A node in a block begins
// where the entry that leads to it says (ext4_valid_extent_entries); the root may begin
// anywhere.
type span struct {
	start, end uint64
	exact      bool
}

func (s span) holds(first bool, start, end uint64) bool {
	return start >= s.start && start < end && end <= s.end && (start == s.start || !s.exact || !first)
}

func (w *ExtentReader) node(b []byte, limit, depth uint16, in span) error {
	var head ExtentHead
	head.Decode(b)
	switch {
	case head.Magic != ExtentMagic:
		return Broken("extent node with the magic number %#04x", head.Magic)
	case head.Depth != depth:
		return Broken("extent node of depth %d where %d is expected", head.Depth, depth)
	case head.Max == 0 || head.Max > limit || head.Entries > head.Max:
		return Broken("extent node with %d of %d entries", head.Entries, head.Max)
	case head.Entries == 0 && (depth > 0 || in.exact):
		return Broken("extent node without entries")
	}
	b = b[ExtentHeadSize:][:int(head.Entries)*ExtentSize]
	if depth == 0 {
		return w.leaf(b, in)
	}
	return w.index(b, depth, in)
}

func (w *ExtentReader) leaf(b []byte, in span) error {
	for i := 0; i < len(b); i += ExtentSize {
		var x ExtentLeaf
		x.Decode(b[i:])
		n, unwritten := x.blocks()
		r := Run{x.Logical, n, x.Physical}
		if start := uint64(r.Logical); start < w.end || !in.holds(i == 0, start, r.End()) {
			return Broken("extent of %d blocks at block %d of the file, in a node for %d to %d", n, start, in.start, in.end)
		}
		w.end = r.End()
		if err := w.Visit(r, unwritten); err != nil {
			return err
		}
	}
	return nil
}

func (w *ExtentReader) index(b []byte, depth uint16, in span) error {
	for i := 0; i < len(b); i += ExtentSize {
		var x, next ExtentIndex
		x.Decode(b[i:])
		below := span{start: uint64(x.Logical), end: in.end, exact: true}
		if i+ExtentSize < len(b) {
			next.Decode(b[i+ExtentSize:])
			below.end = uint64(next.Logical)
		}
		if below.start < w.end || !in.holds(i == 0, below.start, below.end) {
			return Broken("extent node for blocks %d to %d of the file, in one for %d to %d", below.start, below.end, in.start, in.end)
		}
		node, err := w.Read(x.Child)
		if err != nil {
			return err
		}
		if err := w.node(node, uint16(extentMax(len(node))), depth-1, below); err != nil {
			return err
		}
	}
	return nil
}
