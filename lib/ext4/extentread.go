package ext4

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
