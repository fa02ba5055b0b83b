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
	hasElse bool   // the tree may have names that OrLower made
	steps   int    // components of link targets so far, less maxStepsEach for each path
	last    parent // of the path that Set was given last
	slabs   slabs
}

// parent is a directory to which a path leads without symbolic links; node is nil if none is
// known.
type parent struct {
	path string
	node *Node
}

// Node is a name in a Tree. Two names of one inode are two nodes that share an
// Entry.
type Node struct {
	// Entry is the inode; its Path is empty, and its Nlink is not kept up to date: see
	// Tree.CountLinks and Table. A directory that is only implied has an Entry with
	// NoChange set. See OrLower for a name that may be bound to another inode.
	Entry *Entry

	name     string
	children *children // nil while empty
}

// New makes a tree that holds only an implied root directory.
func New() *Tree {
	return &Tree{root: impliedDir(".")}
}

// NewNames makes a tree like New, except that all implied directories share one inode. Only
// Lookup and Set may be used with it.
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

// HasElse reports whether t may have names that OrLower made.
func (t *Tree) HasElse() bool { return t.hasElse }

// Root is the root directory of t.
func (t *Tree) Root() *Node { return t.root }

// Name is the last component of n's path, "." for the root.
func (n *Node) Name() string { return n.name }

// Child returns name in the directory n, or nil.
func (n *Node) Child(name string) *Node { return n.children.get(name) }

// Children returns the names in n in unsigned byte order. The slice belongs to the caller.
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

// SortedChildren is Children, but the slice belongs to n and the caller must not change it.
// This saves memory, but adding names to n afterwards may take longer.
func (n *Node) SortedChildren() []*Node { return n.children.sort() }

// set puts c into n, in place of a node with its name.
func (n *Node) set(c *Node) {
	if n.children == nil {
		n.children = new(children)
	}
	n.children.set(c)
}

// Lookup returns the node at path, which it takes literally: it follows no symbolic link. It
// returns nil if t has no such file.
func (t *Tree) Lookup(path string) *Node {
	n := t.root
	for more := path != "."; more && n != nil; {
		var name string
		name, path, more = strings.Cut(path, "/")
		n = n.children.get(name)
	}
	return n
}

// Put adds e as a record of a stream does. It replaces a file with the same path, but a
// directory over a directory keeps the children, and one with NoChange only adds its
// opaque mark. Parents that are missing, or are not directories, become implied
// directories. A hard link is bound to the inode that its target has in t now, whatever the
// layers below have at the target.
//
// Put returns the Entry that t holds: a copy of e without Path, whose Content the caller may
// replace, or the inode to which a hard link was bound.
func (t *Tree) Put(e *Entry) (*Entry, error) {
	return t.Take(t.slabs.entries.Copy(e))
}

// Take is Put for an entry that the caller gives away: t may hold e itself and not a copy.
func (t *Tree) Take(e *Entry) (*Entry, error) {
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

// orLower is OrLower for an inode that OrLower may have made itself. It returns e if OrLower
// made e of the same inode.
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

// Set makes path a name of inode, in place of another file at path. If both are directories,
// the children stay. Parents that are missing, or are not directories, become implied
// directories.
func (t *Tree) Set(path string, inode *Entry) {
	if path == "." {
		t.root.Entry = inode
		return
	}
	dir, base := t.root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = t.parent(path[:i]), path[i+1:]
	}
	n := dir.children.get(base)
	if n == nil {
		n = t.slabs.node(base)
		dir.set(n)
	} else if n.Entry.Type != Dir || inode.Type != Dir {
		n.children = nil
		t.last = parent{}
	}
	n.Entry = inode
}

// parent returns the directory at path, which it makes, with its parents, if it is missing.
// Mostly it is the one of the call before.
func (t *Tree) parent(path string) *Node {
	if t.last.node == nil || t.last.path != path {
		t.last = parent{path, t.mkdirAll(path, t.impliedDir)}
	}
	return t.last.node
}

// inode returns the Entry for e in the tree: e itself, or that of the target if e is a hard
// link.
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

// mark gives the directory n the opaque mark if e, a directory with NoChange, has it.
func (n *Node) mark(e *Entry) *Entry {
	if e.IsOpaque() && !n.Entry.IsOpaque() {
		n.Entry.Xattrs = withOpaque(n.Entry.Xattrs)
	}
	return n.Entry
}

// mkdirAll returns the directory at path, which it takes literally. It makes missing
// directories with makeDir, also in place of other files.
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

// onlyOpaque is the list of xattrs of an implied directory that is opaque. It can be shared
// because xattrs are never changed in place.
var onlyOpaque = []Xattr{Opaque}

func withOpaque(xs []Xattr) []Xattr {
	xs = append(slices.Clone(xs), Opaque)
	slices.SortFunc(xs, func(a, b Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return xs
}

func withoutOpaque(xs []Xattr) []Xattr {
	return slices.DeleteFunc(slices.Clone(xs), func(x Xattr) bool { return x.Name == Opaque.Name })
}

// CountLinks sets Nlink of every inode in t: the number of its names, or for a directory 2
// plus the number of its subdirectories. A name that may be bound to a file of the layers
// below does not count, unless the inode has no other name.
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
