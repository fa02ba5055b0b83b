package layer

import (
	"errors"
	"fmt"
	"maps"
	"path"
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

// cleanName is the path of an entry without leading, trailing and double slashes
// and "." components, and what its name marks. A name that a whiteout hides may be
// as long as any other, and the name of its entry by the prefix longer.
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

// readMark is what the tidy name clean marks, and where.
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

// cleanPath makes a path of the model of a tar's name. A component ".." is an
// error: it would lead nobody knows where.
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

// tidy is name without slashes and "." components that say nothing; valid reports
// whether it is known to be a path of the model.
func tidy(name string) (clean string, valid bool) {
	clean = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if tree.CheckPath(clean) == nil {
		return clean, true
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

// names knows which names a layer has made so far, and says what entries of the
// stream follow from each entry of the tar.
//
// Whiteouts and opaque marks act on the layers below wherever they stand in the
// tar, so they are kept until its end. The tree therefore holds what is real in
// the layer, and no directory that only a whiteout would imply.
type names struct {
	emit    func(*tree.Entry)
	tree    *tree.Tree // without contents
	whited  map[string]bool
	opaques map[string]bool
	waiting map[string][]*pendingLink // by the target they wait for
	pending []*pendingLink            // all of them, in order
	pseudo  map[string]*pseudoLink    // by path
	inodes  map[*tree.Entry]*pendingLink
}

// pendingLink is a hard link whose target the layer does not have yet. It binds to
// what the layers below have there, if they have anything, or else to what comes.
type pendingLink struct {
	path, target string
	below        []string    // what counts before target comes: paths in the layers below
	inode        *tree.Entry // stands in the tree for it, until something replaces it
}

// someDir is the inode of all directories that have attributes.
var someDir = &tree.Entry{Type: tree.Dir}

func newNames(emit func(*tree.Entry)) *names {
	return &names{
		emit:    emit,
		tree:    tree.New(),
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
	real, err := n.resolveDir(dir)
	if err != nil || real == dir {
		return at, err
	}
	at = path.Join(real, base)
	return at, checkResolved(at)
}

// resolveDir is resolve for a directory, which may be such a link itself.
func (n *names) resolveDir(dir string) (string, error) {
	real, err := n.tree.ResolveDir(dir)
	if err != nil {
		return dir, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if real == dir {
		return dir, nil
	}
	return real, checkResolved(real)
}

func checkResolved(at string) error {
	if err := tree.CheckPath(at); err != nil {
		return fmt.Errorf("%w: where symbolic links lead: %w", ErrCorrupt, err)
	}
	return nil
}

// add takes an entry that is neither a whiteout nor a hard link.
func (n *names) add(e *tree.Entry) (err error) {
	if e.Path, err = n.resolve(e.Path); err != nil {
		return err
	}
	if e.Type == tree.Dir {
		n.tree.Set(e.Path, someDir)
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

// link takes a hard link.
func (n *names) link(at, target string) (err error) {
	if target, err = n.resolve(target); err != nil {
		return err
	}
	if at, err = n.resolve(at); err != nil {
		return err
	}
	if at == "." {
		return fmt.Errorf("%w: the root is not a directory", ErrCorrupt)
	}
	old := n.tree.Lookup(target)
	switch {
	case old == nil && n.shadowed(target):
		return n.wait(&pendingLink{path: at, target: target})
	case old == nil:
		return n.wait(&pendingLink{path: at, target: target, below: []string{target}})
	case old.Entry.Type == tree.Dir:
		return errDirLink(target)
	}
	if p := n.inodes[old.Entry]; p != nil {
		return n.wait(&pendingLink{path: at, target: p.target, below: p.below})
	}
	if at == target {
		return nil
	}
	n.bind(at, target, old.Entry)
	return n.wake(at)
}

func errDirLink(target string) error {
	return fmt.Errorf("%w: hard link to %s, which is a directory", ErrCorrupt, target)
}

// shadowed reports whether the layer has hidden, up to here, what the layers below
// have at the path at, which it does not have itself.
func (n *names) shadowed(at string) bool {
	if n.whited[at] {
		return true
	}
	for dir := at; dir != "."; {
		dir, _ = split(dir)
		if n.whited[dir] || n.opaques[dir] {
			return true
		}
		if old := n.tree.Lookup(dir); old != nil && old.Entry.Type != tree.Dir {
			return true
		}
	}
	return false
}

// bind emits the link at to the inode of target.
func (n *names) bind(at, target string, inode *tree.Entry) {
	e := *inode.Inode()
	e.Path, e.Hardlink, e.Lower = at, target, inode.Lower
	n.tree.Set(at, inode)
	n.emit(&e)
}

// wait keeps a link until its target comes. What it takes the place of goes at once:
// the link may never be emitted, if something takes its place in turn.
func (n *names) wait(p *pendingLink) error {
	if n.tree.Lookup(p.path) != nil {
		n.emit(&tree.Entry{Path: p.path, Type: tree.File, Mode: 0o644})
	}
	p.inode = &tree.Entry{Type: tree.File}
	n.inodes[p.inode] = p
	n.tree.Set(p.path, p.inode)
	n.pending = append(n.pending, p)
	for _, q := range n.comes(p.path) {
		if err := q.prefer(p.below); err != nil {
			return err
		}
		q.target = p.target
		n.waiting[p.target] = append(n.waiting[p.target], q)
	}
	n.waiting[p.target] = append(n.waiting[p.target], p)
	return nil
}

// comes takes the links that wait for target.
func (n *names) comes(target string) []*pendingLink {
	links, ok := n.waiting[target]
	if !ok {
		return nil
	}
	delete(n.waiting, target)
	return slices.DeleteFunc(links, func(p *pendingLink) bool { return !n.waits(p) })
}

// prefer lets what the layers below have at paths count behind what does already.
func (p *pendingLink) prefer(paths []string) error {
	below := slices.Clone(p.below)
	for _, path := range paths {
		if !slices.Contains(below, path) {
			below = append(below, path)
		}
	}
	if p.below = below; len(below) > tree.MaxTargets {
		return fmt.Errorf("%w: hard link %s waits for another, and that for another, %d times", ErrCorrupt, p.path, tree.MaxTargets)
	}
	return nil
}

// wake binds the links that wait for target, which has just come.
func (n *names) wake(target string) error {
	links := n.comes(target)
	if links == nil {
		return nil
	}
	come := n.tree.Lookup(target).Entry
	for _, p := range links {
		if come.Lower != nil {
			if err := p.prefer(come.Lower.Targets); err != nil {
				return err
			}
		}
		inode := come.Inode()
		if len(p.below) > 0 {
			inode = tree.OrLower(inode, p.below)
		}
		delete(n.inodes, p.inode)
		n.bind(p.path, target, inode)
	}
	return nil
}

// waits reports whether p still stands where it was made.
func (n *names) waits(p *pendingLink) bool {
	at := n.tree.Lookup(p.path)
	return at != nil && at.Entry == p.inode
}

// whiteout takes the whiteout of at.
func (n *names) whiteout(at string) error {
	at, err := n.resolve(at)
	return note(n.whited, at, err)
}

// opaque takes the opaque mark of dir.
func (n *names) opaque(dir string) error {
	dir, err := n.resolveDir(dir)
	return note(n.opaques, dir, err)
}

// note takes a mark at the place where a path has led, or else has met err. Below
// what is no directory there is nothing to hide.
func note(marks map[string]bool, at string, err error) error {
	if errors.As(err, new(*tree.NotDirError)) {
		return nil
	}
	if err == nil {
		marks[at] = true
	}
	return err
}

// finish emits, at the end of the layer, what refers to the layers below: links
// whose targets did not come, and the marks.
func (n *names) finish() error {
	for _, p := range n.pending {
		if !n.waits(p) {
			continue
		}
		if err := p.prefer([]string{p.target}); err != nil {
			return err
		}
		n.emit(&tree.Entry{Path: p.path, Type: tree.File, Mode: 0o644, Lower: &tree.Lower{Targets: p.below}})
	}
	for _, dir := range slices.Sorted(maps.Keys(n.opaques)) {
		if n.tree.Lookup(dir) == nil && !n.covered(dir) {
			n.tree.Set(dir, &tree.Entry{Type: tree.Dir, NoChange: true})
		}
		n.whited[dir] = n.whited[dir] // so that one loop has all marks
	}
	for _, at := range slices.Sorted(maps.Keys(n.whited)) {
		n.mark(at)
	}
	return nil
}

// mark emits what a whiteout or an opaque mark comes to. What the layer has at
// the same path hides what lies below, unless it is a directory: that is opaque.
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
		e.Xattrs = []tree.Xattr{tree.Opaque}
	}
	n.emit(&e)
}

// hidden reports whether nothing of the layers below shows at the path at, which
// the layer does not have: a parent is no directory, or is whited out and not
// made again.
func (n *names) hidden(at string) bool {
	node := n.tree.Root()
	for i, c := range []byte(at) {
		if c != '/' {
			continue
		}
		if node != nil {
			node = node.Child(at[strings.LastIndexByte(at[:i], '/')+1 : i])
		}
		if node == nil && n.whited[at[:i]] || node != nil && node.Entry.Type != tree.Dir {
			return true
		}
	}
	return false
}

// covered reports whether a parent of at is something else than a directory.
func (n *names) covered(at string) bool {
	node := n.tree.Root()
	for dir, more := at, true; more && node != nil; {
		if node.Entry.Type != tree.Dir {
			return true
		}
		var name string
		name, dir, more = strings.Cut(dir, "/")
		node = node.Child(name)
	}
	return false
}
