package layer

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// names keeps the names that a layer has made so far. For each entry of the tar it emits
// the entries of the stream.
//
// Whiteouts and opaque marks act on the layers below wherever they come in the tar, so
// names keeps them until its end. The tree therefore holds only the layer's own files, and
// no directory that only a whiteout would imply.
type names struct {
	meter     *tree.Meter
	emit      func(*tree.Entry)
	givesAway bool       // see Options.GivesAway: inodes are the entries themselves
	tree      *tree.Tree // without contents
	inodes    tree.EntrySlab
	whited    map[string]bool
	opaques   map[string]bool
	waiting   map[string]*pendingLink // by the target that they wait for: the last of them
	pending   map[string]*pendingLink // by path, if the tree has waitingInode there
	links     int                     // how many links have waited
	woken     []*pendingLink          // to be emitted before the next entry of the tar
	target    string                  // of woken
	pseudo    map[string]*pseudoLink  // by path

	below []*pendingLink // after finish: still to be emitted
	marks []markedName   // likewise
}

// markedName is the entry that a whiteout or an opaque mark results in.
type markedName struct {
	path  string
	entry *tree.Entry // without its path
}

// sharedDir is the inode of all directories that have attributes.
var sharedDir = &tree.Entry{Type: tree.Dir}

// sharedOpaque is, at the end of a layer, the inode of all directories that have only an
// opaque mark in it.
var sharedOpaque = &tree.Entry{Type: tree.Dir, NoChange: true}

// The entries that marks result in: a whiteout, a directory that hides the layers below,
// and one that hides them but is only implied otherwise.
var (
	whiteoutEntry = &tree.Entry{Type: tree.Char}
	newEntry      = &tree.Entry{Type: tree.Dir, Mode: 0o755, Xattrs: opaqueXattrs}
	opaqueEntry   = &tree.Entry{Type: tree.Dir, Mode: 0o755, Xattrs: opaqueXattrs, NoChange: true}
	opaqueXattrs  = []tree.Xattr{tree.Opaque}
)

func newNames(meter *tree.Meter, emit func(*tree.Entry)) *names {
	return &names{
		meter:   meter,
		emit:    emit,
		tree:    tree.NewNames(),
		whited:  make(map[string]bool),
		opaques: make(map[string]bool),
		waiting: make(map[string]*pendingLink),
		pending: make(map[string]*pendingLink),
		pseudo:  make(map[string]*pseudoLink),
	}
}

// resolve follows the symbolic links that the layer has made in the parents of at.
func (n *names) resolve(at string) (string, error) {
	dir, base := split(at)
	resolved, err := n.resolveDir(dir)
	if err != nil || resolved == dir {
		return at, err
	}
	at = path.Join(resolved, base)
	return at, n.checkResolved(at)
}

// resolveDir is resolve for a directory, which may be such a link itself.
func (n *names) resolveDir(dir string) (string, error) {
	resolved, err := n.tree.ResolveDir(dir)
	if err != nil {
		return dir, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if resolved == dir {
		return dir, nil
	}
	return resolved, n.checkResolved(resolved)
}

func (n *names) checkResolved(at string) error {
	if err := tree.CheckPath(at); err != nil {
		return fmt.Errorf("%w: where symbolic links lead: %w", ErrCorrupt, err)
	}
	return n.meter.Limits().CheckDepth(at)
}

// add adds an entry that is neither a whiteout nor a hard link.
func (n *names) add(e *tree.Entry) (err error) {
	if e.Path, err = n.resolve(e.Path); err != nil {
		return err
	}
	if e.Type == tree.Dir {
		n.tree.Set(e.Path, sharedDir)
		n.emit(e)
		return nil
	}
	if e.Path == "." {
		return fmt.Errorf("%w: the root is not a directory", ErrCorrupt)
	}
	path, inode := e.Path, e
	if !n.givesAway {
		inode = n.inodes.Copy(e)
		inode.Path, inode.Content = "", nil
	}
	n.tree.Set(path, inode)
	n.emit(e)
	return n.wake(path)
}

// whiteout adds the whiteout of at.
func (n *names) whiteout(at string) error {
	at, err := n.resolve(at)
	return n.addMark(n.whited, at, 1, err)
}

// opaque adds the opaque mark of dir.
func (n *names) opaque(dir string) error {
	dir, err := n.resolveDir(dir)
	return n.addMark(n.opaques, dir, 1+strings.Count(dir, "/"), err) // with the directories that it may imply
}

// addMark adds at to marks, and counts it as so many names. err is the error of resolving
// at, which addMark returns. But a mark below a file that is not a directory has nothing to
// hide, and is dropped.
func (n *names) addMark(marks map[string]bool, at string, names int, err error) error {
	if errors.As(err, new(*tree.NotDirError)) {
		return nil
	}
	if err != nil || marks[at] {
		return err
	}
	marks[at] = true
	return n.meter.Hold(at, int64(names), int64(len(at)))
}

// finish ends the names. It keeps only the links and marks that refer to the layers below,
// for rest.
func (n *names) finish() {
	n.waiting, n.pseudo = nil, nil
	n.below = slices.Collect(maps.Values(n.pending))
	n.below = slices.DeleteFunc(n.below, func(p *pendingLink) bool { return !n.waits(p) })
	slices.SortFunc(n.below, func(a, b *pendingLink) int { return a.number - b.number })
	for _, dir := range slices.Sorted(maps.Keys(n.opaques)) {
		if n.tree.Lookup(dir) == nil && !n.covered(dir) {
			n.tree.Set(dir, sharedOpaque)
		}
		n.whited[dir] = n.whited[dir] // so that the next loop sees all marks
	}
	n.marks = make([]markedName, 0, len(n.whited))
	for _, at := range slices.Sorted(maps.Keys(n.whited)) {
		if e := n.mark(at); e != nil {
			n.marks = append(n.marks, markedName{at, e})
		}
	}
	n.tree, n.pending, n.whited, n.opaques = nil, nil, nil, nil
}

// rest emits, one by one, the entries that refer to the layers below: first links whose
// targets did not come, then the marks. In the end it returns io.EOF.
func (n *names) rest() error {
	if len(n.below) > 0 {
		p := n.below[0]
		n.below[0] = nil
		n.below = n.below[1:]
		return n.bindBelow(p)
	}
	if len(n.marks) > 0 {
		e := *n.marks[0].entry // shared
		e.Path = n.marks[0].path
		n.marks[0] = markedName{}
		n.marks = n.marks[1:]
		n.emit(&e)
		return nil
	}
	return io.EOF
}

// bindBelow emits p.
func (n *names) bindBelow(p *pendingLink) error {
	if err := p.prefer([]string{p.target}); err != nil {
		return err
	}
	n.emit(&tree.Entry{Path: p.path, Type: tree.File, Mode: 0o644, Lower: &tree.Lower{Targets: p.below}})
	return nil
}

// mark returns the entry for a whiteout or an opaque mark at the path at, or nil. If the
// layer has a file there, that hides the layers below by itself; a directory becomes
// opaque.
func (n *names) mark(at string) *tree.Entry {
	switch old := n.tree.Lookup(at); {
	case old == nil && n.hidden(at):
		return nil
	case old == nil:
		return whiteoutEntry
	case old.Entry.Type != tree.Dir:
		return nil
	case old.Entry.NoChange && n.whited[at]:
		// A directory that the layer only implies, but whites out below it, is
		// a new one.
		return newEntry
	}
	return opaqueEntry
}

// shadowed reports whether the layer has hidden the path at of the layers below so far. The
// layer does not have that path itself.
func (n *names) shadowed(at string) bool {
	if n.whited[at] || n.opaques["."] {
		return true
	}
	for dir, node := range n.above(at) {
		if n.whited[dir] || n.opaques[dir] || node != nil && node.Entry.Type != tree.Dir {
			return true
		}
	}
	return false
}

// hidden reports whether the layer hides the path at of the layers below. The layer does
// not have that path itself: a parent is not a directory, or is whited out and not made
// again.
func (n *names) hidden(at string) bool {
	for dir, node := range n.above(at) {
		if node == nil && n.whited[dir] || node != nil && node.Entry.Type != tree.Dir {
			return true
		}
	}
	return false
}

// covered reports whether a parent of at is not a directory.
func (n *names) covered(at string) bool {
	for _, node := range n.above(at) {
		if node == nil || node.Entry.Type != tree.Dir {
			return node != nil
		}
	}
	return false
}

// above yields the parents of at below the root, from there down, and the node of each in
// the layer, or nil. It is one walk, however deep at is.
func (n *names) above(at string) iter.Seq2[string, *tree.Node] {
	return func(yield func(string, *tree.Node) bool) {
		node, begin := n.tree.Root(), 0
		for i, c := range []byte(at) {
			if c != '/' {
				continue
			}
			if node != nil {
				node = node.Child(at[begin:i])
			}
			if begin = i + 1; !yield(at[:i], node) {
				return
			}
		}
	}
}
