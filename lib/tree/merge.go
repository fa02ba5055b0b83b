package tree

import (
	"errors"
	"fmt"
	"io"
)

// ReadLayer reads all of src into a tree that keeps the marks of a layer. If keep is not
// nil, ReadLayer calls it for each entry with content. keep returns the content that the
// tree gets instead, which has to stay valid after the next entry.
func ReadLayer(src Source, keep func(*Entry) (Content, error)) (*Tree, error) {
	return readLayer(src, keep, (*Tree).Put)
}

// TakeLayer is ReadLayer for a source that gives its entries away: TakeLayer makes them the
// inodes of the tree, so an entry that the source keeps, too, is in memory only once. The
// source must not rely on the paths and contents of its entries afterwards.
func TakeLayer(src Source, keep func(*Entry) (Content, error)) (*Tree, error) {
	return readLayer(src, keep, (*Tree).Take)
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

// Apply changes t, a flat tree, as layer says. The caller must not use layer afterwards: its
// inodes become those of t.
//
// A layer is a set of changes; the order in which it was written does not matter:
//
//   - Whiteouts and opaque marks hide files of t, never files of layer itself.
//   - A link to a layer below binds to the inode that t has at the target before anything
//     of layer is applied. But if the target's parents are symbolic links of t, and lead
//     to a file of layer, it binds to that file. A missing target is an error, unless the
//     entry has an alternative (Lower.Else).
//   - A directory of layer over a directory of t changes the attributes, and keeps the
//     children. It replaces any other file of t.
//   - A directory that layer only implies leaves a directory of t as it is, and follows a
//     symbolic link of t inside the root. If t has no file there, or another file, it
//     becomes a directory 0755 of root at the time 0, unless it holds only whiteouts. A
//     symbolic link of t that leads to a file that is not a directory is an error, unless
//     layer makes that a directory.
//   - If two names of layer become one through a symbolic link of t, they are applied in
//     canonical order.
//
// After an error t must not be used.
func (t *Tree) Apply(layer *Tree) error {
	t.last, layer.last = parent{}, parent{} // both trees lose directories
	a := applier{t: t, layer: layer}
	if err := a.collect(layer.root, nil, t.root, nil); err != nil {
		return err
	}
	a.hide()
	layer.root.prune()
	if !layer.root.Entry.NoChange {
		t.root.Entry = flat(layer.root.Entry)
	}
	if t.root.children.len() == 0 {
		t.root.children = layer.root.children
		a.flatten(t.root)
		return nil
	}
	return a.addChildren(t.root, nil, layer.root)
}

// NewFlat makes an empty tree to apply layers to. Its root directory is 0755 of root at the
// time 0.
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
	bound   map[*Entry]*Entry // the inode of each link of the layer to a layer below
	hides   []hiddenName
	emptied []*Node // directories of t whose names the layer hides
}

// hiddenName is a name in a directory of t.
type hiddenName struct {
	dir  *Node
	name string
}

// collect notes what the directory n of the layer, at path, hides in t, and the targets of
// its links. below is the directory of t that n covers, at belowAt, or nil if t has none.
func (a *applier) collect(n *Node, path *Place, below *Node, belowAt *Place) error {
	if below != nil && n.Entry.IsOpaque() {
		a.emptied = append(a.emptied, below)
		below = nil
	}
	for _, c := range n.SortedChildren() {
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
// path: the one with the name of c in below or, if c is only implied, the one to which a
// symbolic link of that name leads. It returns nil if t has none.
func (a *applier) dirBelow(c, below *Node, path *Place) (*Node, *Place, error) {
	n := below.children.get(c.name)
	if n != nil && n.Entry.Type == Link && c.Entry.NoChange {
		to, err := a.t.ResolveDir(path.String())
		switch {
		case errors.Is(err, errSteps):
			return nil, nil, err
		case err != nil:
			return nil, nil, nil // the link leads nowhere, so there is nothing to hide
		}
		n, path = a.t.Lookup(to), placeOf(to)
	}
	if n == nil || n.Entry.Type != Dir {
		return nil, nil, nil
	}
	return n, path, nil
}

// bind finds and notes the inode to which c, in the directory dir of the layer, is bound.
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

// linkTarget returns the inode at path, or nil. It follows symbolic links of t in the
// parents of path. If these lead to a file of the layer, it returns that.
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

// addChildren adds the children of src, a directory of the layer, to dst, the directory of t
// at path.
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

// flatten makes the names in n, which are those of the layer, names of t. It does what
// addChildren does if t has nothing there, but keeps the nodes.
func (a *applier) flatten(n *Node) {
	for c := range n.children.all() {
		switch target := a.bound[c.Entry]; {
		case target != nil:
			c.Entry = target
		case c.Entry.Type != Dir:
		case c.Entry.NoChange:
			c.Entry = newDir(c.name).Entry
		default:
			c.Entry = flat(c.Entry)
		}
		a.flatten(c)
	}
}

func (a *applier) addFile(dst, c *Node) {
	if target := a.bound[c.Entry]; target != nil {
		c.Entry = target
	}
	dst.set(c)
}

// addDir adds a directory of the layer that has attributes.
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
		return a.addThroughLink(path, c)
	}
	old = newDir(c.name)
	dst.set(old)
	return a.addChildren(old, path, c)
}

// addThroughLink adds the children of the implied directory c to the directory to which
// path, a symbolic link of t, leads.
func (a *applier) addThroughLink(path *Place, c *Node) error {
	target, err := a.t.resolveDir(path.String(), a.layer)
	if err != nil {
		if below := c.Children(); len(below) > 0 {
			path = path.Join(below[0].name) // of an entry, or a parent of one
		}
		return fmt.Errorf("%s: %w", printable(path.String()), err)
	}
	return a.addChildren(a.t.mkdirAll(target, newDir), placeOf(target), c)
}

// prune removes from the directory n whiteouts, which have been applied, and implied
// directories that hold nothing else.
func (n *Node) prune() {
	n.children.removeAll(func(c *Node) bool {
		if c.Entry.Type == Dir {
			c.prune()
		}
		empty := c.Entry.NoChange && !c.Entry.IsOpaque() && c.children.len() == 0
		return empty || c.Entry.IsWhiteout()
	})
}

// flat returns the directory e without the marks of a layer.
func flat(e *Entry) *Entry {
	if _, ok := e.Xattr(Opaque.Name); ok {
		e.Xattrs = withoutOpaque(e.Xattrs)
	}
	return e
}
