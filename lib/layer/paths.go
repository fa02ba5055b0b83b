package layer

import (
	"errors"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// mark is what the name of a tar entry says, whatever its type (OCI image-spec,
// layer.md, "Whiteouts"). Some builders ship whiteouts as hard links.
type mark int

const (
	plain    mark = iota
	whiteout      // .wh.NAME: the path is that of NAME
	opaque        // .wh..wh..opq: the path is that of its directory
	ignored       // metadata of aufs
	pseudo        // a file below aufsLinks
)

const whiteoutPrefix = ".wh."

// cleanName returns the path of an entry, without leading, trailing and double slashes and
// "." components, and the mark in its name. A name that a whiteout hides may be as long as
// any other, so the name of the whiteout may be longer by the prefix.
func cleanName(name string) (clean string, m mark, err error) {
	if name == "" {
		return "", plain, errEmptyName
	}
	clean, valid := tidy(name)
	clean, m, err = readMark(clean)
	if err == nil && !valid {
		err = tree.CheckPath(clean)
	}
	return clean, m, err
}

// readMark returns the mark in the tidy name clean, and the path that it is about.
func readMark(clean string) (at string, m mark, err error) {
	dir, base := split(clean)
	if strings.Contains(dir, whiteoutPrefix) {
		for part := range strings.SplitSeq(dir, "/") {
			switch {
			case part == aufsLinks:
				return clean, pseudo, nil
			case isAufs(part):
				return clean, ignored, nil
			case strings.HasPrefix(part, whiteoutPrefix):
				return clean, plain, errors.New("whiteout in place of a directory")
			}
		}
	}
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	switch {
	case !ok:
		return clean, plain, nil
	case base == ".wh..wh..opq":
		return dir, opaque, nil
	case isAufs(base):
		return clean, ignored, nil
	case hidden == "" || hidden == "." || hidden == ".." || strings.HasPrefix(hidden, whiteoutPrefix):
		return clean, plain, errors.New("not a name that a whiteout can hide")
	case dir == ".":
		return hidden, whiteout, nil
	}
	return dir + "/" + hidden, whiteout, nil
}

// isAufs reports whether a component is metadata of aufs that old builders left
// in layers.
func isAufs(part string) bool {
	return part == aufsLinks || part == ".wh..wh.aufs" || part == ".wh..wh.orph"
}

var errEmptyName = errors.New("empty name")

// cleanPath turns a name of a tar into a path of the model. A component ".." is an
// error.
func cleanPath(name string) (string, error) {
	if name == "" {
		return "", errEmptyName
	}
	clean, valid := tidy(name)
	if valid {
		return clean, nil
	}
	return clean, tree.CheckPath(clean)
}

// maxUntidy is the greatest length, in bytes, of a name before it is tidied.
const maxUntidy = 16 * tree.MaxPath

// tidy returns name without redundant slashes and "." components; valid reports whether
// the result is known to be a path of the model.
func tidy(name string) (clean string, valid bool) {
	clean = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if tree.CheckPath(clean) == nil {
		return clean, true
	}
	if len(name) > maxUntidy {
		return clean, false
	}
	parts := slices.DeleteFunc(strings.Split(name, "/"), func(p string) bool { return p == "" || p == "." })
	if len(parts) == 0 {
		return ".", true
	}
	return strings.Join(parts, "/"), false
}

func split(clean string) (dir, base string) {
	if i := strings.LastIndexByte(clean, '/'); i >= 0 {
		return clean[:i], clean[i+1:]
	}
	return ".", clean
}
