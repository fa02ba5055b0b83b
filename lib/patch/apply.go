package patch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"ocipipe/lib/tree"
)

// Options are for Apply.
type Options struct {
	Mtime *tree.Time // of new files and of files that are written to; nil: Epoch
	Epoch *int64     // the same time in seconds since 1970; nil: 0

	// KeepCaps keeps security.capability of files that are written to or get another
	// owner.
	KeepCaps bool

	// Root is the directory of the host to which sources are confined. It must stay open
	// as long as contents are read. If it is nil, sources may be anywhere; CopyDir is
	// confined to its source directory in either case.
	Root *os.Root

	// Preserve keeps the owner, times, extended attributes and hard links of files that
	// are copied from the host. Otherwise copies belong to root, and have the time of
	// new files.
	Preserve bool

	// Follow makes CopyDir copy what symbolic links in its source lead to, in place of the
	// links. A link that leads out of the source, nowhere, or to a directory that holds it
	// is an error.
	Follow bool

	// Reads is called with each file and directory of the host from which something is
	// copied. Its error is that of the operation. nil takes all.
	Reads func(path string) error

	// Limits bounds, by its TreeMemory, the names that the operations add.
	Limits tree.Limits
}

// reads calls Reads with a file or a directory.
func (o *Options) reads(p hostPath) error {
	if o.Reads == nil {
		return nil
	}
	return o.Reads(p.name())
}

func (o *Options) time() tree.Time {
	switch {
	case o.Mtime != nil:
		return *o.Mtime
	case o.Epoch != nil:
		return tree.Time{Sec: *o.Epoch}
	}
	return tree.Time{}
}

// Apply applies ops, in their order, to lower, a flat tree, of which it counts the links.
// Lower must stay as it is as long as the result is used. No content is read but of
// directories of the host; that of files is read when they are written. The first
// operation that is invalid, or cannot be applied, is an [*OpError], of one that is
// Placed in a [*FileError], and there is no result.
func Apply(ctx context.Context, lower *tree.Tree, ops []Op, opts Options) (*Result, error) {
	if err := Check(ops); err != nil {
		return nil, err
	}
	a := &applier{view: newView(lower, opts.Limits), ctx: ctx, opts: opts, lower: lower}
	for i, op := range ops {
		err := context.Cause(ctx)
		if err == nil {
			err = op.apply(a)
		}
		if err == nil {
			err = a.added(op.path())
		}
		if err != nil {
			return nil, opError(i, op, err)
		}
	}
	return newResult(a.view, lower), nil
}

// Check finds what can be said against operations without a tree, as Apply does first.
func Check(ops []Op) error {
	for i, op := range ops {
		if err := op.check(); err != nil {
			return opError(i, op, err)
		}
	}
	return nil
}

// opError is err about op, number i from 0.
func opError(i int, op Op, err error) error {
	failed := &OpError{Index: i + 1, Op: op.name(), Path: op.path(), Err: err}
	p, ok := op.(Placed)
	if !ok {
		return failed
	}
	failed.Index = p.Index
	return &FileError{File: p.File, Line: p.Line, Column: p.Column, Err: failed}
}

type applier struct {
	*view
	ctx   context.Context
	opts  Options
	lower *tree.Tree
}

// existing finds the file at path, which is from an operation.
func (a *applier) existing(path string) (*node, error) {
	p, err := a.find(path, false)
	if err == nil && p.node == nil {
		err = errNotFound
	}
	return p.node, err
}

func (a *applier) find(path string, follow bool) (place, error) {
	clean, err := cleanPath(path)
	if err != nil {
		return place{}, err
	}
	return a.lookup(clean, follow)
}

// room finds the place of a new name, and makes the directories on the way there. It
// returns an error if the name exists, unless replace is true.
func (a *applier) room(path string, replace bool) (place, error) {
	clean, err := cleanPath(path)
	if err != nil {
		return place{}, err
	}
	dir, name, err := a.dir(clean, a.newDir)
	if err != nil {
		return place{}, err
	}
	old := dir.child(name)
	if old != nil && !replace {
		return place{}, errExists
	}
	if old == nil { // links may have led here
		err = checkLength(pathLen(dir) + len(name))
	}
	return place{dir, name, old}, err
}

// pathLen is the length of the path of the directory n, with a slash after it.
func pathLen(n *node) int {
	if n.up == nil {
		return 0
	}
	return len(n.path()) + len("/")
}

func checkLength(n int) error {
	if n > tree.MaxPath {
		return &fault{fmt.Sprintf("path of %d bytes, over %d", n, tree.MaxPath), syscall.ENAMETOOLONG}
	}
	return nil
}

// newDir returns a new directory, 0755 of root.
func (a *applier) newDir() *tree.Entry {
	return &tree.Entry{Type: tree.Dir, Mode: 0o755, Time: a.opts.time()}
}

// put puts a new inode at the path of an operation.
func (a *applier) put(path string, replace bool, e *tree.Entry, attr Attr) error {
	p, err := a.room(path, replace)
	if err != nil {
		return err
	}
	attr.set(e)
	(&node{own: e}).attach(p.dir, p.name)
	return nil
}

// set sets the attributes of e, a new file.
func (a Attr) set(e *tree.Entry) {
	a.Owner.set(e)
	if a.Mode != nil {
		e.Mode = *a.Mode
	}
}

func (a *applier) newFile(content string) *tree.Entry {
	e := &tree.Entry{Type: tree.File, Mode: 0o644, Time: a.opts.time(), Size: int64(len(content))}
	if content != "" {
		e.Content = tree.Bytes(content)
	}
	return e
}

func (o Text) apply(a *applier) error {
	return a.put(o.Path, o.Replace, a.newFile(o.Content), o.Attr)
}

func (o File) apply(a *applier) error {
	return a.put(o.Path, o.Replace, a.newFile(string(o.Content)), o.Attr)
}

func (o Symlink) apply(a *applier) error {
	e := &tree.Entry{Type: tree.Link, Mode: 0o777, Link: o.Target, Time: a.opts.time()}
	return a.put(o.Link, o.Replace, e, Attr{Owner: o.Owner})
}

func (o Mkdir) apply(a *applier) error {
	p, err := a.room(o.Path, true)
	switch {
	case err != nil:
		return err
	case p.node == nil:
		return a.put(o.Path, false, a.newDir(), o.Attr)
	case !a.isDir(p.node):
		return &fault{"exists and is not a directory", syscall.EEXIST}
	}
	return a.setAttr(p.node, o.Attr)
}

func (o MountPoint) apply(a *applier) error {
	p, err := a.find(o.Path, false)
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	if err == nil && p.node != nil {
		return nil
	}
	return a.put(o.Path, false, a.newDir(), o.Attr)
}

func (o Remove) apply(a *applier) error {
	n, err := a.existing(o.Path)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err == nil {
		n.detach()
	}
	return err
}

func (o Append) apply(a *applier) error {
	p, err := a.find(o.Path, true)
	if err != nil {
		return err
	}
	switch a.entry(p.node).Type {
	case tree.File:
	case tree.Dir:
		return errIsDir
	default:
		return invalid("is not a regular file")
	}
	if o.Content != "" {
		e := a.copyUp(p.node)
		if err := a.appendTo(e, o.Content); err != nil {
			return err
		}
		e.Time = a.opts.time()
		a.dropCaps(e)
	}
	return a.setAttr(p.node, o.Attr)
}

func (o Chmod) apply(a *applier) error { return a.change(o.Path, o.attr()) }
func (o Chown) apply(a *applier) error { return a.change(o.Path, o.Attr) }

func (a *applier) change(path string, attr Attr) error {
	n, err := a.existing(path)
	if err != nil {
		return err
	}
	return a.setAttr(n, attr)
}

func (o Link) apply(a *applier) error {
	target, err := a.existing(o.Target)
	if err != nil {
		return fmt.Errorf("target %s: %w", printable(o.Target), err)
	}
	if a.isDir(target) {
		return fmt.Errorf("target %s: %w", printable(o.Target), errIsDir)
	}
	p, err := a.room(o.Link, o.Replace)
	if err != nil {
		return err
	}
	if p.node == target {
		return a.setAttr(target, o.Attr)
	}
	n := &node{own: a.copyUp(target)}
	n.attach(p.dir, p.name)
	return a.setAttr(n, o.Attr)
}

func (o Rename) apply(a *applier) error {
	n, err := a.existing(o.Src)
	if err != nil {
		return err
	}
	p, err := a.room(o.Dst, true)
	switch {
	case err != nil:
		return fmt.Errorf("to %s: %w", printable(o.Dst), err)
	case p.node == n:
		return a.setAttr(n, o.Attr)
	case p.dir.within(n):
		return invalid("to %s: is below what is moved", printable(o.Dst))
	case p.node != nil && !o.Replace:
		return fmt.Errorf("to %s: %w", printable(o.Dst), errExists)
	case n.within(p.node):
		return &fault{fmt.Sprintf("to %s: what is moved lies in it", printable(o.Dst)), syscall.ENOTEMPTY}
	}
	if err := a.checkMove(n, pathLen(p.dir)+len(p.name)); err != nil {
		return err
	}
	n.detach()
	n.attach(p.dir, p.name)
	a.move(n)
	return a.setAttr(n, o.Attr)
}

// maxWalked is how many names may lie in the directories that a list moves, in all.
const maxWalked = 1 << 24

// checkMove is an error if n, whose path gets this length, would hold paths that are too
// long, or cannot be looked at for that.
func (a *applier) checkMove(n *node, length int) error {
	err := checkLength(length + a.longest(n.item()))
	if a.walked > maxWalked {
		return &fault{fmt.Sprintf("directories that are moved hold too many names: over %d in all", maxWalked), syscall.E2BIG}
	}
	return err
}

// longest is the length of the longest path below it, with the slash before it.
func (v *view) longest(it item) (n int) {
	if it.node == nil {
		return v.longestLow(it.low)
	}
	if v.walked++; v.walked > maxWalked || !v.isDir(it.node) {
		return 0
	}
	for _, c := range v.all(it) {
		n = max(n, len("/")+len(c.name)+v.longest(c))
	}
	return n
}

// longestLow is longest for what is as it is in the tree below.
func (v *view) longestLow(low *tree.Node) (n int) {
	if v.walked++; v.walked > maxWalked || low.Entry.Type != tree.Dir {
		return 0
	}
	for _, c := range low.Children() {
		n = max(n, len("/")+len(c.Name())+v.longestLow(c))
	}
	return n
}

func (o Touch) apply(a *applier) error {
	p, err := a.find(o.Path, false)
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	if err == nil && p.node != nil {
		a.copyUp(p.node).Time = o.time(a)
		return a.setAttr(p.node, o.Attr)
	}
	e := a.newFile("")
	e.Time = o.time(a)
	return a.put(o.Path, false, e, o.Attr)
}

func (o Touch) time(a *applier) tree.Time {
	if o.Time != nil {
		return *o.Time
	}
	return a.opts.time()
}
