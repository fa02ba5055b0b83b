package tree

import "fmt"

// Tally counts what one warning tells of: a case by name, and how many there are. Its
// zero value has counted nothing.
type Tally struct {
	First string
	Count int
}

// Add counts one more.
func (t *Tally) Add(what string) {
	if t.Count == 0 {
		t.First = what
	}
	t.Count++
}

// AddAll counts what more has counted, behind what t has.
func (t *Tally) AddAll(more Tally) {
	if t.Count == 0 {
		t.First = more.First
	}
	t.Count += more.Count
}

// Text says what became of the first case, and how many more there are.
func (t *Tally) Text(what string) string {
	s := t.First + ": " + what
	if t.Count > 1 {
		s += fmt.Sprintf(" (and %d more)", t.Count-1)
	}
	return s
}

// LeftOut says that what was counted is not in the output. It is empty if that is
// nothing.
func (t *Tally) LeftOut() string {
	switch t.Count {
	case 0:
		return ""
	case 1:
		return t.First + ": left out"
	}
	return fmt.Sprintf("%s: left out, and %d more", t.First, t.Count-1)
}
