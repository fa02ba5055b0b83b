package patch

import (
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// view is the patched tree: the lower tree, which never changes, and nodes for names that
// were looked up or changed.
type view struct {
	root   *node
	groups int                      // number of groups of nodes that were moved together
	moved  map[inodeKey]*tree.Entry // inodes that were changed after they were moved
	steps  int                      // through targets of symbolic links, less those that each path may take
	walked int                      // names in directories that were moved
}

// node is a name in the patched tree. It is made when the name is first looked up. It shows
// the node low of the lower tree, except for the inode if own is set, and for the names
// in kids. A node that was moved still shows the low of its old place, and so do the
// nodes in it.
type node struct {
	name  string
	up    *node            // its directory; nil: it is the root, or no longer in the view
	own   *tree.Entry      // its inode, if that is not one of the lower tree
	low   *tree.Node       // nil: an operation made it
	group int              // number of the group with which it was moved; 0: it was not moved
	kids  map[string]*node // names in it that were looked up, made, or (with a nil node) removed

	changed bool // the difference has it
}

// inodeKey identifies an inode of the lower tree in the patched tree. The names of the
// inode in one group share it, and are separated from its names in other groups.
type inodeKey struct {
	low   *tree.Entry
	group int
}

func newView(lower *tree.Tree) *view {
	return &view{root: &node{name: ".", low: lower.Root()}, moved: make(map[inodeKey]*tree.Entry)}
}

// entry returns the inode of n. The caller must not change it.
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

// copyUp returns the inode of n for a change. It copies an inode of the lower tree first.
func (v *view) copyUp(n *node) *tree.Entry {
	if n.own != nil {
		return n.own
	}
	if e := v.moved[n.key()]; e != nil { // never one of group 0
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

// explicit returns a copy of e as a flat tree shows it.
func explicit(e *tree.Entry) *tree.Entry {
	c := *e
	setImplied(&c)
	return &c
}

// setImplied gives e, if it is a directory that is only implied, the attributes that it has
// in a flat tree.
func setImplied(e *tree.Entry) {
	if e.NoChange {
		e.NoChange, e.Mode = false, 0o755
	}
}

func (v *view) isDir(n *node) bool { return v.entry(n).Type == tree.Dir }

// child returns name in the directory n, or nil.
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

// lowChild returns name in the low node of n, or nil.
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

// detach removes n from its directory.
func (n *node) detach() {
	if n.up.lowChild(n.name) != nil {
		n.up.set(n.name, nil)
	} else {
		delete(n.up.kids, n.name)
	}
	n.up = nil
}

// attach puts n into the directory dir as name, in place of a node with that name.
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

// within reports whether n is dir or below it.
func (n *node) within(dir *node) bool {
	for ; n != nil; n = n.up {
		if n == dir {
			return true
		}
	}
	return false
}

// path is the path of n, as in tree.Entry.
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
