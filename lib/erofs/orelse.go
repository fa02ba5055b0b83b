package erofs

import (
	"ocipipe/lib/tree"
)

// A name may be bound to a file of the layers below if they have it, and else to an inode
// of its own layer. In the image such a name has an inode of its own: an empty file, whose
// marks have the paths to look for in the layers below, and the path of the inode of its
// own layer. If that inode has no other name, it has the marks itself.

// placeElse gives each such name in t its item.
func (p *plan) placeElse(t *tree.Tree) {
	paths := make(map[*tree.Entry]string) // of the inodes that such names may have
	eachName(t.Root(), "", func(n *tree.Node, _ string) {
		if inode := n.Entry.Inode(); inode != n.Entry {
			paths[inode] = ""
		}
	})
	eachName(t.Root(), "", func(n *tree.Node, path string) {
		if first, ok := paths[n.Entry]; ok && first == "" {
			paths[n.Entry] = path
		}
	})
	eachName(t.Root(), "", func(n *tree.Node, path string) {
		inode := n.Entry.Inode()
		if inode == n.Entry {
			return
		}
		lower := n.Entry.Lower
		if p.check {
			lower = new(tree.Lower)
		}
		*lower = tree.Lower{Targets: n.Entry.Lower.Targets, Else: true}
		if first := paths[inode]; first != "" {
			it := p.table.Of(n.Entry)
			it.entry = n.Entry // the entry of the name, which needs only the type from here on
			if p.check || inode.Type != tree.File {
				it.entry = new(tree.Entry)
			}
			*it.entry = tree.Entry{Type: tree.File, Mode: 0o644, Time: p.implied, Hardlink: first, Lower: lower, Nlink: n.Entry.Nlink}
			return
		}
		it := p.table.Of(inode)
		it.entry = inode
		p.table.Share(n.Entry, inode)
		paths[inode], inode.Lower = path, lower
	})
}

// eachName calls fn for all nodes below n, in canonical order.
func eachName(n *tree.Node, dir string, fn func(n *tree.Node, path string)) {
	for _, c := range n.SortedChildren() {
		path := dir + c.Name()
		fn(c, path)
		if c.Entry.Type == tree.Dir {
			eachName(c, path+"/", fn)
		}
	}
}
