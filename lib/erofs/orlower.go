package erofs

import (
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// A name that is bound to a file of the layers below if they have it, and else to an
// inode of its own layer, has an inode of its own in the image: an empty file whose
// marks say what is looked for below, and the path of the other inode. Where that
// has no other name it is the inode itself that has the marks.

// placeElse gives each such name in t its item.
func (p *plan) placeElse(t *tree.Tree) {
	paths := make(map[*tree.Entry]string) // of the inodes that such names may have
	eachName(t.Root(), "", func(n *tree.Node, _ string) {
		if inode := n.Entry.Inode(); inode != n.Entry {
			paths[inode] = ""
		}
	})
	eachName(t.Root(), "", func(n *tree.Node, path string) {
		if first, ok := paths[n.Entry]; ok && first == "" {
			paths[n.Entry] = path
		}
	})
	eachName(t.Root(), "", func(n *tree.Node, path string) {
		inode := n.Entry.Inode()
		if inode == n.Entry {
			return
		}
		lower := n.Entry.Lower
		if p.keeps {
			lower = new(tree.Lower)
		}
		*lower = tree.Lower{Targets: n.Entry.Lower.Targets, Else: true}
		it, _ := inode.Content.(*item)
		if first := paths[inode]; first != "" {
			it = p.slab.next()
			it.entry = n.Entry // the name's own, of which nothing else is needed but the type
			if p.keeps || inode.Type != tree.File {
				it.entry = new(tree.Entry)
			}
			*it.entry = tree.Entry{Type: tree.File, Mode: 0o644, Time: p.implied, Hardlink: first, Lower: lower}
		} else {
			if it == nil {
				it = p.slab.next()
				it.entry, inode.Content = inode, it
			}
			paths[inode], inode.Lower = path, lower
		}
		n.Entry.Content = it
	})
}

// eachName calls fn for what n holds, in canonical order.
func eachName(n *tree.Node, dir string, fn func(n *tree.Node, path string)) {
	for _, c := range n.SortedChildren() {
		path := dir + c.Name()
		fn(c, path)
		if c.Entry.Type == tree.Dir {
			eachName(c, path+"/", fn)
		}
	}
}

// unmarkLink takes the marks of a link to the layers below off e. It returns the
// path of the inode that e is if they have none, if that is not e itself.
func unmarkLink(e *tree.Entry) (other string) {
	value, ok := e.Xattr(markLink)
	if !ok || e.Type == tree.Dir {
		return ""
	}
	targets := strings.Split(value, "\x00")
	invalid := func(path string) bool { return path == "." || tree.CheckPath(path) != nil }
	if len(targets) > tree.MaxTargets || slices.ContainsFunc(targets, invalid) {
		return ""
	}
	other, orElse := e.Xattr(markElse)
	if (!orElse || other != "") && (e.Type != tree.File || e.Size != 0) || other != "" && invalid(other) {
		return ""
	}
	e.Lower = &tree.Lower{Targets: targets, Else: orElse}
	for _, x := range append([]tree.Xattr{{Name: markLink, Value: value}, {Name: markElse, Value: other}}, markRefused...) {
		if v, ok := e.Xattr(x.Name); ok && v == x.Value {
			e.Xattrs = without(e.Xattrs, x.Name)
		}
	}
	return other
}

// otherInode finds path, which the inode ino names in its marks.
func (img *Image) otherInode(ino *foundInode, path string) (*foundInode, error) {
	other, err := img.walk(path)
	if err == fs.ErrNotExist || err == nil && (other.kind() == tree.Dir || other.nid == ino.nid) {
		return nil, corrupt(ino.off, "the mark %s of inode %d names %q", markElse, ino.nid, path)
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
