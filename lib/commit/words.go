package commit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/jsonfault"
)

// Words parses a list of words: a JSON array of strings if s begins with [, and otherwise
// words as a POSIX shell splits them. Quotes and backslashes have their meaning there; $, `
// and all else that a shell would expand or obey is an ordinary character. An empty s is an
// empty list.
func Words(s string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "[") {
		return splitShell(s)
	}
	var list []*string
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return nil, fmt.Errorf("not a JSON array of strings: %w", jsonfault.Explain(err))
	}
	words := []string{}
	for _, w := range list {
		if w == nil {
			return nil, errors.New("not a JSON array of strings: null in it")
		}
		words = append(words, *w)
	}
	return words, nil
}

var errQuote = errors.New("a quote is not closed")

func splitShell(s string) ([]string, error) {
	words, word, open := []string{}, []byte(nil), false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\n':
			if open {
				words, word, open = append(words, string(word)), nil, false
			}
		case '\'', '"':
			n, text, ok := quoted(s[i:])
			if !ok {
				return nil, errQuote
			}
			word, open, i = append(word, text...), true, i+n-1
		case '\\':
			if i++; i == len(s) {
				return nil, errors.New("a backslash at the end")
			}
			word, open = append(word, s[i]), true
		default:
			word, open = append(word, c), true
		}
	}
	if open {
		words = append(words, string(word))
	}
	return words, nil
}

// quoted returns the text in the quotes that s begins with, and how many bytes it takes.
func quoted(s string) (n int, text []byte, ok bool) {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i + 1, text, true
		case s[0] == '"' && s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i++
		}
		text = append(text, s[i])
	}
	return 0, nil, false
}
