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
	return readLayer(src, keep, (*Tree).Put)
}

// TakeLayer is ReadLayer of a source that gives its entries away: they become the
// inodes of the tree. What the source remembers of them is there once that way; of
// their paths and contents it must not remember anything.
func TakeLayer(src Source, keep func(*Entry) (Content, error)) (*Tree, error) {
	return readLayer(src, keep, (*Tree).take)
}

func readLayer(src Source, keep func(*Entry) (Content, error), put func(*Tree, *Entry) (*Entry, error)) (*Tree, error) {
	t := New()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		path, hasContent := e.Path, e.Content != nil
		kept, err := put(t, e)
		if err != nil {
			return nil, err
		}
		if keep == nil || !hasContent {
			continue
		}
		if kept.Content, err = keep(e); err != nil {
			return nil, fmt.Errorf("%s: %w", printable(path), err)
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
	if err := a.look(layer.root, nil, t.root, nil); err != nil {
		return err
	}
	a.hide()
	layer.root.prune()
	if !layer.root.Entry.NoChange {
		t.root.Entry = flat(layer.root.Entry)
	}
	return a.dir(t.root, nil, layer.root)
}

// NewFlat makes a tree to apply layers to: a root 0755 of root at the time 0.
func NewFlat() *Tree {
	return &Tree{root: newDir(".")}
}

func newDir(name string) *Node {
	return &Node{name: name, Entry: &Entry{Type: Dir, Mode: 0o755}}
}

// applier first finds out what a layer refers to in the tree below it, then hides
// what it hides there, and only then adds what it adds.
type applier struct {
	t     *Tree
	layer *Tree
	bound map[*Entry]*Entry // links of the layer to layers below, and their inodes
	gone  []hidden
	clear []*Node // directories of t that become empty
}

// hidden is a name in a directory of t.
type hidden struct {
	dir  *Node
	name string
}

// look notes what the directory n of the layer, at path, hides in the layers below
// and what it links to there. What shows of them under n is the directory below,
// at real; it is nil if nothing does.
func (a *applier) look(n *Node, path *Place, below *Node, real *Place) error {
	if below != nil && n.Entry.IsOpaque() {
		a.clear = append(a.clear, below)
		below = nil
	}
	for _, c := range n.Children() {
		var err error
		switch {
		case c.Entry.Type == Dir:
			at := path.Join(c.name)
			if below == nil {
				err = a.look(c, at, nil, nil)
			} else {
				var lower *Node
				var lowerAt *Place
				if lower, lowerAt, err = a.shown(c, below, real.Join(c.name)); err == nil {
					err = a.look(c, at, lower, lowerAt)
				}
			}
		case c.Entry.Lower != nil:
			err = a.bind(c, path)
		case c.Entry.IsWhiteout() && below != nil:
			a.gone = append(a.gone, hidden{below, c.name})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shown is the directory of t that shows under the directory c of the layer, and
// its path: what is at path in the directory below or, if c is only implied, where
// a symbolic link there leads.
func (a *applier) shown(c, below *Node, path *Place) (*Node, *Place, error) {
	n := below.children.get(c.name)
	if n != nil && n.Entry.Type == Link && c.Entry.NoChange {
		to, err := a.t.ResolveDir(path.String())
		switch {
		case errors.Is(err, errSteps):
			return nil, nil, err
		case err != nil:
			return nil, nil, nil // to hide what cannot be reached is not an error
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

// inode is what e, an inode of the layer, is bound to in the layers below: e
// itself, another one of the layer, or one of t. It is nil if there is none, or if
// it depends on itself.
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
	for _, n := range a.clear {
		n.children = nil
	}
	for _, h := range a.gone {
		h.dir.children.remove(h.name)
	}
}

// linkTarget is the inode that path names, its parents followed through symbolic
// links of t, or nil. What the layer itself has where these lead counts first.
func (a *applier) linkTarget(path string) (*Entry, error) {
	real, err := a.t.resolve(path, a.layer)
	if err != nil {
		return nil, err
	}
	if own := a.layer.Lookup(real); real != path && own != nil && own.Entry.Type != Dir && !own.Entry.IsWhiteout() {
		if target, err := a.inode(own.Entry); target != nil || err != nil {
			return target, err
		}
	}
	switch n := a.t.Lookup(real); {
	case n == nil:
		return nil, nil
	case n.Entry.Type == Dir:
		return nil, errors.New("it is a directory")
	default:
		return n.Entry, nil
	}
}

// dir adds what the layer holds in src to the directory dst of t, whose path is
// path.
func (a *applier) dir(dst *Node, path *Place, src *Node) error {
	for _, c := range src.Children() {
		var err error
		switch {
		case c.Entry.Type != Dir:
			a.file(dst, c)
		case c.Entry.NoChange:
			err = a.implied(dst, path.Join(c.name), c)
		default:
			err = a.explicit(dst, path.Join(c.name), c)
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

// explicit adds a directory that the layer has with its attributes.
func (a *applier) explicit(dst *Node, path *Place, c *Node) error {
	old := dst.children.get(c.name)
	if old == nil || old.Entry.Type != Dir {
		old = &Node{name: c.name}
		dst.set(old)
	}
	old.Entry = flat(c.Entry)
	return a.dir(old, path, c)
}

// implied adds a directory that the layer only implies.
func (a *applier) implied(dst *Node, path *Place, c *Node) error {
	old := dst.children.get(c.name)
	switch {
	case old != nil && old.Entry.Type == Dir:
		return a.dir(old, path, c)
	case old != nil && old.Entry.Type == Link:
		return a.through(path, c)
	}
	old = newDir(c.name)
	dst.set(old)
	return a.dir(old, path, c)
}

// through adds what the implied directory c holds where path is a symbolic link
// in t.
func (a *applier) through(path *Place, c *Node) error {
	real, err := a.t.resolveDir(path.String(), a.layer)
	if err != nil {
		if below := c.Children(); len(below) > 0 {
			path = path.Join(below[0].name) // an entry, or where one is
		}
		return fmt.Errorf("%s: %w", printable(path.String()), err)
	}
	return a.dir(a.t.mkdirAll(real, newDir), placeOf(real), c)
}

// prune takes whiteouts, once they have hidden what they hide, out of the directory
// n, and implied directories that put nothing else into the tree below.
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
