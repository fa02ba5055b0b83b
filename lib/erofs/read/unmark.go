package read

import (
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// unmark turns the marks of a layer image into what they stand for. It reports
// false if e, a directory, is only implied and has nothing to say; other is what
// unmarkLink returns.
func unmark(e *tree.Entry) (other string, stated bool) {
	other = unmarkLink(e)
	if v, ok := e.Xattr(disk.MarkImplied.Name); ok && v == disk.MarkImplied.Value && e.Type == tree.Dir {
		e.NoChange = true
		if !e.IsOpaque() {
			e.Xattrs = nil
			return other, false
		}
		e.Xattrs = []tree.Xattr{tree.Opaque} // nothing else is stated
	}
	return other, true
}

func without(xs []tree.Xattr, name string) []tree.Xattr {
	var kept []tree.Xattr
	for _, x := range xs {
		if x.Name != name {
			kept = append(kept, x)
		}
	}
	return kept
}

// unmarkLink takes the marks of a link to the layers below off e. It returns the
// path of the inode that e is if they have none, if that is not e itself.
func unmarkLink(e *tree.Entry) (other string) {
	value, ok := e.Xattr(disk.MarkLink)
	if !ok || e.Type == tree.Dir {
		return ""
	}
	targets := strings.Split(value, "\x00")
	invalid := func(path string) bool { return path == "." || tree.CheckPath(path) != nil }
	if len(targets) > tree.MaxTargets || slices.ContainsFunc(targets, invalid) {
		return ""
	}
	other, orElse := e.Xattr(disk.MarkElse)
	if (!orElse || other != "") && (e.Type != tree.File || e.Size != 0) || other != "" && invalid(other) {
		return ""
	}
	e.Lower = &tree.Lower{Targets: targets, Else: orElse}
	for _, x := range append([]tree.Xattr{{Name: disk.MarkLink, Value: value}, {Name: disk.MarkElse, Value: other}}, disk.MarkRefused...) {
		if v, ok := e.Xattr(x.Name); ok && v == x.Value {
			e.Xattrs = without(e.Xattrs, x.Name)
		}
	}
	return other
}

// otherInode finds path, which the inode ino names in its marks.
func (img *Image) otherInode(ino *inode, path string) (*inode, error) {
	other, err := img.walk(path)
	if err == fs.ErrNotExist || err == nil && (other.kind() == tree.Dir || other.nid == ino.nid) {
		return nil, corrupt(ino.off, "the mark %s of inode %d names %q", disk.MarkElse, ino.nid, path)
	}
	return other, err
}

// orLower makes e the inode that a name with the marks lower has if nothing lies
// below. If e is a link to the layers below itself, both have their say.
func orLower(e *tree.Entry, lower *tree.Lower) *tree.Entry {
	if e.IsLower() {
		lower = &tree.Lower{Targets: slices.Concat(lower.Targets, e.Lower.Targets)}
	}
	e.Lower = lower
	return e
}
