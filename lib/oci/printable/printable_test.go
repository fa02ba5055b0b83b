package printable

import "testing"

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
