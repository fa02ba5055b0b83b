package strictjson

import (
	"slices"
	"strconv"
	"strings"

	"ocipipe/lib/snapshot/fault"
)

// Fields returns the values of the keys in names, in that order. It is an error if v is not
// an object, lacks a key, or has another one. A key with a question mark after it may be
// missing; its value is nil then. where names v in errors.
func (v *Value) Fields(where string, names ...string) ([]*Value, error) {
	if v.Kind != Object {
		return nil, v.Fault(where, "is %v, not an object", v.Kind)
	}
	found := make([]*Value, len(names))
	for i, key := range v.Keys {
		at := slices.IndexFunc(names, func(n string) bool { return strings.TrimSuffix(n, "?") == key })
		if at < 0 {
			return nil, v.Items[i].Fault(where, "unknown key %.60q", key)
		}
		found[at] = v.Items[i]
	}
	for i, name := range names {
		if found[i] == nil && !strings.HasSuffix(name, "?") {
			return nil, v.Fault(where, "key %q is missing", name)
		}
	}
	return found, nil
}

// Fault returns an error about v, which is where.
func (v *Value) Fault(where, format string, args ...any) error {
	return fault.Corrupt("byte %d: %s: "+format, append([]any{v.Offset, where}, args...)...)
}

// Get returns the value of a key, nil if v has none.
func (v *Value) Get(key string) *Value {
	if i := slices.Index(v.Keys, key); i >= 0 {
		return v.Items[i]
	}
	return nil
}

// String returns the characters of a string.
func (v *Value) String(where string) (string, error) {
	if v.Kind != String {
		return "", v.Fault(where, "is %v, not a string", v.Kind)
	}
	return v.Text, nil
}

// StringOrNull returns the characters of a string, nil for null.
func (v *Value) StringOrNull(where string) (*string, error) {
	if v.Kind == Null {
		return nil, nil
	}
	s, err := v.String(where)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// MaxInt is the largest number that every reader of JSON has exactly.
const MaxInt int64 = 1<<53 - 1

// Int returns an integer of 0 to MaxInt.
func (v *Value) Int(where string) (int64, error) {
	if v.Kind != Number {
		return 0, v.Fault(where, "is %v, not a number", v.Kind)
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil || n < 0 || n > MaxInt {
		return 0, v.Fault(where, "%s is not a number of 0 to %d", v.Text, MaxInt)
	}
	return n, nil
}

// Bool returns a boolean.
func (v *Value) Bool(where string) (bool, error) {
	if v.Kind != Bool {
		return false, v.Fault(where, "is %v, not a boolean", v.Kind)
	}
	return v.Text == "true", nil
}

// List returns the items of an array.
func (v *Value) List(where string) ([]*Value, error) {
	if v.Kind != Array {
		return nil, v.Fault(where, "is %v, not an array", v.Kind)
	}
	return v.Items, nil
}

// Is returns an error unless v is the string want.
func (v *Value) Is(where, want string) error {
	s, err := v.String(where)
	if err == nil && s != want {
		err = fault.Unsupported("byte %d: %s: is %.60q, not %q", v.Offset, where, s, want)
	}
	return err
}
