package commit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzObject changes one member of an object, and compares all members with what
// encoding/json makes of them.
func FuzzObject(f *testing.F) {
	seeds := []string{
		`null`, `{}`, `{"a":1}`, ` { "os" : "linux" , "config" : { "Env" : [ "A=1" ] } } `,
		`{"config":{"env":null},"x":1e400,"\u0063":"\ud800"}`, `{"Config":[{"<":"&"}]}`, "{\"\xff\":\"\xff\"}",
		`{"x":` + strings.Repeat("[", 90) + strings.Repeat("]", 90) + `}`,
	}
	for _, s := range seeds {
		if _, err := parseObject("seed", []byte(s)); err != nil {
			f.Fatalf("%.50s: %v", s, err)
		}
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = []byte(strings.TrimSpace(string(data)))
		o, err := parseObject("document", data)
		if err != nil || !json.Valid(data) { // what follows the document is checked before
			return
		}
		want := members(t, data)
		if got := members(t, encode(o)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q", data, encode(o))
		}
		for name := range want {
			if strings.EqualFold(name, "config") {
				delete(want, name)
			}
		}
		o.set("config", []string{"<new>"})
		want["config"] = `["<new>"]`
		if got := members(t, encode(o)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q with another config became %q", data, encode(o))
		}
		o.remove("CONFIG")
		delete(want, "config")
		if got := members(t, encode(o)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q without config became %q", data, encode(o))
		}
	})
}

// members returns the texts of the members of an object.
func members(t *testing.T, data []byte) map[string]string {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatalf("%.200q: %v", data, err)
	}
	m := map[string]string{}
	for name, text := range raw {
		m[name] = string(text)
	}
	return m
}
