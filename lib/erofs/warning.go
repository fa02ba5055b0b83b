package erofs

import "fmt"

// warning counts what is all told in one line.
type warning struct {
	first string
	count int
}

func (n *warning) note(what string) {
	if n.count == 0 {
		n.first = what
	}
	n.count++
}

func (n *warning) add(m warning) {
	if n.count == 0 {
		n.first = m.first
	}
	n.count += m.count
}

func (n *warning) text() string {
	s := n.first + ": left out"
	if n.count > 1 {
		s += fmt.Sprintf(", and %d more", n.count-1)
	}
	return s
}
