package patch

import (
	"iter"
	"slices"

	"ocipipe/lib/tree"
)

// Change is a path at which the patched tree differs from the one below.
type Change struct {
	Path string
	Old  *tree.Entry // nil: there was nothing
	New  *tree.Entry // nil: there is nothing
}

// Changes yields, in canonical order, each path whose inode is not what it was: also
// those in a directory that was removed or replaced. Entries have paths, but not of
// hard links. Contents are not read: a file that was made or moved is another one.
func (r *Result) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		root := r.view.root
		r.compare(item{name: ".", node: root, low: root.low}, root.low, nil, yield)
	}
}

// compare yields the changes at and below a name in the directory dir: at it, unless
// that has no name, and below, unless that is nil.
func (r *Result) compare(it item, below *tree.Node, dir *tree.Place, yield func(Change) bool) bool {
	if it.node == nil && it.low == below && it.group == 0 {
		return true // not even looked at
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

// same reports whether new, the entry of it, says the same as old, the one below.
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
