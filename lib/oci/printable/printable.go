// Package printable makes foreign text fit for a terminal: registries, credential helpers
// and images may send characters that control it.
package printable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with a space in place of each character that is not printable.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// Width returns the number of characters of the longest line of text.
func Width(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		n = max(n, utf8.RuneCount(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return n
}

// Encode returns v as JSON for people and programs: indented, and in the form of JSON below.
// It panics for what JSON does not have, such as a function.
func Encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return JSON(b.Bytes())
}

// JSON returns data, which is JSON, with escapes for the characters in its strings that are
// not printable. JSON itself asks for escapes of those below U+0020 alone, and a terminal
// obeys others too.
func JSON(data []byte) []byte {
	var b []byte
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r < 0x7f || unicode.IsPrint(r) {
			b = append(b, data[:n]...)
		} else {
			for _, unit := range utf16.Encode([]rune{r}) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
		}
		data = data[n:]
	}
	return b
}
