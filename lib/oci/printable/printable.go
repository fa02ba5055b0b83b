// Package printable makes text of strangers fit to be shown: registries, their helpers
// and images may send what steers a terminal.
package printable

import (
	"strings"
	"unicode"
)

// Text is s with a space in place of each character that is not printed.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
