package overlay

import (
	"fmt"

	"ocipipe/lib/tree"
)

// builder makes the layer.
type builder struct {
	opts   Options
	prefix string
	meter  *tree.Meter
	upper  *tree.Tree
	below  *tree.Tree // nil: not known
	out    *tree.Tree

	inodes map[*tree.Entry]*inode      // of files of the upper directory that have several names
	joined map[*tree.Entry]*tree.Entry // inodes below that index=on has replaced, and by what
	moved  map[*tree.Entry][]string    // paths at which inodes below with several names were renamed with a directory
	merged map[*tree.Node]struct{}     // directories of the upper directory that show the one below at the same path
	lost   tree.Tally                  // names that only the index knows
	fixed  tree.Tally                  // files that are immutable or append-only
	nested tree.Tally                  // directories that another overlay has made opaque
}

// inode is a file of the upper directory, as the layer has it.
type inode struct {
	marks
	entry *tree.Entry
}

// level is a directory that is seen at some path.
type level struct {
	path string
	up   *tree.Node // in the upper directory
	low  *tree.Node // the directory below that is merged with it; nil: none, or not known
	x    bool       // whiteouts in it may be files

	// over says that the layers below show through at path: low is the directory that they have
	// there. Otherwise the layer has all names of low, too.
	over bool
}

func (l level) join(name string) string {
	if l.path == "." {
		return name
	}
	return l.path + "/" + name
}

func (b *builder) build(index []indexed, paths map[uint64]string) error {
	if err := b.join(index, paths); err != nil {
		return err
	}
	top := level{path: ".", up: b.upper.Root(), over: true}
	if b.below != nil {
		top.low = b.below.Root()
	}
	root := b.inode(top.up.Entry, ".")
	top.x = root.opaque == 'x'
	b.out.Set(".", root.entry)
	if err := b.fill(top); err != nil {
		return err
	}
	return b.linkBelow()
}

// fill adds the names in the directory l.
func (b *builder) fill(l level) error {
	if b.below != nil && l.over {
		if b.merged == nil {
			b.merged = make(map[*tree.Node]struct{})
		}
		b.merged[l.up] = struct{}{}
	}
	for _, c := range l.up.Children() {
		path := l.join(c.Name())
		if excluded(path, b.opts.Exclude) {
			continue
		}
		if err := b.add(l, c, path); err != nil {
			return err
		}
	}
	if l.over || l.low == nil {
		return nil
	}
	for _, c := range l.low.Children() {
		if l.up.Child(c.Name()) != nil {
			continue
		}
		if err := b.copy(l.join(c.Name()), c); err != nil {
			return err
		}
	}
	return nil
}

// add adds c, a name in the directory l of the upper directory.
func (b *builder) add(l level, c *tree.Node, path string) error {
	if c.Entry.IsWhiteout() {
		b.whiteout(l, path)
		return nil
	}
	f := b.inode(c.Entry, path)
	if f.entry.Type == tree.Dir {
		return b.addDir(l, c, f, path)
	}
	if f.whiteout && f.entry.Type == tree.File && f.entry.Size == 0 {
		if !l.x {
			return fmt.Errorf("%s: whiteout that is a file, in a directory that is not marked as having such: %w", path, ErrCorrupt)
		}
		b.whiteout(l, path)
		return nil
	}
	if f.metacopy && f.entry.Type == tree.File {
		if err := b.fetch(l, c.Name(), f, path); err != nil {
			return err
		}
	}
	b.out.Set(path, f.entry)
	return nil
}

// whiteout hides path, unless nothing of the layers below shows through there.
func (b *builder) whiteout(l level, path string) {
	if l.over {
		b.out.Set(path, &tree.Entry{Type: tree.Char})
	}
}

func (b *builder) addDir(l level, c *tree.Node, f *inode, path string) error {
	next := level{path: path, up: c, over: l.over, x: f.opaque == 'x'}
	low := l.child(c.Name())
	switch {
	case f.opaque == 'y': // a redirect means nothing
		next.over = false
	case f.hasRedirect:
		from, err := b.renamed(l, f, path)
		if err != nil {
			return err
		}
		next.low, next.over = from, l.over && from == low
	case low != nil && low.Entry.Type == tree.Dir:
		next.low = low
	}
	if l.over && !next.over {
		f.entry.Xattrs = withOpaque(f.entry.Xattrs)
	}
	b.out.Set(path, f.entry)
	return b.fill(next)
}

// child returns what is below at name.
func (l level) child(name string) *tree.Node {
	if l.low == nil {
		return nil
	}
	return l.low.Child(name)
}

// inode returns what e, a file of the upper directory at path, is in the layer.
func (b *builder) inode(e *tree.Entry, path string) *inode {
	if f := b.inodes[e]; f != nil {
		return f
	}
	f := &inode{entry: e}
	several := e.Type != tree.Dir && e.Nlink > 1
	f.marks, e.Xattrs = readMarks(e.Xattrs, b.prefix)
	if e.Type == tree.Dir {
		var dropped bool
		if e.Xattrs, dropped = withoutOpaque(e.Xattrs); dropped {
			b.nested.Add(path)
		}
	}
	if f.protected {
		b.fixed.Add(path)
	}
	if several {
		b.inodes[e] = f
	}
	return f
}

// copy adds the file c below, and all in it, at path.
func (b *builder) copy(path string, c *tree.Node) error {
	if excluded(path, b.opts.Exclude) {
		return nil
	}
	e := c.Entry
	if err := b.meter.Add(path, &tree.Entry{Path: path, Type: e.Type, Size: e.Size, Extents: e.Extents}); err != nil {
		return err
	}
	switch with := b.joined[e]; {
	case with != nil:
		e = with
	case e.Type != tree.Dir && e.Nlink > 1:
		if b.moved == nil {
			b.moved = make(map[*tree.Entry][]string)
		}
		b.moved[e] = append(b.moved[e], path)
	}
	b.out.Set(path, e)
	for _, child := range c.Children() {
		if err := b.copy(path+"/"+child.Name(), child); err != nil {
			return err
		}
	}
	return nil
}

// linkBelow joins names that show one inode below, or its successor in the index: some of them
// in the layer, and others where they always were.
func (b *builder) linkBelow() error {
	if len(b.moved)+len(b.joined) == 0 {
		return nil
	}
	inPlace := make(map[*tree.Entry]string) // the first name of what was moved
	b.walk(b.below.Root(), b.upper.Root(), ".", func(path string, e *tree.Entry) {
		if with := b.joined[e]; with != nil {
			if !excluded(path, b.opts.Exclude) {
				b.out.Set(path, with)
			}
			return
		}
		if _, ok := inPlace[e]; !ok && b.moved[e] != nil {
			inPlace[e] = path
		}
	})
	for e, target := range inPlace {
		link := &tree.Entry{Type: tree.File, Mode: 0o644, Lower: &tree.Lower{Targets: []string{target}}}
		for _, path := range b.moved[e] {
			b.out.Set(path, link)
		}
	}
	return nil
}

// walk calls visit for all files in the directory low that are seen in the overlay where
// they are. up is the same directory in the upper directory; nil: it has none.
func (b *builder) walk(low, up *tree.Node, path string, visit func(path string, e *tree.Entry)) {
	at := level{path: path}
	for _, c := range low.SortedChildren() {
		var over *tree.Node
		if up != nil {
			over = up.Child(c.Name())
		}
		_, merged := b.merged[over]
		switch {
		case over != nil && !merged: // hidden
		case c.Entry.Type == tree.Dir:
			b.walk(c, over, at.join(c.Name()), visit)
		case over == nil:
			visit(at.join(c.Name()), c.Entry)
		}
	}
}

// warn tells of what the layer cannot say.
func (b *builder) warn() {
	if b.opts.Warn == nil {
		return
	}
	for _, w := range []struct {
		tally tree.Tally
		what  string
	}{
		{b.fixed, "is immutable or append-only, which a layer cannot say"},
		{b.nested, "is opaque in another overlay, which a layer cannot say"},
		{b.lost, "may have other names, which the index alone joins with it: they stay as they are in the images below"},
	} {
		if w.tally.Count > 0 {
			b.opts.Warn(w.tally.Text(w.what))
		}
	}
}
