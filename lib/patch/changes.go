package patch

import (
	"iter"
	"slices"

	"ocipipe/lib/tree"
)

// Change is a path at which the patched tree differs from the lower tree.
type Change struct {
	Path string
	Old  *tree.Entry // in the lower tree; nil: nothing
	New  *tree.Entry // in the patched tree; nil: nothing
}

// Changes yields each path whose inode differs, in canonical order, including the paths in
// directories that were removed or replaced. Entries have paths, but no Hardlink. Changes
// does not compare contents: it yields every regular file that was made or moved.
func (r *Result) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		root := r.view.root
		r.compare(item{name: ".", node: root, low: root.low}, root.low, nil, yield)
	}
}

// compare yields the changes at and below one name in the directory dir: it is the name in
// the patched tree, or has no name if there is none; below is the node in the lower tree,
// or nil. compare returns false if yield did.
func (r *Result) compare(it item, below *tree.Node, dir *tree.Place, yield func(Change) bool) bool {
	if it.node == nil && it.low == below && it.group == 0 {
		return true // unchanged
	}
	name := it.name
	if name == "" {
		name = below.Name()
	}
	at := dir
	if name != "." {
		at = dir.Join(name)
	}
	old, now := r.sides(it, below, at.String())
	if !r.same(it, below, old, now) && !yield(Change{at.String(), old, now}) {
		return false
	}
	return r.compareChildren(it, below, at, yield)
}

func (r *Result) sides(it item, below *tree.Node, path string) (old, now *tree.Entry) {
	if below != nil {
		old = explicit(below.Entry)
		old.Path = path
	}
	if it.name != "" {
		e, _ := r.view.entryOf(it)
		now = explicit(e)
		now.Path = path
	}
	return old, now
}

// same reports whether now, the entry of it, is equal to old, the entry of below.
func (r *Result) same(it item, below *tree.Node, old, now *tree.Entry) bool {
	if old == nil || now == nil {
		return false
	}
	moved := it.low != below || it.group != 0
	if moved && now.Type != tree.Dir && now.Type != tree.Link {
		return false
	}
	return old.Type == now.Type && old.Mode == now.Mode && old.UID == now.UID && old.GID == now.GID && old.Time == now.Time &&
		old.Link == now.Link && old.Dev == now.Dev && old.Size == now.Size && slices.Equal(old.Xattrs, now.Xattrs)
}

func (r *Result) compareChildren(it item, below *tree.Node, at *tree.Place, yield func(Change) bool) bool {
	var items []item
	if it.name != "" && r.isDir(it) {
		items = r.view.all(it)
	}
	var nodes []*tree.Node
	if below != nil {
		nodes = below.Children()
	}
	for len(items) > 0 || len(nodes) > 0 {
		var c item
		var b *tree.Node
		if len(items) > 0 && (len(nodes) == 0 || items[0].name <= nodes[0].Name()) {
			c = items[0]
		}
		if len(nodes) > 0 && (len(items) == 0 || nodes[0].Name() <= items[0].name) {
			b = nodes[0]
		}
		if c.name != "" {
			items = items[1:]
		}
		if b != nil {
			nodes = nodes[1:]
		}
		if !r.compare(c, b, at, yield) {
			return false
		}
	}
	return true
}
