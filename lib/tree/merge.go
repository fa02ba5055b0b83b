package tree

import (
	"errors"
	"fmt"
	"io"
)

// ReadLayer reads all of src into a tree that keeps the marks of a layer. If keep is
// not nil it is called for each entry with content, and returns the content to hold
// instead: one that stays valid after the next entry.
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
// A layer is a set of changes, the same whatever the order it was written in:
//
//   - Whiteouts and opaque marks hide what is in t, never what layer holds itself.
//   - A link to a layer below binds to the inode that t has there before anything
//     of layer is applied. Where the target's parents are symbolic links of t to
//     a place where layer has a file, it is that one. A target that is missing is
//     an error, unless the name may be something else.
//   - A directory of the layer takes the place of anything in t but a directory,
//     whose children stay.
//   - A directory that the layer only implies leaves a directory of t as it is and
//     follows a symbolic link of t inside the root; missing, or in place of another
//     file, it is 0755 of root at the time 0. Where all that it holds are
//     whiteouts it is not made. A symbolic link of t that leads to something else
//     than a directory is an error, unless layer makes a directory of that.
//   - Where two names of the layer come to be one by way of a symbolic link of t,
//     they are applied in canonical order.
//
// After an error t is of no use.
func (t *Tree) Apply(layer *Tree) error {
	a := applier{t: t, layer: layer}
	if err := a.collect(layer.root, nil, t.root, nil); err != nil {
		return err
	}
	a.hide()
	layer.root.prune()
	if !layer.root.Entry.NoChange {
		t.root.Entry = flat(layer.root.Entry)
	}
	return a.addChildren(t.root, nil, layer.root)
}

// NewFlat makes a tree to apply layers to: a root 0755 of root at the time 0.
func NewFlat() *Tree {
	return &Tree{root: newDir(".")}
}

func newDir(name string) *Node {
	return &Node{name: name, Entry: &Entry{Type: Dir, Mode: 0o755}}
}

// applier applies a layer in three steps: it finds what the layer refers to in the tree
// below, removes what the layer hides there, and adds what the layer holds.
type applier struct {
	t       *Tree
	layer   *Tree
	bound   map[*Entry]*Entry // links of the layer to layers below, and their inodes
	hides   []hiddenName
	emptied []*Node // directories of t
}

// hiddenName is a name in a directory of t.
type hiddenName struct {
	dir  *Node
	name string
}

// collect notes what the directory n of the layer, at path, hides in the layers below
// and what it links to there. The directory below, at belowAt, is the one of these
// layers that n covers; it is nil if there is none.
func (a *applier) collect(n *Node, path *Place, below *Node, belowAt *Place) error {
	if below != nil && n.Entry.IsOpaque() {
		a.emptied = append(a.emptied, below)
		below = nil
	}
	for _, c := range n.Children() {
		var err error
		switch {
		case c.Entry.Type == Dir:
			at := path.Join(c.name)
			if below == nil {
				err = a.collect(c, at, nil, nil)
			} else {
				var lower *Node
				var lowerAt *Place
				if lower, lowerAt, err = a.dirBelow(c, below, belowAt.Join(c.name)); err == nil {
					err = a.collect(c, at, lower, lowerAt)
				}
			}
		case c.Entry.Lower != nil:
			err = a.bind(c, path)
		case c.Entry.IsWhiteout() && below != nil:
			a.hides = append(a.hides, hiddenName{below, c.name})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dirBelow returns the directory of t that the directory c of the layer covers, and its
// path: the one at path in the directory below or, if c is only implied, the one to
// which a symbolic link there leads.
func (a *applier) dirBelow(c, below *Node, path *Place) (*Node, *Place, error) {
	n := below.children.get(c.name)
	if n != nil && n.Entry.Type == Link && c.Entry.NoChange {
		to, err := a.t.ResolveDir(path.String())
		switch {
		case errors.Is(err, errSteps):
			return nil, nil, err
		case err != nil:
			return nil, nil, nil // nothing can be reached there, so there is nothing to hide
		}
		n, path = a.t.Lookup(to), placeOf(to)
	}
	if n == nil || n.Entry.Type != Dir {
		return nil, nil, nil
	}
	return n, path, nil
}

// bind finds the inode that c, in the directory dir of the layer, is bound to.
func (a *applier) bind(c *Node, dir *Place) error {
	target, err := a.inode(c.Entry)
	if err != nil {
		return fmt.Errorf("%s: hard link to %s in a layer below: %w", printable(dir.Join(c.name).String()), printable(c.Entry.Lower.Targets[0]), err)
	}
	if target == nil {
		return fmt.Errorf("%s: hard link to %s in a layer below: it does not exist", printable(dir.Join(c.name).String()), printable(c.Entry.Lower.Targets[0]))
	}
	return nil
}

// inode returns the inode to which e, an inode of the layer, is bound: e itself, another
// one of the layer, or one of t. It returns nil if there is none, or if e depends on
// itself.
func (a *applier) inode(e *Entry) (*Entry, error) {
	if e.Lower == nil {
		return e, nil
	}
	if target, ok := a.bound[e]; ok {
		return target, nil
	}
	if a.bound == nil {
		a.bound = make(map[*Entry]*Entry)
	}
	a.bound[e] = nil
	for _, path := range e.Lower.Targets {
		target, err := a.linkTarget(path)
		if err != nil {
			return nil, err
		}
		if target != nil {
			a.bound[e] = target
			return target, nil
		}
	}
	if e.Lower.Else {
		a.bound[e] = e.Lower.inode
	}
	return a.bound[e], nil
}

func (a *applier) hide() {
	for _, n := range a.emptied {
		n.children = nil
	}
	for _, h := range a.hides {
		h.dir.children.remove(h.name)
	}
}

// linkTarget returns the inode that path names, or nil. It follows symbolic links of t
// in the parents of path; what the layer has at the place to which they lead comes
// first.
func (a *applier) linkTarget(path string) (*Entry, error) {
	resolved, err := a.t.resolve(path, a.layer)
	if err != nil {
		return nil, err
	}
	if own := a.layer.Lookup(resolved); resolved != path && own != nil && own.Entry.Type != Dir && !own.Entry.IsWhiteout() {
		if target, err := a.inode(own.Entry); target != nil || err != nil {
			return target, err
		}
	}
	switch n := a.t.Lookup(resolved); {
	case n == nil:
		return nil, nil
	case n.Entry.Type == Dir:
		return nil, errors.New("it is a directory")
	default:
		return n.Entry, nil
	}
}

// addChildren adds what the layer holds in src to the directory dst of t, whose path is
// path.
func (a *applier) addChildren(dst *Node, path *Place, src *Node) error {
	for _, c := range src.Children() {
		var err error
		switch {
		case c.Entry.Type != Dir:
			a.addFile(dst, c)
		case c.Entry.NoChange:
			err = a.addImplied(dst, path.Join(c.name), c)
		default:
			err = a.addDir(dst, path.Join(c.name), c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) addFile(dst, c *Node) {
	if target := a.bound[c.Entry]; target != nil {
		c.Entry = target
	}
	dst.set(c)
}

// addDir adds a directory that the layer has with its attributes.
func (a *applier) addDir(dst *Node, path *Place, c *Node) error {
	old := dst.children.get(c.name)
	if old == nil || old.Entry.Type != Dir {
		old = &Node{name: c.name}
		dst.set(old)
	}
	old.Entry = flat(c.Entry)
	return a.addChildren(old, path, c)
}

// addImplied adds a directory that the layer only implies.
func (a *applier) addImplied(dst *Node, path *Place, c *Node) error {
	old := dst.children.get(c.name)
	switch {
	case old != nil && old.Entry.Type == Dir:
		return a.addChildren(old, path, c)
	case old != nil && old.Entry.Type == Link:
		return a.addBehindLink(path, c)
	}
	old = newDir(c.name)
	dst.set(old)
	return a.addChildren(old, path, c)
}

// addBehindLink adds what the implied directory c holds where path is a symbolic link
// in t.
func (a *applier) addBehindLink(path *Place, c *Node) error {
	target, err := a.t.resolveDir(path.String(), a.layer)
	if err != nil {
		if below := c.Children(); len(below) > 0 {
			path = path.Join(below[0].name) // an entry, or where one is
		}
		return fmt.Errorf("%s: %w", printable(path.String()), err)
	}
	return a.addChildren(a.t.mkdirAll(target, newDir), placeOf(target), c)
}

// prune removes whiteouts, which have done their work, from the directory n, and implied
// directories that hold nothing else.
func (n *Node) prune() {
	for c := range n.children.all() {
		if c.Entry.Type == Dir {
			c.prune()
		}
		empty := c.Entry.NoChange && !c.Entry.IsOpaque() && c.children.len() == 0
		if empty || c.Entry.IsWhiteout() {
			n.children.remove(c.name)
		}
	}
}

// flat is the directory e without the marks of a layer.
func flat(e *Entry) *Entry {
	if _, ok := e.Xattr(Opaque.Name); ok {
		e.Xattrs = withoutOpaque(e.Xattrs)
	}
	return e
}
