package read

import (
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// unmark turns the marks of a layer image in e into the fields that they stand for.
// hasRecord is false if e is a directory that is only implied and not opaque, and so has no
// record in a stream. For elsePath see unmarkLink.
func unmark(e *tree.Entry) (elsePath string, hasRecord bool) {
	elsePath = unmarkLink(e)
	if v, ok := e.Xattr(disk.MarkImplied.Name); ok && v == disk.MarkImplied.Value && e.Type == tree.Dir {
		e.NoChange = true
		if !e.IsOpaque() {
			e.Xattrs = nil
			return elsePath, false
		}
		e.Xattrs = []tree.Xattr{tree.Opaque} // the entry says nothing else
	}
	return elsePath, true
}

// without returns xs without the xattr name, in a new slice.
func without(xs []tree.Xattr, name string) []tree.Xattr {
	var kept []tree.Xattr
	for _, x := range xs {
		if x.Name != name {
			kept = append(kept, x)
		}
	}
	return kept
}

// unmarkLink removes the marks of a link to the layers below from e, and sets e.Lower. If e
// is another inode of this image in case the layers have no target, elsePath is the path of
// that inode.
func unmarkLink(e *tree.Entry) (elsePath string) {
	value, ok := e.Xattr(disk.MarkLink)
	if !ok || e.Type == tree.Dir {
		return ""
	}
	targets := strings.Split(value, "\x00")
	invalid := func(path string) bool { return path == "." || tree.CheckPath(path) != nil }
	if len(targets) > tree.MaxTargets || slices.ContainsFunc(targets, invalid) {
		return ""
	}
	elsePath, orElse := e.Xattr(disk.MarkElse)
	if (!orElse || elsePath != "") && (e.Type != tree.File || e.Size != 0) || elsePath != "" && invalid(elsePath) {
		return ""
	}
	e.Lower = &tree.Lower{Targets: targets, Else: orElse}
	for _, x := range append([]tree.Xattr{{Name: disk.MarkLink, Value: value}, {Name: disk.MarkElse, Value: elsePath}}, disk.MarkRefused...) {
		if v, ok := e.Xattr(x.Name); ok && v == x.Value {
			e.Xattrs = without(e.Xattrs, x.Name)
		}
	}
	return elsePath
}

// elseInode finds the inode at path, which is in the marks of ino.
func (img *Image) elseInode(ino *inode, path string) (*inode, error) {
	other, err := img.walk(path)
	if err == fs.ErrNotExist || err == nil && (other.kind() == tree.Dir || other.nid == ino.nid) {
		return nil, corrupt(ino.off, "the mark %s of inode %d names %q", disk.MarkElse, ino.nid, path)
	}
	return other, err
}

// orLower adds the targets of lower to e and returns it: e is what a name is bound to if no
// layer below has one of the targets. If e is a link to the layers below itself, it has the
// targets of both.
func orLower(e *tree.Entry, lower *tree.Lower) *tree.Entry {
	if e.IsLower() {
		lower = &tree.Lower{Targets: slices.Concat(lower.Targets, e.Lower.Targets)}
	}
	e.Lower = lower
	return e
}
