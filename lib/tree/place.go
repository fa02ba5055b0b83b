package tree

// Place is a path that becomes a string only when it is needed. Paths of all files of
// a deep tree take memory by the square of the depth; a Place takes only its last
// component. nil is the root.
type Place struct {
	up   *Place
	name string // or several, with slashes
}

// placeOf is the place that has path.
func placeOf(path string) *Place {
	if path == "." {
		return nil
	}
	return &Place{name: path}
}

// Join is the place of name in the directory p.
func (p *Place) Join(name string) *Place { return &Place{p, name} }

// String is the path of p.
func (p *Place) String() string {
	if p == nil {
		return "."
	}
	n := -1
	for at := p; at != nil; at = at.up {
		n += len("/") + len(at.name)
	}
	path := make([]byte, n) // filled from its end: long paths are asked for often
	for at := p; ; at = at.up {
		n -= len(at.name)
		copy(path[n:], at.name)
		if at.up == nil {
			return string(path)
		}
		n--
		path[n] = '/'
	}
}
