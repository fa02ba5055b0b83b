package patch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ocipipe/lib/tree"
)

// fields decodes the fields of an object. It keeps the first error.
type fields struct {
	value *value
	dir   string
	taken []string
	err   error

	missing bool // err is about a key that is missing
}

func (f *fields) fail(pos position, format string, args ...any) {
	if f.err == nil {
		f.err = at(pos, format, args...)
	}
}

func (f *fields) has(key string) bool {
	for _, g := range f.value.fields {
		if g.key == key {
			return true
		}
	}
	return false
}

// take returns the value of key, or nil, and marks key as known for rest.
func (f *fields) take(key string) *value {
	f.taken = append(f.taken, key)
	for _, g := range f.value.fields {
		if g.key == key {
			return g.value
		}
	}
	return nil
}

// rest returns an error about the first field that was not taken. what names the object in
// it.
func (f *fields) rest(what string) error {
	for _, g := range f.value.fields {
		if !slices.Contains(f.taken, g.key) {
			return at(g.pos, "%w", &UnknownError{fmt.Sprintf("%s has no field %q", what, short(g.key))})
		}
	}
	return nil
}

func (f *fields) required(key string, use func(*value)) {
	if v := f.take(key); v != nil {
		use(v)
	} else {
		f.missing = f.missing || f.err == nil
		f.fail(f.value.pos, "%q is missing", key)
	}
}

func (f *fields) optional(key string, use func(*value)) {
	if v := f.take(key); v != nil {
		use(v)
	}
}

// of reports whether v, the value of key, is of kind k, and fails if it is not.
func (f *fields) of(k kind, key string, v *value) bool {
	if v.kind != k {
		quote := ""
		if k == isString && v.kind < isString {
			quote = " (quotes make it one)"
		}
		f.fail(v.pos, "%q is %s, not %s%s", key, v.kind, k, quote)
	}
	return v.kind == k
}

func (f *fields) text(key string) (s string) {
	f.required(key, func(v *value) {
		if f.of(isString, key, v) {
			s = v.text
		}
	})
	return s
}

func (f *fields) path(key string) string {
	s := f.text(key)
	if v := f.take(key); f.err == nil {
		if err := checkPath(s); err != nil {
			f.fail(v.pos, "%q: %w", key, err)
		}
	}
	return s
}

func (f *fields) source(key string) Source { return Source{Dir: f.dir, Path: f.text(key)} }

func (f *fields) flag(key string) (set bool) {
	f.optional(key, func(v *value) {
		if f.of(isBool, key, v) {
			set = v.text == "true" || v.text == "True" || v.text == "TRUE"
		}
	})
	return set
}

func (f *fields) base64(key string) string {
	s := f.text(key)
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && strings.ContainsAny(s, "\r\n") {
		err = errors.New("line end")
	}
	if v := f.take(key); err != nil && v != nil {
		f.fail(v.pos, "%q is not base64 with padding and without spaces: %w", key, err)
	}
	return string(b)
}

func (f *fields) attr() Attr {
	a := Attr{Owner: f.owner()}
	f.optional("mode", func(v *value) {
		if v.kind != isNull { // null is the same as no mode
			mode := f.toMode(v)
			a.Mode = &mode
		}
	})
	return a
}

func (f *fields) toMode(v *value) uint16 {
	mode, err := strconv.ParseUint(v.text, 8, 16)
	if v.kind != isString || len(v.text) != 4 || err != nil || mode > 0o7777 {
		f.fail(v.pos, `"mode" is not a string of four octal digits in quotes, such as "0644"`)
	}
	return uint16(mode)
}

func (f *fields) owner() Owner { return Owner{UID: f.id("uid"), GID: f.id("gid")} }

func (f *fields) id(key string) (id *uint32) {
	f.optional(key, func(v *value) {
		n, err := strconv.ParseUint(v.text, 10, 32)
		if v.kind != isNumber || err != nil || n == math.MaxUint32 || strconv.FormatUint(n, 10) != v.text { // 010 is 8 to YAML
			f.fail(v.pos, "%q is not a number from 0 to %d", key, uint32(math.MaxUint32-1))
			return
		}
		narrow := uint32(n)
		id = &narrow
	})
	return id
}

func (f *fields) time(key string) (t *tree.Time) {
	f.optional(key, func(v *value) {
		sec, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind == isNumber && err == nil && strconv.FormatInt(sec, 10) == v.text {
			t = &tree.Time{Sec: sec}
			return
		}
		parsed, ok := tree.ParseTime(v.text)
		if v.kind != isString || !ok {
			f.fail(v.pos, `%q is not a number of seconds since 1970, nor a string such as "1700000000.5" or "2024-01-31T12:00:00Z"`, key)
			return
		}
		t = &parsed
	})
	return t
}
