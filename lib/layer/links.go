package layer

import (
	"fmt"
	"slices"

	"ocipipe/lib/tree"
)

// pendingLink is a hard link whose target the layer does not have yet. It binds to the
// target in the layers below, if they have it, or else to the entry that comes there.
type pendingLink struct {
	path, target string
	below        []string     // paths in the layers below that come before target
	next         *pendingLink // the link before it that waits for the same target
	number       int          // by the order in which links came
}

// waitingInode is the inode of every link that waits, until the link binds or is replaced.
var waitingInode = &tree.Entry{Type: tree.File}

// link adds a hard link.
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
	if old.Entry == waitingInode {
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
	if e.Lower == nil || !n.givesAway {
		e = new(tree.Entry)
	}
	lower := inode.Lower
	*e = *inode.Inode()
	e.Path, e.Hardlink, e.Lower, e.Content = at, target, lower, nil
	n.emit(e)
}

// wait keeps a link until its target comes. An entry that the link replaces goes at once,
// since the link may never be emitted: another entry may replace it in turn.
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
	n.tree.Set(p.path, waitingInode)
	for _, q := range n.takeWaiting(p.path) {
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

// takeWaiting removes and returns the links that wait for target, in the order in which
// they began to wait.
func (n *names) takeWaiting(target string) (links []*pendingLink) {
	for p := n.waiting[target]; p != nil; p = p.next {
		if n.waits(p) {
			links = append(links, p)
		}
	}
	delete(n.waiting, target)
	slices.Reverse(links)
	return links
}

// prefer adds paths in the layers below, after those that p has.
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
	links := n.takeWaiting(target)
	if links == nil {
		return nil
	}
	arrived := n.tree.Lookup(target).Entry
	inode := arrived.Inode()
	var orLower *tree.Entry
	for _, p := range links {
		if arrived.Lower != nil {
			if err := p.prefer(arrived.Lower.Targets); err != nil {
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

// waits reports whether p still waits and no other entry has replaced it.
func (n *names) waits(p *pendingLink) bool {
	at := n.tree.Lookup(p.path)
	return at != nil && at.Entry == waitingInode && n.pending[p.path] == p
}
