package tree

// Place is a path that becomes a string only when it is needed. The paths of all files of a
// deep tree take memory by the square of the depth; a Place takes memory only for its last
// component. nil is the root.
type Place struct {
	up   *Place
	name string // one component, or several with slashes
}

// placeOf returns the Place for path.
func placeOf(path string) *Place {
	if path == "." {
		return nil
	}
	return &Place{name: path}
}

// Join returns the place of name in the directory p.
func (p *Place) Join(name string) *Place { return &Place{p, name} }

// String returns the path of p, "." for the root.
func (p *Place) String() string {
	if p == nil {
		return "."
	}
	n := -1
	for at := p; at != nil; at = at.up {
		n += len("/") + len(at.name)
	}
	path := make([]byte, n) // filled from the end, without a list of the components: long paths are needed often
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
