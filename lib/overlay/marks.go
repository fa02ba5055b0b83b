package overlay

import (
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// Prefixes of the extended attributes that overlayfs obeys: trusted, or with userxattr user.
const (
	trustedPrefix = tree.OverlayPrefix
	userPrefix    = "user.overlay."
)

// Names of extended attributes, without the prefix; fs/overlayfs/overlayfs.h, enum ovl_xattr.
const (
	markOpaque   = "opaque"
	markRedirect = "redirect"
	markMetacopy = "metacopy"
	markWhiteout = "whiteout"
	markProtattr = "protattr"
	markNlink    = "nlink"

	escape = "overlay." // before the name of an xattr of another overlay on top
)

// marks are what the extended attributes of a file of the upper directory say.
type marks struct {
	opaque      byte // 'y', 'x', or 0
	whiteout    bool // has the attribute of whiteouts that are files
	metacopy    bool
	hasRedirect bool
	protected   bool
	redirect    string
	nlink       string
	metadata    string // value of metacopy
}

func prefixOf(userXattr bool) string {
	if userXattr {
		return userPrefix
	}
	return trustedPrefix
}

// readMarks takes the marks with this prefix from xs, and returns the other attributes as the
// overlay shows them, in order.
func readMarks(xs []tree.Xattr, prefix string) (m marks, rest []tree.Xattr) {
	marked := func(x tree.Xattr) bool { return strings.HasPrefix(x.Name, prefix) }
	if !slices.ContainsFunc(xs, marked) {
		return m, xs
	}
	for _, x := range xs {
		name, ok := strings.CutPrefix(x.Name, prefix)
		if !ok {
			rest = append(rest, x)
			continue
		}
		if inner, ok := strings.CutPrefix(name, escape); ok {
			rest = append(rest, tree.Xattr{Name: prefix + inner, Value: x.Value})
			continue
		}
		m.set(name, x.Value)
	}
	slices.SortFunc(rest, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return m, rest
}

func (m *marks) set(name, value string) {
	switch name {
	case markOpaque:
		if value == "y" || value == "x" { // a kernel ignores all others
			m.opaque = value[0]
		}
	case markRedirect:
		m.hasRedirect, m.redirect = true, value
	case markMetacopy:
		m.metacopy, m.metadata = true, value
	case markWhiteout:
		m.whiteout = true
	case markProtattr:
		m.protected = value != ""
	case markNlink:
		m.nlink = value
	}
}

// withoutOpaque returns the attributes of a directory without one that would be taken for the
// mark of a layer. dropped is true if there was one.
func withoutOpaque(xs []tree.Xattr) (rest []tree.Xattr, dropped bool) {
	if !slices.ContainsFunc(xs, isOpaque) {
		return xs, false
	}
	return slices.DeleteFunc(slices.Clone(xs), isOpaque), true
}

func isOpaque(x tree.Xattr) bool { return x.Name == tree.Opaque.Name }

// withOpaque returns xs with the mark of an opaque directory.
func withOpaque(xs []tree.Xattr) []tree.Xattr {
	if len(xs) == 0 {
		return onlyOpaque
	}
	xs = append(slices.Clone(xs), tree.Opaque)
	slices.SortFunc(xs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xs
}

// onlyOpaque is a list of xattrs that many directories share.
var onlyOpaque = []tree.Xattr{tree.Opaque}

// checkMetacopy checks the value of a metacopy: none, or struct ovl_metacopy with or without a
// digest of fs-verity.
func checkMetacopy(path, value string) error {
	if value == "" {
		return nil
	}
	if len(value) < 4 || value[0] != 0 || int(value[1]) != len(value) || value[2] != 0 {
		return corrupt(path, "copy of metadata in a form that is unknown")
	}
	return nil
}
