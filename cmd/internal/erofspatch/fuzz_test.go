package erofspatch

import (
	"strings"
	"testing"

	"ocipipe/lib/patch"
)

// FuzzPathMode looks for paths that cannot be said in a flag, or come back as others.
func FuzzPathMode(f *testing.F) {
	for _, s := range []string{"/a", "/a:b", `/a\:0755`, `/a=\\`, `\`, "/é:0755"} {
		f.Add(s)
	}
	escape := strings.NewReplacer(":", `\:`, "=", `\=`, `\`, `\\`).Replace
	f.Fuzz(func(t *testing.T, path string) {
		for value, mode := range map[string]bool{escape(path): false, escape(path) + ":0750": true} {
			have, attr, err := pathMode(value)
			if err != nil || have != path || (attr.Mode != nil) != mode {
				t.Errorf("%q: %q, %+v, %v", value, have, attr, err)
			}
			have, text, _, err := assignment(value + "=" + path)
			if err != nil || have != path || text != path {
				t.Errorf("%q: %q, %q, %v", value, have, text, err)
			}
		}
		for _, parse := range parsers {
			if op, err := parse(path, true); err == nil {
				patch.Check([]patch.Op{op}) // does not panic
			}
		}
	})
}
