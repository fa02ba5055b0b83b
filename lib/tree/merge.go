package tree

import (
	"errors"
	"fmt"
	"io"
)

// ReadLayer reads all of src into a tree that keeps the marks of a layer. Where
// keep is not nil it is called for each entry that has content and returns the
// content to hold instead, one that stays valid when src has moved on.
func ReadLayer(src Source, keep func(*Entry) (Content, error)) (*Tree, error) {
	t := New()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		kept, err := t.Put(e)
		if err != nil {
			return nil, err
		}
		if keep == nil || e.Content == nil {
			continue
		}
		if kept.Content, err = keep(e); err != nil {
			return nil, fmt.Errorf("%s: %w", printable(e.Path), err)
		}
	}
}

// Apply changes t, a flat tree, as layer says. The layer is used up: its inodes
// become those of t.
//
// A layer is a set of changes, applied in canonical order whatever the order it
// was written in:
//
//   - Whiteouts and opaque marks hide what is in t, never what layer holds itself.
//   - A link to a layer below binds to the inode that t has there before anything
//     of layer is applied; a missing target is an error.
//   - A directory of the layer takes the place of anything in t but a directory,
//     whose children stay.
//   - A directory that the layer only implies leaves a directory of t as it is and
//     follows a symbolic link of t inside the root; missing, or in place of another
//     file, it is 0755 of root at the time 0. Where all that it holds are
//     whiteouts it is not made.
//
// After an error t is of no use.
func (t *Tree) Apply(layer *Tree) error {
	a := applier{t: t}
	if err := a.bind(layer.root, "."); err != nil {
		return err
	}
	if !layer.root.Entry.NoChange {
		t.root.Entry = flat(layer.root.Entry)
	}
	return a.dir(t.root, ".", layer.root)
}

// NewFlat makes a tree to apply layers to: a root 0755 of root at the time 0.
func NewFlat() *Tree {
	return &Tree{root: newDir(".")}
}

func newDir(name string) *Node {
	return &Node{name: name, Entry: &Entry{Type: Dir, Mode: 0o755}}
}

type applier struct {
	t     *Tree
	bound map[*Entry]*Entry // links of the layer to layers below, and their inodes
}

// bind finds the inodes of t that the directory n of the layer, at path, links to.
func (a *applier) bind(n *Node, path string) error {
	for _, c := range n.Children() {
		at := join(path, c.name)
		if c.Entry.Type == Dir {
			if err := a.bind(c, at); err != nil {
				return err
			}
		}
		if !c.Entry.Lower || a.bound[c.Entry] != nil {
			continue
		}
		target, err := a.t.linkTarget(c.Entry.Hardlink)
		if err != nil {
			return fmt.Errorf("%s: hard link to %s in a layer below: %w", printable(at), printable(c.Entry.Hardlink), err)
		}
		if a.bound == nil {
			a.bound = make(map[*Entry]*Entry)
		}
		a.bound[c.Entry] = target
	}
	return nil
}

// linkTarget is the inode that path names, its parents followed through symbolic
// links.
func (t *Tree) linkTarget(path string) (*Entry, error) {
	real, err := t.Resolve(path)
	if err != nil {
		return nil, err
	}
	switch n := t.Lookup(real); {
	case n == nil:
		return nil, errors.New("it does not exist")
	case n.Entry.Type == Dir:
		return nil, errors.New("it is a directory")
	default:
		return n.Entry, nil
	}
}

// dir applies what the layer holds in src to the directory dst of t, whose path
// is path.
func (a *applier) dir(dst *Node, path string, src *Node) error {
	if src.Entry.IsOpaque() {
		dst.children = nil
	}
	for _, c := range src.Children() {
		var err error
		switch {
		case c.Entry.IsWhiteout():
			delete(dst.children, c.name)
		case c.Entry.Type != Dir:
			a.file(dst, c)
		case c.Entry.NoChange:
			err = a.implied(dst, join(path, c.name), c)
		default:
			err = a.explicit(dst, join(path, c.name), c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) file(dst, c *Node) {
	if target := a.bound[c.Entry]; target != nil {
		c.Entry = target
	}
	dst.set(c)
}

// explicit applies a directory that the layer has with its attributes.
func (a *applier) explicit(dst *Node, path string, c *Node) error {
	old := dst.children[c.name]
	if old == nil || old.Entry.Type != Dir {
		old = &Node{name: c.name}
		dst.set(old)
	}
	old.Entry = flat(c.Entry)
	return a.dir(old, path, c)
}

// implied applies a directory that the layer only implies.
func (a *applier) implied(dst *Node, path string, c *Node) error {
	old := dst.children[c.name]
	switch {
	case old != nil && old.Entry.Type == Dir:
		return a.dir(old, path, c)
	case old != nil && old.Entry.Type == Link:
		return a.through(path, c)
	case !c.makes():
		return nil
	}
	old = newDir(c.name)
	dst.set(old)
	return a.dir(old, path, c)
}

// through applies the implied directory c where path is a symbolic link in t.
func (a *applier) through(path string, c *Node) error {
	real, err := a.t.ResolveDir(path)
	if err != nil {
		return err
	}
	dst := a.t.Lookup(real)
	if dst == nil || dst.Entry.Type != Dir {
		if !c.makes() {
			return nil
		}
		dst = a.t.mkdirAll(real, newDir)
	}
	return a.dir(dst, real, c)
}

// makes reports whether the implied directory n puts anything into the tree
// below it, or only takes away from it.
func (n *Node) makes() bool {
	if !n.Entry.NoChange || n.Entry.IsOpaque() {
		return true
	}
	for _, c := range n.children {
		if !c.Entry.IsWhiteout() && (c.Entry.Type != Dir || c.makes()) {
			return true
		}
	}
	return false
}

// flat is the directory e without the marks of a layer.
func flat(e *Entry) *Entry {
	if _, ok := e.Xattr(Opaque.Name); ok {
		e.Xattrs = withoutOpaque(e.Xattrs)
	}
	return e
}
