package commit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/oci/manifest"
)

// object is a JSON object whose members keep their order, and their text unless they are
// set. Names are compared without regard to case, as Go's decoder does, which nearly all
// programs around images use.
type object struct {
	names  []string
	values []json.RawMessage
}

// parseObject parses an object, or null, which is empty. what is its name in errors.
func parseObject(what string, data []byte) (*object, error) {
	fail := func(err any) (*object, error) {
		if e, ok := err.(error); ok {
			err = jsonfault.Explain(e)
		}
		return nil, fmt.Errorf("%w: configuration: %s: %v", manifest.ErrCorrupt, what, err)
	}
	o := &object{}
	if data == nil || string(data) == "null" {
		return o, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil {
		return fail(err)
	} else if t != json.Delim('{') {
		return fail("not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fail(err)
		}
		name, _ := t.(string) // of an object
		if o.at(name) >= 0 {
			return fail(fmt.Sprintf("%.100q is there twice", name))
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return fail(err)
		}
		if len(o.names) == maxMembers {
			return fail(fmt.Sprintf("more than %d members", maxMembers))
		}
		o.names, o.values = append(o.names, name), append(o.values, v)
	}
	if _, err := d.Token(); err != nil {
		return fail(err)
	}
	return o, nil
}

// maxMembers bounds the members of an object that is searched from its beginning to its end.
const maxMembers = 1000

func (o *object) at(name string) int {
	for i, n := range o.names {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// raw returns the text of a member, nil for none.
func (o *object) raw(name string) json.RawMessage {
	if i := o.at(name); i >= 0 {
		return o.values[i]
	}
	return nil
}

// get decodes a member into v, and leaves v as it is if there is none.
func (o *object) get(name string, v any) error {
	raw := o.raw(name)
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%w: configuration: %s: %v", manifest.ErrCorrupt, name, jsonfault.Explain(err))
	}
	return nil
}

// set replaces a member, or adds it at the end.
func (o *object) set(name string, v any) {
	raw := encode(v)
	if i := o.at(name); i >= 0 {
		o.names[i], o.values[i] = name, raw
		return
	}
	o.names, o.values = append(o.names, name), append(o.values, raw)
}

// remove removes a member.
func (o *object) remove(name string) {
	if i := o.at(name); i >= 0 {
		o.names = append(o.names[:i], o.names[i+1:]...)
		o.values = append(o.values[:i], o.values[i+1:]...)
	}
}

// MarshalJSON implements [json.Marshaler].
func (o *object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, n := range o.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, encode(n)...), ':'), o.values[i]...)
	}
	return append(b, '}'), nil
}

// encode encodes a value that this package has made. That cannot fail.
func encode(v any) json.RawMessage {
	if o, ok := v.(*object); ok {
		b, _ := o.MarshalJSON()
		return b
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
