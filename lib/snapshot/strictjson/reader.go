package strictjson

// Reader reads values that are parts of one, and keeps the first error about them. After
// an error its results mean nothing.
type Reader struct{ Err error }

// Keep keeps err, unless there was an error before.
func (r *Reader) Keep(err error) {
	if r.Err == nil {
		r.Err = err
	}
}

// Text reads a string.
func (r *Reader) Text(v *Value, where string) string {
	s, err := v.String(where)
	r.Keep(err)
	return s
}

// TextOrNull reads a string, nil for null.
func (r *Reader) TextOrNull(v *Value, where string) *string {
	s, err := v.StringOrNull(where)
	r.Keep(err)
	return s
}

// Int reads an integer of 0 to MaxInt.
func (r *Reader) Int(v *Value, where string) int64 {
	n, err := v.Int(where)
	r.Keep(err)
	return n
}

// Bool reads a boolean.
func (r *Reader) Bool(v *Value, where string) bool {
	b, err := v.Bool(where)
	r.Keep(err)
	return b
}

// List reads an array.
func (r *Reader) List(v *Value, where string) []*Value {
	items, err := v.List(where)
	r.Keep(err)
	return items
}

// Texts reads an array of strings.
func (r *Reader) Texts(v *Value, where string) []string {
	var texts []string
	for _, item := range r.List(v, where) {
		texts = append(texts, r.Text(item, where))
	}
	return texts
}

// Fields reads an object of the keys in names; see [Value.Fields]. It is nil after an error.
func (r *Reader) Fields(v *Value, where string, names ...string) []*Value {
	f, err := v.Fields(where, names...)
	r.Keep(err)
	return f
}

// Is keeps an error unless v is the string want.
func (r *Reader) Is(v *Value, where, want string) { r.Keep(v.Is(where, want)) }

// Object reads an object of any keys.
func (r *Reader) Object(v *Value, where string) map[string]*Value {
	if v.Kind != Object {
		r.Keep(v.Fault(where, "is %v, not an object", v.Kind))
	}
	m := map[string]*Value{}
	for i, key := range v.Keys {
		m[key] = v.Items[i]
	}
	return m
}
