package ext4

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

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

// ownTime is of what no entry states a time for.
func (w *Writer) ownTime() (t tree.Time) {
	if w.opts.Epoch != nil {
		t.Sec = *w.opts.Epoch
	}
	return w.retime(".", t)
}

// addOwn adds the directories that are there whatever was added, and states what
// nobody did of others.
func (w *Writer) addOwn() error {
	own := func(path string, mode uint16) {
		w.tree.Set(path, &tree.Entry{Type: tree.Dir, Mode: mode, Time: w.ownTime()})
	}
	if w.opts.Upper {
		if w.tree.Lookup(upperDir) == nil {
			w.tree.Set(upperDir, &tree.Entry{Type: tree.Dir, NoChange: true})
		}
		if err := w.stateImplied(w.tree.Lookup(upperDir), nil); err != nil {
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
	if w.tree.Lookup(lostFoundDir) == nil {
		own(lostFoundDir, 0o700)
	}
	return nil
}

// stateImplied gives n and the directories below it attributes where they are only
// implied: those of the directory that they will hide, or 0755 of root.
func (w *Writer) stateImplied(n *tree.Node, at *tree.Place) error {
	if n.Entry.NoChange {
		if err := w.state(n.Entry, at); err != nil {
			return err
		}
	}
	for _, c := range n.Children() {
		if c.Entry.Type != tree.Dir {
			continue
		}
		if err := w.stateImplied(c, at.Join(c.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) state(e *tree.Entry, at *tree.Place) error {
	opaque := e.IsOpaque()
	*e = tree.Entry{Type: tree.Dir, Mode: 0o755, Time: w.ownTime()}
	if err := w.stateAs(e, at); err != nil {
		return err
	}
	if opaque {
		e.Xattrs = append(e.Xattrs, tree.Opaque)
		slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	return nil
}

// stateAs takes what Options.Below says of the directory at. Marks of overlayfs stay
// where they are.
func (w *Writer) stateAs(e *tree.Entry, at *tree.Place) error {
	var from *tree.Entry
	var path string // not put together where nobody asks
	if w.opts.Below != nil || w.implied.count == 0 {
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
			w.implied.note(path)
		}
		return nil
	}
	e.Mode, e.UID, e.GID, e.Time = from.Mode, from.UID, from.GID, w.retime(path, from.Time)
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
