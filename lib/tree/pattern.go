package tree

import (
	"fmt"
	"path"
	"strings"
)

// Pattern names files of a tree by a pattern as for path.Match. It is for a file, or for all
// files below a directory. If it has a slash, it is for the path from the root on, otherwise
// for any component of that.
type Pattern string

// Check returns an error if the pattern is malformed, or has no name that could fit.
func (p Pattern) Check() error {
	pattern := strings.Trim(string(p), "/") // what is compared
	if pattern == "" {
		return fmt.Errorf("pattern %q has no name", string(p))
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("pattern %q: %w", string(p), err)
	}
	return nil
}

// Matches reports whether p is for the file at name, which is as in Entry.
func (p Pattern) Matches(name string) bool {
	rooted := strings.IndexByte(string(p), '/') >= 0
	pattern := strings.Trim(string(p), "/")
	if !rooted {
		for part := range strings.SplitSeq(name, "/") {
			if fits(pattern, part) {
				return true
			}
		}
		return false
	}
	for i := range name {
		if name[i] == '/' && fits(pattern, name[:i]) {
			return true
		}
	}
	return fits(pattern, name)
}

// fits is path.Match. It looks at both ends first, since most names do not fit most patterns.
func fits(pattern, name string) bool {
	if pattern != "" && name != "" {
		first, last := pattern[0], pattern[len(pattern)-1]
		switch {
		case first != name[0] && strings.IndexByte(`*?[\`, first) < 0, last != name[len(name)-1] && strings.IndexByte(`*?]`, last) < 0:
			return false
		}
	}
	ok, _ := path.Match(pattern, name)
	return ok
}
