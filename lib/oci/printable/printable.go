// Package printable makes foreign text fit for a terminal: registries, credential helpers
// and images may send characters that control it.
package printable

import (
	"strings"
	"unicode"
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
