package patch

import (
	"io"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// Result is a patched tree.
type Result struct {
	view  *view
	lower *tree.Tree
}

func newResult(v *view, lower *tree.Tree) *Result {
	lower.CountLinks()
	r := &Result{view: v, lower: lower}
	r.mark(r.top(tree.Layer))
	return r
}

// Source returns, in canonical order, the difference if form is tree.Layer, and the whole
// patched tree if it is tree.Flat. A result can have any number of sources, also at the
// same time.
func (r *Result) Source(form tree.Form) tree.Source {
	s := &source{r: r, first: make(map[inodeKey]*tree.Place), stack: []level{{items: []item{r.top(form)}}}}
	s.links = r.countLinks(form)
	return s
}

// item is a name that a source may yield.
type item struct {
	name  string
	node  *node      // nil: the name and everything in it are as in low
	low   *tree.Node // the node of the lower tree that it shows, maybe moved; nil: none
	group int        // as in node
	below *tree.Node // the node of the lower tree that has this place; nil: none, or it does not matter
	gone  bool       // a whiteout
	whole bool       // everything in it is yielded
}

func (r *Result) top(form tree.Form) item {
	root := r.view.root
	it := item{name: ".", node: root, low: root.low, below: root.low}
	if form == tree.Flat {
		it.below, it.whole = nil, true
	}
	return it
}

// entryOf returns the inode of it, and its key among the inodes of the patched tree.
func (v *view) entryOf(it item) (*tree.Entry, inodeKey) {
	if it.node != nil && it.node.own != nil {
		return it.node.own, inodeKey{it.node.own, 0}
	}
	if it.group != 0 {
		if e := v.moved[inodeKey{it.low.Entry, it.group}]; e != nil {
			return e, inodeKey{e, 0}
		}
	}
	return it.low.Entry, inodeKey{it.low.Entry, it.group}
}

// inPlace reports whether it shows the node of the lower tree that has the same place.
func (it item) inPlace() bool { return it.below != nil && it.low == it.below && it.group == 0 }

// children returns the names in the directory it that may be yielded.
func (r *Result) children(it item) []item {
	if it.whole || !it.inPlace() {
		return r.view.all(it)
	}
	var list []item
	for name, c := range it.node.kids {
		if c != nil {
			list = append(list, item{name: name, node: c, low: c.low, group: c.group, below: it.below.Child(name)})
		} else { // kids has a nil only for a name of the lower tree
			list = append(list, item{name: name, gone: true})
		}
	}
	return sorted(list)
}

func sorted(list []item) []item {
	slices.SortFunc(list, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return list
}

// all returns all names in the directory it.
func (v *view) all(it item) []item {
	var kids map[string]*node
	if it.node != nil {
		kids = it.node.kids
	}
	var nodes []*tree.Node
	if it.low != nil {
		nodes = it.low.Children()
	}
	list := make([]item, 0, len(kids)+len(nodes))
	for _, c := range kids {
		if c != nil {
			list = append(list, c.item())
		}
	}
	for _, c := range nodes {
		if _, ok := kids[c.Name()]; !ok {
			list = append(list, item{name: c.Name(), low: c, group: it.group, whole: true})
		}
	}
	if len(kids) == 0 {
		return list
	}
	return sorted(list)
}

// item returns n as an item of its directory.
func (n *node) item() item {
	return item{name: n.name, node: n, low: n.low, group: n.group, whole: true}
}

// mark finds the nodes at and below it that a difference has: changed says that.
func (r *Result) mark(it item) (changed bool) {
	n := it.node
	switch {
	case it.gone:
		return true
	case !it.inPlace():
		n.changed = true
		return true
	}
	n.changed = n.own != nil
	if e, _ := r.view.entryOf(it); e.Type == tree.Dir {
		for _, c := range r.children(it) {
			if r.mark(c) {
				n.changed = true
			}
		}
	}
	return n.changed
}

// yielded reports whether it, a child of a directory that is yielded, is yielded, too.
func (it item) yielded() bool {
	return it.whole || it.gone || it.node.changed || it.name == "."
}

// countLinks counts the names of the inodes that may have several.
func (r *Result) countLinks(form tree.Form) map[inodeKey]uint32 {
	links := make(map[inodeKey]uint32)
	var visit func(it item)
	visit = func(it item) {
		if !it.yielded() || it.gone {
			return
		}
		e, key := r.view.entryOf(it)
		if e.Type == tree.Dir {
			for _, c := range r.children(it) {
				visit(c)
			}
			return
		}
		if key.low != it.lowEntry() || e.Nlink > 1 {
			links[key]++
		}
	}
	visit(r.top(form))
	return links
}

func (it item) lowEntry() *tree.Entry {
	if it.low == nil {
		return nil
	}
	return it.low.Entry
}

var whiteout = tree.Entry{Type: tree.Char, Nlink: 1}

type source struct {
	r     *Result
	links map[inodeKey]uint32      // of inodes that may have several
	first map[inodeKey]*tree.Place // where one of several names was yielded
	stack []level
	path  []byte // of the directory on top of the stack, with a slash after it
	entry tree.Entry
}

// level is a directory whose names have not all been yielded.
type level struct {
	items []item
	path  int         // length of the part of source.path that is the directory's
	at    *tree.Place // of the directory
}

// Close does nothing: contents belong to the lower tree or to files of the host.
func (s *source) Close() error { return nil }

func (s *source) Next() (*tree.Entry, error) {
	for len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if len(top.items) == 0 {
			s.stack = s.stack[:len(s.stack)-1]
			continue
		}
		it := top.items[0]
		top.items = top.items[1:]
		if !it.yielded() {
			continue
		}
		s.path = append(s.path[:top.path], it.name...)
		s.fill(it, top.at)
		if s.entry.Type == tree.Dir {
			s.descend(it, top.at)
		}
		return &s.entry, nil
	}
	return nil, io.EOF
}

// descend goes into it, a directory in the directory at.
func (s *source) descend(it item, at *tree.Place) {
	items := s.r.children(it)
	s.entry.Nlink = 2
	for _, c := range items {
		if c.yielded() && s.r.isDir(c) {
			s.entry.Nlink++
		}
	}
	if it.name == "." {
		s.path = s.path[:0]
	} else {
		s.path = append(s.path, '/')
		at = at.Join(it.name)
	}
	s.stack = append(s.stack, level{items: items, path: len(s.path), at: at})
}

func (r *Result) isDir(it item) bool {
	if it.gone {
		return false
	}
	e, _ := r.view.entryOf(it)
	return e.Type == tree.Dir
}

// fill sets s.entry to the record of it. dir is the directory of it, and s.path its path.
func (s *source) fill(it item, dir *tree.Place) {
	if it.gone {
		s.entry = whiteout
		s.entry.Path = string(s.path)
		return
	}
	e, key := s.r.view.entryOf(it)
	s.entry = *e
	setImplied(&s.entry)
	s.entry.Path = string(s.path)
	if e.Type == tree.Dir {
		if it.below != nil && !it.inPlace() {
			s.entry.Xattrs = slices.Clone(e.Xattrs)
			setXattr(&s.entry, tree.Opaque.Name, tree.Opaque.Value)
		}
		return
	}
	s.entry.Nlink = max(1, s.links[key])
	if s.entry.Nlink == 1 {
		return
	}
	first, ok := s.first[key]
	if !ok {
		s.first[key] = dir.Join(it.name)
		return
	}
	s.entry.Hardlink, s.entry.Content = first.String(), nil
}
