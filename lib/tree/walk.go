package tree

import "io"

// Form says what a directory that is only implied becomes when a tree is written.
type Form int

const (
	Flat  Form = iota // a directory 0755 of root, of the time 0
	Layer             // nothing, or with an opaque mark a record with NoChange
)

// Source yields t in canonical order: the root first, then depth first, names in
// unsigned byte order; the first name of an inode is the file, the others are
// hard links to it. In a flat tree every directory is there; the caller sees to
// it that t has no marks of a layer. The tree must not change meanwhile, and is
// as valid after Close as before.
func (t *Tree) Source(form Form) *NodeSource {
	t.CountLinks()
	return &NodeSource{
		form:  form,
		alone: !t.hasElse,
		first: make(map[*Entry]*Place),
		stack: []level{{nodes: []*Node{t.root}}},
	}
}

// NodeSource yields the nodes of a Tree as entries.
type NodeSource struct {
	form  Form
	alone bool              // an inode with one link has one name
	first map[*Entry]*Place // where an inode of several names was yielded
	stack []level
	path  []byte // of the directory on top of the stack, with a slash behind
	entry Entry
	node  *Node // of entry
}

// level is what is still to come of one directory.
type level struct {
	nodes []*Node
	path  int    // length of NodeSource.path for them
	at    *Place // of the directory
}

// Node is the node whose record Next has returned last.
func (s *NodeSource) Node() *Node { return s.node }

// Close does nothing: a tree is memory.
func (s *NodeSource) Close() error { return nil }

// Next returns the record of the next node.
func (s *NodeSource) Next() (*Entry, error) {
	for len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if len(top.nodes) == 0 {
			s.stack = s.stack[:len(s.stack)-1]
			continue
		}
		n := top.nodes[0]
		top.nodes = top.nodes[1:]
		s.path = append(s.path[:top.path], n.name...)
		s.node = n
		s.fill(n, top.at)
		if n.Entry.Type == Dir {
			s.descend(n, top.at)
		}
		if s.form == Layer && s.entry.NoChange && !s.entry.IsOpaque() {
			continue
		}
		return &s.entry, nil
	}
	return nil, io.EOF
}

func (s *NodeSource) descend(n *Node, dir *Place) {
	var at *Place
	if n.name == "." {
		s.path = s.path[:0]
	} else {
		s.path = append(s.path, '/')
		at = dir.Join(n.name)
	}
	s.stack = append(s.stack, level{nodes: n.Children(), path: len(s.path), at: at})
}

// fill makes s.entry the record of n, which lies in dir and whose path is s.path.
func (s *NodeSource) fill(n *Node, dir *Place) {
	inode := n.Entry.Inode()
	s.entry = *inode
	e := &s.entry
	e.Lower = n.Entry.Lower
	e.Path = string(s.path)
	if e.NoChange {
		e.Mode = 0o755
		e.NoChange = s.form == Layer
		return
	}
	if e.Type == Dir || e.Nlink == 1 && s.alone {
		return
	}
	first, ok := s.first[inode]
	if !ok {
		s.first[inode] = dir.Join(n.name)
		return
	}
	e.Hardlink, e.Content = first.String(), nil
	if e.IsLower() {
		e.Lower = nil
	}
}
