package tree

import "strings"

// slabs allocates what a tree has much of, many at a time: that takes less time and less
// memory than one by one. A slab lives as long as something in it.
type slabs struct {
	nodes   []Node
	entries EntrySlab
	text    strings.Builder // of names
}

const (
	nodeSlab  = 16      // nodes that are made at a time
	entrySlab = 2       // entries likewise
	textSlab  = 2 << 10 // bytes of names likewise
)

// EntrySlab copies entries that are kept, and allocates memory for several at a time.
type EntrySlab []Entry

// Copy returns a copy of e.
func (s *EntrySlab) Copy(e *Entry) *Entry {
	if len(*s) == 0 {
		*s = make([]Entry, entrySlab)
	}
	c := &(*s)[0]
	*s = (*s)[1:]
	*c = *e
	return c
}

// node returns a new node with this name, which it copies: the name may be part of a path,
// and would keep that in memory.
func (s *slabs) node(name string) *Node {
	if len(s.nodes) == 0 {
		s.nodes = make([]Node, nodeSlab)
	}
	n := &s.nodes[0]
	s.nodes = s.nodes[1:]
	if s.text.Cap()-s.text.Len() < len(name) {
		s.text = strings.Builder{}
		s.text.Grow(textSlab)
	}
	begin := s.text.Len()
	s.text.WriteString(name)
	n.name = s.text.String()[begin:]
	return n
}
