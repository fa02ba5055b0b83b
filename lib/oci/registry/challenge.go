package registry

import "strings"

// challenge is one way to log in that a server offers.
type challenge struct {
	scheme string            // lower case
	params map[string]string // names in lower case
}

// parseChallenges reads the values of WWW-Authenticate headers, RFC 9110 section
// 11.6.1: several challenges may share one, commas within quotes are none, and
// what is broken is skipped rather than refused.
func parseChallenges(values []string) (list []challenge) {
	for _, v := range values {
		s := scanner{v}
		for s.skip(", \t"); s.rest != ""; s.skip(", \t") {
			word := s.token()
			if word == "" {
				s.rest = s.rest[1:] // nothing that belongs here
				continue
			}
			s.skip(" \t")
			if len(list) == 0 || !strings.HasPrefix(s.rest, "=") {
				list = append(list, challenge{strings.ToLower(word), map[string]string{}})
				continue
			}
			s.rest = s.rest[1:]
			s.skip(" \t")
			p := list[len(list)-1].params
			if name := strings.ToLower(word); p[name] == "" {
				p[name] = s.value()
			} else {
				s.value()
			}
		}
	}
	return list
}

// scanner takes a header apart.
type scanner struct{ rest string }

func (s *scanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }

// token takes a word; also the characters of a token68, which are harmless.
func (s *scanner) token() string {
	n := strings.IndexAny(s.rest, " \t,=\"")
	if n < 0 {
		n = len(s.rest)
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return word
}

// value takes a word or a quoted string. Words may hold equals signs, as URLs
// that somebody forgot to quote do.
func (s *scanner) value() string {
	if !strings.HasPrefix(s.rest, `"`) {
		n := strings.IndexAny(s.rest, " \t,")
		if n < 0 {
			n = len(s.rest)
		}
		word := s.rest[:n]
		s.rest = s.rest[n:]
		return word
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return b.String()
}
