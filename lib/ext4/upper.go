package ext4

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

const (
	upperDir = "upper"
	workDir  = "work"

	lostFoundBlocks = 4 // so that e2fsck need not allocate blocks for what it finds
)

// moveToUpper moves e below /upper if this is an upper disk.
func (w *Writer) moveToUpper(e *tree.Entry) {
	if !w.opts.Upper {
		return
	}
	e.Path = joinPath(upperDir, e.Path)
	if e.Hardlink != "" {
		e.Hardlink = joinPath(upperDir, e.Hardlink)
	}
}

// joinPath is path below dir; "." is either itself.
func joinPath(dir, path string) string {
	switch {
	case path == ".":
		return dir
	case dir == ".":
		return path
	}
	return dir + "/" + path
}

// ownTime is the time of inodes that no entry gives a time.
func (w *Writer) ownTime() (t tree.Time) {
	if w.opts.Epoch != nil {
		t.Sec = *w.opts.Epoch
	}
	return w.storableTime(".", t)
}

// addOwn adds the directories that every file system has, and fills in the attributes of
// directories that are only implied.
func (w *Writer) addOwn() error {
	own := func(path string, mode uint16) {
		w.tree.Set(path, &tree.Entry{Type: tree.Dir, Mode: mode, Time: w.ownTime()})
	}
	if w.opts.Upper {
		if w.tree.Lookup(upperDir) == nil {
			w.tree.Set(upperDir, &tree.Entry{Type: tree.Dir, NoChange: true})
		}
		if err := w.fillImplied(w.tree.Lookup(upperDir), nil); err != nil {
			return err
		}
		root := w.tree.Lookup(upperDir).Entry
		if m := w.opts.Mode; m != nil {
			root.Mode = *m
		}
		w.opaque = root.IsOpaque()
		own(".", 0o755)
		own(workDir, 0o755)
	}
	if w.tree.Lookup(disk.LostFoundDir) == nil {
		own(disk.LostFoundDir, 0o700)
	}
	return nil
}

// fillImplied gives attributes to n and the directories below it if they are only implied:
// those of the directory that they will hide, or 0755 of root.
func (w *Writer) fillImplied(n *tree.Node, at *tree.Place) error {
	if n.Entry.NoChange {
		if err := w.fillIn(n.Entry, at); err != nil {
			return err
		}
	}
	for _, c := range n.Children() {
		if c.Entry.Type != tree.Dir {
			continue
		}
		if err := w.fillImplied(c, at.Join(c.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) fillIn(e *tree.Entry, at *tree.Place) error {
	opaque := e.IsOpaque()
	*e = tree.Entry{Type: tree.Dir, Mode: 0o755, Time: w.ownTime()}
	if err := w.fillFromBelow(e, at); err != nil {
		return err
	}
	switch {
	case opaque && e.Xattrs == nil:
		e.Xattrs = onlyOpaque
	case opaque:
		e.Xattrs = append(e.Xattrs, tree.Opaque)
		slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	return nil
}

// onlyOpaque is a list of xattrs that many directories share.
var onlyOpaque = []tree.Xattr{tree.Opaque}

// fillFromBelow gives e the attributes that Options.Below returns for the directory at. It
// does not copy marks of overlayfs.
func (w *Writer) fillFromBelow(e *tree.Entry, at *tree.Place) error {
	var from *tree.Entry
	var path string // built only if it is needed
	if w.opts.Below != nil || w.implied.Count == 0 {
		path = at.String()
	}
	if w.opts.Below != nil {
		var err error
		if from, err = w.opts.Below(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("attributes of %s: %w", path, err)
		}
	}
	if from == nil || from.Type != tree.Dir || from.NoChange {
		if at != nil {
			w.implied.Add(path)
		}
		return nil
	}
	e.Mode, e.UID, e.GID, e.Time = from.Mode, from.UID, from.GID, w.storableTime(path, from.Time)
	kept, err := w.keepXattrs(&tree.Entry{Path: path, Xattrs: from.Xattrs})
	if err != nil {
		return fmt.Errorf("attributes of %s: %w", path, err)
	}
	for _, x := range kept {
		if !strings.HasPrefix(x.Name, tree.OverlayPrefix) {
			e.Xattrs = append(e.Xattrs, x)
		}
	}
	return nil
}
