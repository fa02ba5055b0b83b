package layer

import (
	"fmt"
	"slices"

	"ocipipe/lib/tree"
)

// pendingLink is a hard link whose target the layer does not have yet. It binds to
// what the layers below have there, if they have anything, or else to what comes.
type pendingLink struct {
	path, target string
	below        []string     // what counts before target comes: paths in the layers below
	next         *pendingLink // that waits for the same target, and came before it
	number       int          // in the order in which links came
}

// someWaiting is the inode of all links that wait, until something replaces it.
var someWaiting = &tree.Entry{Type: tree.File}

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
	if old.Entry == someWaiting {
		p := n.pending[target]
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

// bind emits the link at to the inode of target.
func (n *names) bind(at, target string, inode *tree.Entry) {
	n.tree.Set(at, inode)
	n.emitLink(at, target, inode)
}

func (n *names) emitLink(at, target string, inode *tree.Entry) {
	e := inode
	if e.Lower == nil || !n.gives {
		e = new(tree.Entry)
	}
	lower := inode.Lower
	*e = *inode.Inode()
	e.Path, e.Hardlink, e.Lower, e.Content = at, target, lower, nil
	n.emit(e)
}

// wait keeps a link until its target comes. What it takes the place of goes at once:
// the link may never be emitted, if something takes its place in turn.
func (n *names) wait(p *pendingLink) error {
	if n.tree.Lookup(p.path) != nil {
		n.emit(&tree.Entry{Path: p.path, Type: tree.File, Mode: 0o644})
	}
	if err := n.meter.Hold(p.path, 1, int64(len(p.path)+len(p.target))); err != nil {
		return err
	}
	n.links++
	p.number = n.links
	n.pending[p.path] = p
	n.tree.Set(p.path, someWaiting)
	for _, q := range n.comes(p.path) {
		if err := q.prefer(p.below); err != nil {
			return err
		}
		n.waitFor(p.target, q)
	}
	n.waitFor(p.target, p)
	return nil
}

func (n *names) waitFor(target string, p *pendingLink) {
	p.target, p.next = target, n.waiting[target]
	n.waiting[target] = p
}

// comes takes the links that wait for target, in the order in which they began to.
func (n *names) comes(target string) (links []*pendingLink) {
	for p := n.waiting[target]; p != nil; p = p.next {
		if n.waits(p) {
			links = append(links, p)
		}
	}
	delete(n.waiting, target)
	slices.Reverse(links)
	return links
}

// prefer lets what the layers below have at paths count behind what does already.
func (p *pendingLink) prefer(paths []string) error {
	if slices.Equal(p.below, paths) {
		return nil
	}
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

// wake binds the links that wait for target, which has just come. They are emitted
// one by one: there may be many.
func (n *names) wake(target string) error {
	links := n.comes(target)
	if links == nil {
		return nil
	}
	come := n.tree.Lookup(target).Entry
	inode := come.Inode()
	var orLower *tree.Entry
	for _, p := range links {
		if come.Lower != nil {
			if err := p.prefer(come.Lower.Targets); err != nil {
				return err
			}
		}
		delete(n.pending, p.path)
		switch {
		case len(p.below) == 0:
			n.tree.Set(p.path, inode)
		case orLower == nil || !slices.Equal(orLower.Lower.Targets, p.below):
			orLower = tree.OrLower(inode, p.below)
			fallthrough
		default:
			n.tree.Set(p.path, orLower)
		}
	}
	n.woken, n.target = links, target
	return nil
}

// emitWoken emits the first of the links that wake has bound.
func (n *names) emitWoken() {
	p := n.woken[0]
	n.woken[0] = nil
	n.woken = n.woken[1:]
	n.emitLink(p.path, n.target, n.tree.Lookup(p.path).Entry)
}

// waits reports whether p still stands where it was made.
func (n *names) waits(p *pendingLink) bool {
	at := n.tree.Lookup(p.path)
	return at != nil && at.Entry == someWaiting && n.pending[p.path] == p
}
