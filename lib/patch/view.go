package patch

import (
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// view is the patched tree: the tree below, and nodes for what was looked at or changed.
// Nothing of the tree below is ever changed.
type view struct {
	root   *node
	groups int                      // groups of nodes that were moved together
	moved  map[inodeKey]*tree.Entry // inodes that were changed after they were moved
	steps  int                      // through targets of symbolic links, less those that each path may take
	walked int                      // names in directories that were moved
}

// node is a name in the patched tree, made when that is looked at. It shows the node low
// of the tree below, but for the inode, if it has one of its own, and for those names in
// it that are among its kids. A node that was moved still shows the low of its old place,
// and so do the nodes in it.
type node struct {
	name  string
	up    *node            // nil: the root, or no longer in the view
	own   *tree.Entry      // its inode, if that is not one of the tree below
	low   *tree.Node       // nil: it was made here
	group int              // of nodes that were moved with it; 0: it is where it was
	kids  map[string]*node // names in it that were looked at or made; nil: one that was taken away

	changed bool // the difference has it
}

// inodeKey names an inode of the tree below in the patched one. The names that it has in
// one group share it there, and are separated from all others.
type inodeKey struct {
	low   *tree.Entry
	group int
}

func newView(lower *tree.Tree) *view {
	return &view{root: &node{name: ".", low: lower.Root()}, moved: make(map[inodeKey]*tree.Entry)}
}

// entry is the inode of n, not to be changed.
func (v *view) entry(n *node) *tree.Entry {
	if n.own != nil {
		return n.own
	}
	if n.group != 0 {
		if e := v.moved[n.key()]; e != nil {
			return e
		}
	}
	return n.low.Entry
}

func (n *node) key() inodeKey { return inodeKey{n.low.Entry, n.group} }

// copyUp is the inode of n, to be changed.
func (v *view) copyUp(n *node) *tree.Entry {
	if n.own != nil {
		return n.own
	}
	if e := v.moved[n.key()]; e != nil { // those of group 0 are never there
		n.own = e
		return e
	}
	e := explicit(n.low.Entry)
	e.Xattrs = slices.Clone(e.Xattrs)
	n.own = e
	if n.group != 0 && e.Type != tree.Dir { // an entry may stand for many directories
		v.moved[n.key()] = e
	}
	return e
}

// explicit is a copy of e as a flat tree shows it.
func explicit(e *tree.Entry) *tree.Entry {
	c := *e
	state(&c)
	return &c
}

// state gives e, if it is a directory that was only implied, the attributes that such
// have in a flat tree.
func state(e *tree.Entry) {
	if e.NoChange {
		e.NoChange, e.Mode = false, 0o755
	}
}

func (v *view) isDir(n *node) bool { return v.entry(n).Type == tree.Dir }

// child is what the directory n holds under name, or nil.
func (n *node) child(name string) *node {
	if c, ok := n.kids[name]; ok {
		return c
	}
	low := n.lowChild(name)
	if low == nil {
		return nil
	}
	c := &node{name: name, up: n, low: low, group: n.group}
	n.set(name, c)
	return c
}

// lowChild is what n would hold under name if that were never changed, or nil.
func (n *node) lowChild(name string) *tree.Node {
	if n.low == nil {
		return nil
	}
	return n.low.Child(name)
}

func (n *node) set(name string, c *node) {
	if n.kids == nil {
		n.kids = make(map[string]*node)
	}
	n.kids[name] = c
}

// detach takes n out of its directory.
func (n *node) detach() {
	if n.up.lowChild(n.name) != nil {
		n.up.set(n.name, nil)
	} else {
		delete(n.up.kids, n.name)
	}
	n.up = nil
}

// attach puts n into the directory dir in place of what has that name.
func (n *node) attach(dir *node, name string) {
	if old := dir.kids[name]; old != nil {
		old.up = nil
	}
	n.up, n.name = dir, strings.Clone(name)
	dir.set(n.name, n)
}

// move makes a new group of the nodes at and below n that are where they were. In a group
// that is all that shows something of the tree below.
func (v *view) move(n *node) {
	v.groups++
	n.regroup(v.groups)
}

func (n *node) regroup(group int) {
	if n.group != 0 {
		return
	}
	n.group = group
	for _, c := range n.kids {
		if c != nil {
			c.regroup(group)
		}
	}
}

// within reports whether n is dir or lies below it.
func (n *node) within(dir *node) bool {
	for ; n != nil; n = n.up {
		if n == dir {
			return true
		}
	}
	return false
}

// path of n, as in a tree.
func (n *node) path() string {
	if n.up == nil {
		return "."
	}
	names := []string{n.name}
	for at := n.up; at.up != nil; at = at.up {
		names = append(names, at.name)
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return strings.Join(names, "/")
}
