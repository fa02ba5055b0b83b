package list

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ocipipe/lib/tree"
)

// Path is path, which is relative to the root of a tree, as people write it and are shown it:
// from the root on, and escaped.
func Path(path string) string {
	if path == "." {
		return "/"
	}
	return "/" + escape(path)
}

// clean is the inverse of Path for what a user has typed, with slashes and dots in excess.
// Escapes are not undone. It keeps "..": what that leads to depends on symbolic links.
func clean(path string) string {
	parts := slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, "/")
}

// escape makes s harmless: see the comment of the package. It also escapes the first space of
// what looks like a suffix of a line, and one at the end.
func escape(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r == '\\', !unicode.IsPrint(r), r == ' ' && isMisleading(s[i:]):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// isPlain reports whether escape surely leaves s as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// isMisleading reports whether the space at the beginning of s must be escaped: a suffix is
// there, or the beginning of one, which the suffix of the line could complete.
func isMisleading(s string) bool {
	if s == " " {
		return true
	}
	for _, suffix := range []string{arrow, linkTo, orLinkTo, inLower, isWhiteout, isOpaque} {
		if strings.HasPrefix(s, suffix) || strings.HasPrefix(suffix, s+" ") {
			return true
		}
	}
	return false
}

// NotFoundError says that a tree has nothing at a path.
type NotFoundError struct{ Path string }

func (e *NotFoundError) Error() string { return Path(e.Path) + ": no such file in the image" }

// each calls visit for the entries of src that are at dir or below; "" is all. It is an error
// if there are none.
func each(ctx context.Context, src tree.Source, dir string, visit func(*tree.Entry) error) error {
	dir = clean(dir)
	found := dir == "."
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, err := src.Next()
		if err == io.EOF && !found {
			return &NotFoundError{dir}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if dir != "." && !isBelow(e.Path, dir) {
			continue
		}
		found = true
		if err := visit(e); err != nil {
			return err
		}
	}
}

// isBelow reports whether path is dir or below it.
func isBelow(path, dir string) bool {
	return strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}
