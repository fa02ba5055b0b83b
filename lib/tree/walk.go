package tree

import "io"

// Form says how a source yields a directory that is only implied.
type Form int

const (
	Flat  Form = iota // as a directory 0755 of root at the time 0
	Layer             // not at all, or if it is opaque with NoChange
)

// Source returns the files of t in canonical order: the root first, then depth first,
// names in unsigned byte order. The first name of an inode is the file, the others are hard
// links to it. In the form Flat every directory has a record; t must not have marks of a
// layer then. The tree must not change while the source is read. It stays valid after
// Close.
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
	alone bool              // Nlink 1 means that the inode has only one name
	first map[*Entry]*Place // where the first name of an inode with several was yielded
	stack []level
	path  []byte // of the directory on top of the stack, with a slash after it
	entry Entry
	node  *Node // that entry describes
}

// level is a directory whose names have not all been yielded.
type level struct {
	nodes []*Node
	path  int    // length of the part of NodeSource.path that is the directory's
	at    *Place // of the directory
}

// Node returns the node of the entry that Next returned last.
func (s *NodeSource) Node() *Node { return s.node }

// Close does nothing: the tree belongs to the caller.
func (s *NodeSource) Close() error { return nil }

// Next returns the entry of the next node.
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

// fill sets s.entry to the record of n, which is in the directory dir and has the path
// s.path.
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
