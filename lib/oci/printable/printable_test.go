package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":                       "plain text",
		"a\x1b[31mred\n\x00b":              "a [31mred  b",
		"\u202eturned\u2028 around \u00e9": " turned  around \u00e9",
		"":                                 "",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestJSON shows that the meaning of a text stays, and that a terminal obeys nothing of it.
func TestJSON(t *testing.T) {
	for _, s := range []string{"", "plain \u00e9 \u4e16 \U0001f600", "\x1b[2J\x07\n\t", "\u009b31m\u0085\x7f", "\u202eturned\u2028", "\U000e0001\U000f0000", "\ufffd<>&\"\\", "\xff\xc3"} {
		data, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		got := JSON(data)
		if strings.ContainsFunc(string(got), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: %q", s, got)
		}
		var before, after map[string]string
		if json.Unmarshal(data, &before) != nil || json.Unmarshal(got, &after) != nil {
			t.Fatalf("%q", got)
		}
		for key, value := range before {
			if after[key] != value {
				t.Errorf("%q became %q", before, after)
			}
		}
	}
	if got := JSON([]byte("{\n  \"a\": 1\n}\n\xff")); string(got) != "{\n  \"a\": 1\n}\n\xff" {
		t.Errorf("%q", got)
	}
}

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{"": 0, "\n": 0, "a\nabc\nab\n": 3, "a\n\u00e9\u00e9\u00e9\u00e9": 4} {
		if have := Width([]byte(text)); have != want {
			t.Errorf("%q: %d, want %d", text, have, want)
		}
	}
}
