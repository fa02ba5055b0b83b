package tree

import (
	"iter"
	"slices"
)

// children are the names in a directory. Most directories have few: those lie in a
// slice, which takes a twelfth of the memory that a map does.
type children struct {
	few  []*Node          // in no order
	many map[string]*Node // instead of few
}

const maxFew = 8

func (s *children) len() int {
	if s == nil {
		return 0
	}
	return len(s.few) + len(s.many)
}

// get is the node called name, or nil.
func (s *children) get(name string) *Node {
	if s == nil {
		return nil
	}
	for _, c := range s.few {
		if c.name == name {
			return c
		}
	}
	return s.many[name]
}

func (s *children) index(name string) int {
	for i, c := range s.few {
		if c.name == name {
			return i
		}
	}
	return -1
}

// set puts c in place of what has its name.
func (s *children) set(c *Node) {
	if s.many != nil {
		s.many[c.name] = c
		return
	}
	if i := s.index(c.name); i >= 0 {
		s.few[i] = c
		return
	}
	if len(s.few) < maxFew {
		s.few = append(s.few, c)
		return
	}
	s.many = make(map[string]*Node, 2*maxFew)
	for _, old := range s.few {
		s.many[old.name] = old
	}
	s.few = nil
	s.many[c.name] = c
}

// remove takes away what is called name.
func (s *children) remove(name string) {
	switch {
	case s == nil:
	case s.many != nil:
		delete(s.many, name)
	default:
		s.few = slices.DeleteFunc(s.few, func(c *Node) bool { return c.name == name })
	}
}

// all yields the nodes in no particular order. The one that was yielded last may be
// removed meanwhile.
func (s *children) all() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if s == nil {
			return
		}
		for i := len(s.few) - 1; i >= 0; i-- { // what is removed moves those behind it
			if !yield(s.few[i]) {
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
