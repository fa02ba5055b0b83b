package tree

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// children are the names in a directory. Most directories have few names, or get them in byte
// order, and keep them in a slice, which takes a twelfth of the memory that a map does.
type children struct {
	few  []*Node          // up to maxFew nodes in any order, or any number in byte order
	many map[string]*Node // in place of few
}

const maxFew = 8

func (s *children) len() int {
	if s == nil {
		return 0
	}
	return len(s.few) + len(s.many)
}

// get returns the node with this name, or nil.
func (s *children) get(name string) *Node {
	if s == nil {
		return nil
	}
	for _, c := range s.few[:min(len(s.few), maxFew)] {
		if c.name == name {
			return c
		}
	}
	if len(s.few) > maxFew {
		if i := s.index(name); i >= 0 {
			return s.few[i]
		}
	}
	return s.many[name]
}

// index returns the index of name in few, or -1.
func (s *children) index(name string) int {
	if len(s.few) > maxFew {
		if s.isLast(name) {
			return -1
		}
		if i, ok := slices.BinarySearchFunc(s.few, name, func(c *Node, name string) int { return cmp.Compare(c.name, name) }); ok {
			return i
		}
		return -1
	}
	for i, c := range s.few {
		if c.name == name {
			return i
		}
	}
	return -1
}

// set adds c. It replaces a node with the same name.
func (s *children) set(c *Node) {
	if s.many != nil {
		s.many[c.name] = c
		return
	}
	if i := s.index(c.name); i >= 0 {
		s.few[i] = c
		return
	}
	if len(s.few) < maxFew || s.isLast(c.name) && (len(s.few) > maxFew || slices.IsSortedFunc(s.few, byName)) {
		s.few = append(s.few, c)
		return
	}
	s.toMap()
	s.many[c.name] = c
}

// isLast reports whether name comes after the last of few, or few is empty.
func (s *children) isLast(name string) bool {
	return len(s.few) == 0 || s.few[len(s.few)-1].name < name
}

func byName(a, b *Node) int { return cmp.Compare(a.name, b.name) }

// toMap puts the nodes of few into the map.
func (s *children) toMap() {
	s.many = make(map[string]*Node, max(2*maxFew, len(s.few)+1))
	for _, old := range s.few {
		s.many[old.name] = old
	}
	s.few = nil
}

// remove removes the node with this name, if there is one.
func (s *children) remove(name string) {
	if s == nil {
		return
	}
	if len(s.few) > maxFew { // the next names may be removed, too
		s.toMap()
	}
	delete(s.many, name)
	s.few = slices.DeleteFunc(s.few, func(c *Node) bool { return c.name == name })
}

// removeAll removes the nodes for which drop returns true.
func (s *children) removeAll(drop func(*Node) bool) {
	if s == nil {
		return
	}
	s.few = slices.DeleteFunc(s.few, drop)
	maps.DeleteFunc(s.many, func(_ string, c *Node) bool { return drop(c) })
}

// sort returns all nodes in byte order of their names, and keeps them in that slice.
func (s *children) sort() []*Node {
	if s == nil {
		return nil
	}
	for _, c := range s.many {
		if s.few == nil {
			s.few = make([]*Node, 0, len(s.many))
		}
		s.few = append(s.few, c)
	}
	if s.many != nil || len(s.few) <= maxFew {
		slices.SortFunc(s.few, byName)
	}
	s.many = nil
	return s.few
}

// all yields the nodes in no particular order.
func (s *children) all() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if s == nil {
			return
		}
		for _, c := range s.few {
			if !yield(c) {
				return
			}
		}
		for _, c := range s.many {
			if !yield(c) {
				return
			}
		}
	}
}
