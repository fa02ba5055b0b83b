package strictjson

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Append appends the canonical form of v to b. Keys are in the order of their bytes, but
// those of a record in the order in which Set added them.
func Append(b []byte, v *Value) []byte {
	return appendValue(b, v, false)
}

// AppendRFC8785 appends v to b in the form of RFC 8785: the keys of all objects, records
// too, are in the order of their UTF-16 code units. Numbers beyond MaxInt have no such form.
func AppendRFC8785(b []byte, v *Value) []byte {
	return appendValue(b, v, true)
}

func appendValue(b []byte, v *Value, rfc8785 bool) []byte {
	switch v.Kind {
	case Null:
		return append(b, "null"...)
	case String:
		return AppendString(b, v.Text)
	case Array:
		b = append(b, '[')
		for i, item := range v.Items {
			b = appendValue(comma(b, i), item, rfc8785)
		}
		return append(b, ']')
	case Object:
		sorted := make([]int, len(v.Keys))
		for i := range sorted {
			sorted[i] = i
		}
		switch {
		case rfc8785:
			slices.SortFunc(sorted, func(i, j int) int { return compareUTF16(v.Keys[i], v.Keys[j]) })
		case !v.record:
			slices.SortFunc(sorted, func(i, j int) int { return strings.Compare(v.Keys[i], v.Keys[j]) })
		}
		b = append(b, '{')
		for n, i := range sorted {
			b = append(AppendString(comma(b, n), v.Keys[i]), ':')
			b = appendValue(b, v.Items[i], rfc8785)
		}
		return append(b, '}')
	}
	return append(b, v.Text...)
}

// compareUTF16 compares by UTF-16 code units. They order as runes do, but for those beyond
// U+FFFF, which stand where their surrogates do, before U+E000.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		r, n := utf8.DecodeRuneInString(a)
		s, m := utf8.DecodeRuneInString(b)
		if r != s {
			if r >= 0xe000 && s >= 0xe000 && (r > 0xffff) != (s > 0xffff) {
				return cmp.Compare(s, r)
			}
			return cmp.Compare(r, s)
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
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

// Strs returns an array of strings.
func Strs(list []string) *Value {
	v := List()
	for _, s := range list {
		v.Items = append(v.Items, Str(s))
	}
	return v
}

// Record returns an empty object that keeps the order of its keys.
func Record() *Value { return &Value{Kind: Object, record: true} }

// Map returns an empty object.
func Map() *Value { return &Value{Kind: Object} }

// Set adds a key, which v must not have, to the object v and returns v.
func (v *Value) Set(key string, item *Value) *Value {
	v.Keys, v.Items = append(v.Keys, key), append(v.Items, item)
	return v
}
