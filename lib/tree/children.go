package tree

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// children are the names in a directory. Most sources yield the names of a directory in byte
// order, or nearly. Such names stay in a slice, which takes a twelfth of the memory of a map
// and needs no sorting. Other names go to a map, unless they are few.
type children struct {
	list []*Node          // in byte order
	many map[string]*Node // in place of list
}

const maxFew = 8 // nodes of list that setting or removing a name may move

func (s *children) len() int {
	if s == nil {
		return 0
	}
	return len(s.list) + len(s.many)
}

// get returns the node with this name, or nil.
func (s *children) get(name string) *Node {
	if s == nil {
		return nil
	}
	if n := len(s.list); n > 0 && s.list[n-1].name == name {
		return s.list[n-1] // a parent of the path before, mostly
	}
	if i, ok := s.search(name); ok {
		return s.list[i]
	}
	return s.many[name]
}

// search returns the index in list that name has or, if ok is false, would have.
func (s *children) search(name string) (i int, ok bool) {
	end := len(s.list)
	for mid := end - 1; i < end; mid = (i + end) / 2 { // the last first: mostly name comes after it
		switch c := strings.Compare(s.list[mid].name, name); {
		case c == 0:
			return mid, true
		case c < 0:
			i = mid + 1
		default:
			end = mid
		}
	}
	return i, false
}

// set adds c. It replaces a node with the same name.
func (s *children) set(c *Node) {
	if s.many != nil {
		s.many[c.name] = c
		return
	}
	i, ok := s.search(c.name)
	switch {
	case ok:
		s.list[i] = c
	case len(s.list)-i <= maxFew:
		s.list = slices.Insert(s.list, i, c)
	default:
		s.toMap()
		s.many[c.name] = c
	}
}

// toMap moves the nodes from list to many.
func (s *children) toMap() {
	s.many = make(map[string]*Node, max(2*maxFew, len(s.list)+1))
	for _, c := range s.list {
		s.many[c.name] = c
	}
	s.list = nil
}

// remove removes the node with this name, if there is one.
func (s *children) remove(name string) {
	if s == nil {
		return
	}
	if s.many != nil {
		delete(s.many, name)
		return
	}
	switch i, ok := s.search(name); {
	case !ok:
	case len(s.list)-i <= maxFew:
		s.list = slices.Delete(s.list, i, i+1)
	default:
		s.toMap()
		delete(s.many, name)
	}
}

// sort returns all nodes in byte order of their names, and keeps them in that slice.
func (s *children) sort() []*Node {
	if s == nil {
		return nil
	}
	if s.many != nil {
		s.list = make([]*Node, 0, len(s.many))
		for _, c := range s.many {
			s.list = append(s.list, c)
		}
		slices.SortFunc(s.list, func(a, b *Node) int { return strings.Compare(a.name, b.name) })
		s.many = nil
	}
	return s.list
}

// all yields the nodes in no particular order.
func (s *children) all() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if s == nil {
			return
		}
		for _, c := range s.list {
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

// removeAll removes the nodes for which drop returns true.
func (s *children) removeAll(drop func(*Node) bool) {
	if s == nil {
		return
	}
	s.list = slices.DeleteFunc(s.list, drop)
	maps.DeleteFunc(s.many, func(_ string, c *Node) bool { return drop(c) })
}
