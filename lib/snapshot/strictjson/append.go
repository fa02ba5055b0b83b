package strictjson

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Append appends the canonical form of v to b. Keys are in the order of their bytes, but
// those of a record in the order in which Set added them.
func Append(b []byte, v *Value) []byte {
	switch v.Kind {
	case Null:
		return append(b, "null"...)
	case String:
		return AppendString(b, v.Text)
	case Array:
		b = append(b, '[')
		for i, item := range v.Items {
			b = Append(comma(b, i), item)
		}
		return append(b, ']')
	case Object:
		order := make([]int, len(v.Keys))
		for i := range order {
			order[i] = i
		}
		if !v.record {
			slices.SortFunc(order, func(i, j int) int { return strings.Compare(v.Keys[i], v.Keys[j]) })
		}
		b = append(b, '{')
		for n, i := range order {
			b = append(AppendString(comma(b, n), v.Keys[i]), ':')
			b = Append(b, v.Items[i])
		}
		return append(b, '}')
	}
	return append(b, v.Text...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// AppendString appends the canonical form of the string s, which is valid UTF-8, to b.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch at := strings.IndexByte(escaped, c); {
		case at >= 0 && c != '/':
			b = append(b, '\\', escapes[at])
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// Text returns the string s as a value, and null for nil.
func Text(s *string) *Value {
	if s == nil {
		return &Value{Kind: Null}
	}
	return &Value{Kind: String, Text: *s}
}

// Str returns the string s as a value.
func Str(s string) *Value { return &Value{Kind: String, Text: s} }

// Int returns n as a value.
func Int(n int64) *Value { return &Value{Kind: Number, Text: strconv.FormatInt(n, 10)} }

// Flag returns b as a value.
func Flag(b bool) *Value { return &Value{Kind: Bool, Text: strconv.FormatBool(b)} }

// List returns an array.
func List(items ...*Value) *Value { return &Value{Kind: Array, Items: items} }

// Record returns an empty object that keeps the order of its keys.
func Record() *Value { return &Value{Kind: Object, record: true} }

// Map returns an empty object.
func Map() *Value { return &Value{Kind: Object} }

// Set adds a key, which v must not have, to the object v and returns v.
func (v *Value) Set(key string, item *Value) *Value {
	v.Keys, v.Items = append(v.Keys, key), append(v.Items, item)
	return v
}
