package ext4

import "ocipipe/lib/tree"

const (
	upperDir     = "upper"
	workDir      = "work"
	lostFoundDir = "lost+found"

	lostFoundBlocks = 4 // so that e2fsck needs no room for what it finds
)

// below puts e, which comes from the caller, where it belongs.
func (w *Writer) below(e *tree.Entry) {
	if !w.opts.Upper {
		return
	}
	e.Path = join2(upperDir, e.Path)
	if e.Hardlink != "" {
		e.Hardlink = join2(upperDir, e.Hardlink)
	}
}

func join2(dir, path string) string {
	if path == "." {
		return dir
	}
	return dir + "/" + path
}

// ownTime is of what no entry states a time for.
func (w *Writer) ownTime() tree.Time {
	if w.opts.Epoch != nil {
		return tree.Time{Sec: *w.opts.Epoch}
	}
	return tree.Time{}
}

// addOwn adds the directories that are there whatever was added.
func (w *Writer) addOwn() {
	own := func(path string, mode uint16) {
		w.tree.Set(path, &tree.Entry{Type: tree.Dir, Mode: mode, Time: w.ownTime()})
	}
	if w.opts.Upper {
		if root := w.tree.Lookup(upperDir); root == nil || root.Entry.NoChange {
			w.setUpper(root)
		}
		if m := w.opts.Mode; m != nil {
			w.tree.Lookup(upperDir).Entry.Mode = *m
		}
		own(".", 0o755)
		own(workDir, 0o755)
	}
	if w.tree.Lookup(lostFoundDir) == nil {
		own(lostFoundDir, 0o700)
	}
}

// setUpper states the attributes of /upper that no entry did.
func (w *Writer) setUpper(old *tree.Node) {
	e := &tree.Entry{Type: tree.Dir, Mode: 0o755, Time: w.ownTime()}
	if from := w.opts.Root; from != nil {
		e.Mode, e.UID, e.GID, e.Time = from.Mode, from.UID, from.GID, w.retime(".", from.Time)
		e.Xattrs = w.keepXattrs(&tree.Entry{Path: ".", Xattrs: from.Xattrs})
	}
	if old != nil && old.Entry.IsOpaque() {
		e.Xattrs = withXattr(e.Xattrs, tree.Opaque)
	}
	w.tree.Set(upperDir, e)
}

// withXattr is xs, which is in byte order, and x.
func withXattr(xs []tree.Xattr, x tree.Xattr) []tree.Xattr {
	var list []tree.Xattr
	for len(xs) > 0 && xs[0].Name < x.Name {
		list, xs = append(list, xs[0]), xs[1:]
	}
	if len(xs) > 0 && xs[0].Name == x.Name {
		xs = xs[1:]
	}
	return append(append(list, x), xs...)
}
