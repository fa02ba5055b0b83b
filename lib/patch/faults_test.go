package patch

import (
	"errors"
	"strings"
	"testing"
)

// TestYAMLFaults has mistakes in YAML, and where and how they are told.
func TestYAMLFaults(t *testing.T) {
	const good = "- mkdir:\n    path: /a\n"
	for _, c := range []struct{ text, want string }{
		{"   mode: '0755'\n", "p:3: " + misplaced},
		{"- mkdir:\n    path: \"/b\" c\n" + good, "p:4: " + misplaced},
		{good + good + "mkdir: {path: /b}\n" + good, "p:7: " + misplaced},
		{"- mkdir: {path: [/b}\n", "p:3: a list in [ ] lacks a comma or its end"},
		{"- mkdir: {path: /b\n" + good, "p:3: an object in { } lacks a comma or its end"},
		{"- mkdir: {path: /b,\n  mode: ]}", "p:4: a value is missing"},
		{"- mkdir: path: /b\n", "p:3: a : too many, or in a text, which then needs quotes"},
		{"- mkdir: - a\n", "p:3: " + noList},
		{"- mkdir:\n    path /b\n    mode: '0755'\n", "p:5: a : too many, or in a text, which then needs quotes"},
		{"- mkdir:\n    ? x\n    y\n    path\n", "p:"},
		{"- mkdir:\n\tpath: /b\n", "p:4: a tab, or one of @ ` %, begins a value: indent with spaces, and put texts in quotes"},
		{"- mkdir: {path: @b}\n", "p:3: a tab, or one of @ ` %, begins a value: indent with spaces, and put texts in quotes"},
		{"- mkdir: {path: \"/b}\n" + good, "p:3: " + openQuote},
		{"- mkdir: {path: '/b\n---\n'}\n", "p:3: " + openQuote},
		{"- text: {path: /b, content: \"\\d\"}\n", "p:3: an unknown escape: write \\\\ for a backslash, or use single quotes"},
		{"- text: {path: /b, content: \"\\u12\"}\n", "p:3: \\x wants 2 hex digits, \\u 4 and \\U 8"},
		{"- text: {path: /b, content: \"\\ud800\"}\n", "p:3: an escape for what is not a character"},
		{"- text: {path: /b, content: *}\n", "p:3: & or * begins a name to YAML: put the text in quotes"},
		{"- text: {path: /b, content: *.txt }\n", "p:3:"},
		{"- text: {path: /b, content: *txt }\n", `p:3:29: "*txt" is an alias to YAML: put it in quotes`},
		{"# *a\n- text: {path: /*a, content: '*a'}\n- append: {path: /*ab, text: *ab}\n- remove: [/*a,*a]\n", `p:5:30: "*ab" is an`},
		{"- remove: '*a*ab'\n- remove: {/*a: *ab, path: *a}\n", `p:4:17: "*ab" is an`},
		{"- text: {path: /b, content: !x!y z}\n", "p:3: " + noTags},
		{"- text: {path: /b, content: !<x}\n", "p:3: " + noTags},
		{"- text:\n    path: /b\n    content: |x\n", "p:5: " + badHeader},
		{"- text:\n    content: |\n      a\n\n\tb\n" + good, "p:7: " + noTabs},
		{"...\nmore\n...\n%FOO\n", "p:"},
		{"---\n%FOO\n", "p:"},
		{"- text: {path: /b, content: \xff}\n", "p:3:29: byte 0xff is not UTF-8"},
		{"- text: {path: /b, content: 'ä\x01'}\n", "p:3:31: the character U+0001 is not allowed in YAML: write it as an escape, in double quotes"},
	} {
		_, err := Decode(strings.NewReader(good+c.text), "p")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q:\n     error %v\n  expected %s", c.text, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "did not find") || strings.Contains(err.Error(), "found ")) {
			t.Errorf("%q: %v, in the words of the library", c.text, err)
		}
	}
	if _, err := Decode(strings.NewReader("%FOO\n"), "p"); err == nil || err.Error() != "p:1: "+noDirective {
		t.Errorf("a directive: %v", err)
	}
	utf16 := "\xff\xfe"
	for _, c := range good {
		utf16 += string([]byte{byte(c), 0})
	}
	if ops, err := Decode(strings.NewReader(utf16), "p"); err != nil || len(ops) != 1 {
		t.Errorf("UTF-16: %d operations, %v", len(ops), err)
	}
}

// TestJSONFaults has mistakes in JSON, and where and how they are told.
func TestJSONFaults(t *testing.T) {
	for text, want := range map[string]string{
		`{a: 1}}`:                   "p:1:2: 'a' where a name in double quotes should be",
		"[{\"a\": 1},\n {]":         "p:2:3: ']' where a name in double quotes should be",
		`{"a":1,}`:                  "p:1:8: '}' where a name in double quotes should be",
		`[{"mkdir": }]`:             "p:1:12: '}' where a value should be",
		`[{"mkdir": {"path": a"}}]`: "p:1:21: 'a' where a value should be",
		`[1,]`:                      "p:1:4: ']' where a value should be",
		`[1] x`:                     "p:1:5: 'x' where a value should be",
		`[1 2`:                      "p:1:4: invalid character '2' after array element",
		`{"a" 1}`:                   "p:1:6: invalid character '1' after object key",
		`[tru]`:                     "p:1:5: invalid character ']' in literal true (expecting 'e')",
		"[\"ää\", \"a\x01\"]":       "p:1:10: invalid character '\\x01' in string literal",
		`[`:                         "p:1:2: the JSON is cut short",
	} {
		_, err := parseJSON([]byte(text))
		if fault := (*FileError)(nil); errors.As(err, &fault) {
			fault.File = "p"
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, expected %s", text, err, want)
		}
	}
}
