package patch

import (
	"fmt"
	"slices"
)

// kind is the type of a JSON or YAML value.
type kind int

const (
	isNull kind = iota
	isBool
	isNumber
	isString
	isList
	isObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// value is a JSON or YAML value.
type value struct {
	kind   kind
	text   string // of a scalar
	items  []*value
	fields []field
	pos    position
}

type field struct {
	key   string
	pos   position
	value *value
}

// position is the line and column of a character in a file, from 1. If column is 0, only the
// line is known.
type position struct{ line, column int }

// maxNesting is how deep values may be nested. Patches need five levels.
const maxNesting = 32

var errNesting = fmt.Errorf("values nested deeper than %d levels", maxNesting)

// maxFields is how many fields an object may have. Patches have up to seven.
const maxFields = 64

// maxValues is how many a file may have. What it is turned into takes some 200 bytes for
// each.
const maxValues = 1 << 20

var errValues = fmt.Errorf("more than %d values in one file", maxValues)

// add puts a field into the object v. It must not be there yet.
func (v *value) add(f field) error {
	if len(v.fields) == maxFields {
		return at(f.pos, "object with more than %d keys", maxFields)
	}
	if slices.ContainsFunc(v.fields, func(g field) bool { return g.key == f.key }) {
		return at(f.pos, "%q is there twice", short(f.key))
	}
	v.fields = append(v.fields, f)
	return nil
}

// at returns an error with a position. The caller that knows the file adds it.
func at(pos position, format string, args ...any) error {
	return &FileError{Line: pos.line, Column: pos.column, Err: fmt.Errorf(format, args...)}
}
