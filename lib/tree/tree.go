package tree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tree is a tree of files in memory: names and attributes, and contents by
// reference.
type Tree struct {
	root    *Node
	implied *Entry // inode of all directories that are only implied; nil: each has its own
	hasElse bool   // some names may be those of files in the layers below
	steps   int    // through targets of symbolic links, less those that paths may take
}

// Node is a name in a Tree. Two names of one inode are two nodes that share an
// Entry.
type Node struct {
	// Entry is the inode; its Path is empty, and its Nlink is not kept up to date: see
	// Tree.CountLinks, and Table. A directory that was only implied
	// has an Entry with NoChange set. See OrLower for a name that may have another
	// inode.
	Entry *Entry

	name     string
	children *children // nil while empty
}

// New makes a tree that holds an implied root directory.
func New() *Tree {
	return &Tree{root: impliedDir(".")}
}

// NewNames makes a tree like New in which all directories that are only implied share an
// inode. It is for Lookup and Set alone.
func NewNames() *Tree {
	t := New()
	t.implied = t.root.Entry
	return t
}

func (t *Tree) impliedDir(name string) *Node {
	if t.implied != nil {
		return &Node{name: name, Entry: t.implied}
	}
	return impliedDir(name)
}

func impliedDir(name string) *Node {
	return &Node{name: name, Entry: &Entry{Type: Dir, NoChange: true}}
}

// HasElse reports whether t may hold names that OrLower has made.
func (t *Tree) HasElse() bool { return t.hasElse }

// Root is the root directory of t.
func (t *Tree) Root() *Node { return t.root }

// Name is the last component of n's path, "." for the root.
func (n *Node) Name() string { return n.name }

// Child is what n, a directory, holds under name, or nil.
func (n *Node) Child(name string) *Node { return n.children.get(name) }

// Children are the names in n in unsigned byte order, in a slice of the caller's.
func (n *Node) Children() []*Node {
	if n.children.len() == 0 {
		return nil
	}
	list := make([]*Node, 0, n.children.len())
	for c := range n.children.all() {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Node) int { return cmp.Compare(a.name, b.name) })
	return list
}

// SortedChildren is Children in a slice that belongs to n; the caller does not change it.
// It saves memory, but adding names afterwards costs more.
func (n *Node) SortedChildren() []*Node { return n.children.sort() }

// set puts c into n, in place of what has its name.
func (n *Node) set(c *Node) {
	if n.children == nil {
		n.children = new(children)
	}
	n.children.set(c)
}

// Lookup finds path, taken literally: no symbolic link is followed. It returns
// nil if there is nothing.
func (t *Tree) Lookup(path string) *Node {
	n := t.root
	for more := path != "."; more && n != nil; {
		var name string
		name, path, more = strings.Cut(path, "/")
		n = n.children.get(name)
	}
	return n
}

// Put places e as a record of a stream does: it replaces what has its path, but
// a directory over a directory keeps the children, and one with NoChange only
// adds its opaque mark. Parents that are missing, or are not directories, become
// implied directories. A hard link binds to the inode that its target has now,
// whatever the target is in the layers below.
//
// It returns the Entry that t holds: a copy of e without Path, whose Content the
// caller may replace, or the inode that a hard link was bound to.
func (t *Tree) Put(e *Entry) (*Entry, error) {
	copied := *e
	return t.take(&copied)
}

// take is Put for an entry that t may hold itself.
func (t *Tree) take(e *Entry) (*Entry, error) {
	path, lower := e.Path, e.Lower
	inode, err := t.inode(e)
	if err != nil {
		return nil, err
	}
	if e.NoChange {
		if old := t.Lookup(path); old != nil && old.Entry.Type == Dir {
			return old.mark(e), nil
		}
	}
	if path == "." && e.Type != Dir {
		return nil, fmt.Errorf("%s: the root must be a directory", path)
	}
	named := inode
	if lower != nil && lower.Else {
		named = t.orLower(e, inode, lower)
	}
	t.Set(path, named)
	return inode, nil
}

// orLower is OrLower for an inode that may be such a link itself. It is e, if that is
// what OrLower has made of the same inode.
func (t *Tree) orLower(e, inode *Entry, lower *Lower) *Entry {
	switch {
	case inode.Lower != nil:
		return &Entry{Type: File, Mode: inode.Mode, Lower: &Lower{Targets: slices.Concat(lower.Targets, inode.Lower.Targets)}}
	case lower.inode == inode:
		*e = Entry{Type: inode.Type, Link: inode.Link, Lower: lower}
	default:
		e = OrLower(inode, lower.Targets)
	}
	t.hasElse = true
	return e
}

// Set makes path a name of inode, in place of what had that name. If both are
// directories the children stay. Parents that are missing, or are not directories,
// become implied directories.
func (t *Tree) Set(path string, inode *Entry) {
	if path == "." {
		t.root.Entry = inode
		return
	}
	dir, base := t.root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = t.mkdirAll(path[:i], t.impliedDir), path[i+1:]
	}
	n := dir.children.get(base)
	if n == nil {
		n = &Node{name: strings.Clone(base)} // not a part of the whole path
		dir.set(n)
	} else if n.Entry.Type != Dir || inode.Type != Dir {
		n.children = nil
	}
	n.Entry = inode
}

// inode is the Entry for e in the tree: e itself, or that of its hard link's target.
func (t *Tree) inode(e *Entry) (*Entry, error) {
	if e.NoChange {
		implied := impliedDir("").Entry
		if e.IsOpaque() {
			implied.Xattrs = onlyOpaque
		}
		return implied, nil
	}
	if e.Hardlink == "" {
		e.Path = ""
		if !e.IsLower() {
			e.Lower = nil
		}
		return e, nil
	}
	target := t.Lookup(e.Hardlink)
	if target == nil {
		return nil, fmt.Errorf("%s: hard link to %s, which does not exist", printable(e.Path), printable(e.Hardlink))
	}
	if target.Entry.Type == Dir {
		return nil, fmt.Errorf("%s: hard link to %s, which is a directory", printable(e.Path), printable(e.Hardlink))
	}
	return target.Entry.Inode(), nil
}

// mark gives the directory n the opaque mark if e, which changes nothing else,
// has it.
func (n *Node) mark(e *Entry) *Entry {
	if e.IsOpaque() && !n.Entry.IsOpaque() {
		n.Entry.Xattrs = withOpaque(n.Entry.Xattrs)
	}
	return n.Entry
}

// mkdirAll returns the directory at path, taken literally. Where a directory is missing,
// or something else has its name, it puts one that makeDir returns.
func (t *Tree) mkdirAll(path string, makeDir func(name string) *Node) *Node {
	n := t.root
	for more := path != "."; more; {
		var name string
		name, path, more = strings.Cut(path, "/")
		c := n.children.get(name)
		if c == nil || c.Entry.Type != Dir {
			c = makeDir(strings.Clone(name))
			n.set(c)
		}
		n = c
	}
	return n
}

// onlyOpaque are the xattrs of an implied directory that is opaque. Xattrs are never
// changed in place.
var onlyOpaque = []Xattr{Opaque}

func withOpaque(xs []Xattr) []Xattr {
	xs = append(slices.Clone(xs), Opaque)
	slices.SortFunc(xs, func(a, b Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return xs
}

func withoutOpaque(xs []Xattr) []Xattr {
	return slices.DeleteFunc(slices.Clone(xs), func(x Xattr) bool { return x.Name == Opaque.Name })
}

// CountLinks sets Nlink of every inode in t: the number of its names, or for a
// directory 2 and the number of its subdirectories. A name that may be that of a
// file in the layers below does not count, unless there is no other.
func (t *Tree) CountLinks() {
	t.ForgetLinks()
	t.each(func(n *Node) {
		if n.Entry.Type != Dir {
			n.Entry.Nlink++
			return
		}
		n.Entry.Nlink = 2
		for c := range n.children.all() {
			if c.Entry.Type == Dir {
				n.Entry.Nlink++
			}
		}
	})
	if t.hasElse {
		t.each(func(n *Node) { n.Entry.Inode().Nlink = max(n.Entry.Inode().Nlink, 1) })
	}
}

// ForgetLinks sets Nlink of every inode in t to 0.
func (t *Tree) ForgetLinks() {
	t.each(func(n *Node) { n.Entry.Nlink, n.Entry.Inode().Nlink = 0, 0 })
}

// each calls fn for every node, in no particular order.
func (t *Tree) each(fn func(*Node)) {
	var visit func(*Node)
	visit = func(n *Node) {
		fn(n)
		for c := range n.children.all() {
			visit(c)
		}
	}
	visit(t.root)
}
