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

// names keeps the names that a layer has made so far, and emits the entries of the
// stream that follow from each entry of the tar.
//
// Whiteouts and opaque marks act on the layers below wherever they stand in the
// tar, so they are kept until its end. The tree therefore holds what is real in
// the layer, and no directory that only a whiteout would imply.
type names struct {
	meter   *tree.Meter
	emit    func(*tree.Entry)
	tree    *tree.Tree // without contents
	whited  map[string]bool
	opaques map[string]bool
	waiting map[string][]*pendingLink // by the target they wait for
	pending []*pendingLink            // all of them, in order
	marks   []string                  // that are still to be emitted, in the end
	pseudo  map[string]*pseudoLink    // by path
	inodes  map[*tree.Entry]*pendingLink
}

// sharedDir is the inode of all directories that have attributes.
var sharedDir = &tree.Entry{Type: tree.Dir}

// At the end of a layer sharedOpaque is the inode of all directories of which it has only
// the mark, and sharedLower that of all links to the layers below.
var (
	sharedOpaque = &tree.Entry{Type: tree.Dir, NoChange: true}
	sharedLower  = &tree.Entry{Type: tree.File}
)

// opaqueXattrs are the xattrs of what bears an opaque mark.
var opaqueXattrs = []tree.Xattr{tree.Opaque}

func newNames(meter *tree.Meter, emit func(*tree.Entry)) *names {
	return &names{
		meter:   meter,
		emit:    emit,
		tree:    tree.NewNames(),
		whited:  make(map[string]bool),
		opaques: make(map[string]bool),
		waiting: make(map[string][]*pendingLink),
		pseudo:  make(map[string]*pseudoLink),
		inodes:  make(map[*tree.Entry]*pendingLink),
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

// add takes an entry that is neither a whiteout nor a hard link.
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
	inode := *e
	inode.Path, inode.Content = "", nil
	n.tree.Set(e.Path, &inode)
	n.emit(e)
	return n.wake(e.Path)
}

// whiteout takes the whiteout of at.
func (n *names) whiteout(at string) error {
	at, err := n.resolve(at)
	return n.addMark(n.whited, at, 1, err)
}

// opaque takes the opaque mark of dir.
func (n *names) opaque(dir string) error {
	dir, err := n.resolveDir(dir)
	return n.addMark(n.opaques, dir, 1+strings.Count(dir, "/"), err) // with all that it may imply
}

// addMark adds at to marks, for which so many names are counted. It returns err, the
// error of resolving at, except that a mark below something that is not a directory has
// nothing to hide.
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

// finish takes no more names. What refers to the layers below is left for rest.
func (n *names) finish() {
	n.waiting, n.inodes, n.pseudo = nil, nil, nil
	for _, dir := range slices.Sorted(maps.Keys(n.opaques)) {
		if n.tree.Lookup(dir) == nil && !n.covered(dir) {
			n.tree.Set(dir, sharedOpaque)
		}
		n.whited[dir] = n.whited[dir] // so that one loop has all marks
	}
	n.marks = slices.Sorted(maps.Keys(n.whited))
}

// rest emits, piece by piece, what refers to the layers below: first links whose
// targets did not come, then the marks. It ends with io.EOF.
func (n *names) rest() error {
	if len(n.pending) > 0 {
		p := n.pending[0]
		n.pending[0] = nil
		n.pending = n.pending[1:]
		return n.bindBelow(p)
	}
	if len(n.marks) > 0 {
		n.mark(n.marks[0])
		n.marks = n.marks[1:]
		return nil
	}
	return io.EOF
}

// bindBelow emits p if it waits still.
func (n *names) bindBelow(p *pendingLink) error {
	if !n.waits(p) {
		return nil
	}
	if err := p.prefer([]string{p.target}); err != nil {
		return err
	}
	n.tree.Set(p.path, sharedLower)
	n.emit(&tree.Entry{Path: p.path, Type: tree.File, Mode: 0o644, Lower: &tree.Lower{Targets: p.below}})
	return nil
}

// mark emits the entry for a whiteout or an opaque mark at the path at. A file that the
// layer has there hides what lies below by itself; a directory becomes opaque.
func (n *names) mark(at string) {
	e := tree.Entry{Path: at}
	switch old := n.tree.Lookup(at); {
	case old == nil:
		if n.hidden(at) {
			return
		}
		e.Type = tree.Char
	case old.Entry.Type != tree.Dir:
		return
	default:
		// A directory that the layer only implies, but whites out below it, is
		// a new one.
		isNew := old.Entry.NoChange && n.whited[at]
		e.Type, e.Mode, e.NoChange = tree.Dir, 0o755, !isNew
		e.Xattrs = opaqueXattrs
	}
	n.emit(&e)
}

// shadowed reports whether the layer has hidden, up to here, what the layers below
// have at the path at, which it does not have itself.
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

// hidden reports whether the layer hides what the layers below have at the path at,
// which it does not have itself: a parent is not a directory, or is whited out and not
// made again.
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

// above yields the parents of at below the root, from there down, and what the layer
// has of them: nil if nothing. It is one walk, however deep at is.
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
