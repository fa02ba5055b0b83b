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
	below        []string    // what counts before target comes: paths in the layers below
	inode        *tree.Entry // stands in the tree for it, until something replaces it
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
	if err := n.meter.Hold(p.path, 1, int64(len(p.path)+len(p.target))); err != nil {
		return err
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
