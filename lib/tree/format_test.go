package tree

import (
	"fmt"
	"strings"
	"testing"
)

// TestEscape has every byte, alone and between others.
func TestEscape(t *testing.T) {
	for c := range 256 {
		for _, s := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c), '7'}), string([]byte{byte(c), byte(c)})} {
			text := string(appendEscaped(nil, s))
			back, err := unescape([]byte(text))
			if c == 0 {
				if err == nil {
					t.Errorf("NUL was accepted as %q", text)
				}
				continue
			}
			if err != nil || back != s {
				t.Errorf("%q became %q, then %q, %v", s, text, back, err)
			}
			isPlain := c > 0x20 && c < 0x7f && !strings.ContainsRune(`\#*?[=`, rune(c))
			if isPlain != (text == s) {
				t.Errorf("%q is written %s", s, text)
			}
			if strings.ContainsAny(text, " \n#*?[=") {
				t.Errorf("%q is written %s", s, text)
			}
		}
		raw := string([]byte{'a', byte(c)})
		_, err := unescape([]byte(raw))
		if isPlain := string(appendEscaped(nil, raw)) == raw; isPlain != (err == nil) {
			t.Errorf("raw %q: %v", raw, err)
		}
		if back, err := unescape(fmt.Appendf(nil, `a\%03ob`, c)); c > 0 && (err != nil || back != string([]byte{'a', byte(c), 'b'})) {
			t.Errorf(`\%03o became %q, %v`, c, back, err)
		}
	}
}

func TestUnescapeRefuses(t *testing.T) {
	for _, s := range []string{`\`, `\1`, `\12`, `a\12`, `\000`, `\400`, `\777`, `\128`, `\1a1`, `\x41`, `\\`, `\n`, `\ 12`, "\\\x31\x32\xb3"} {
		if back, err := unescape([]byte(s)); err == nil {
			t.Errorf("%q became %q", s, back)
		}
	}
}

func TestCheckPath(t *testing.T) {
	name := strings.Repeat("n", MaxName)
	long := strings.Repeat(name+"/", 15) + name // 4095 bytes
	for _, p := range []string{".", "a", "a/b", "...", "..a/.b/c.", " ", "\n/\xff", "a\\b", name, long} {
		if err := CheckPath(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", "/", "/a", "a/", "a//b", "./a", "a/.", "..", "a/../b", "a/..", "a\x00b", name + "n", "a/" + name + "n/b", "a" + long} {
		if CheckPath(p) == nil {
			t.Errorf("%q was accepted", p)
		}
	}
}
