package layer

import (
	"fmt"
	"strings"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// aufsLinks is the directory where aufs kept inodes with several names, "pseudo-links":
// files that are named by the number of their inode, to which the names are hard links. It
// is not part of the tree itself. Docker unpacks each name as a copy of the file; here they
// are names of one inode, as they were on aufs.
const aufsLinks = ".wh..wh.plnk"

// isPseudo reports whether path lies below a directory aufsLinks.
func isPseudo(path string) bool {
	return strings.HasPrefix(path, aufsLinks+"/") || strings.Contains(path, "/"+aufsLinks+"/")
}

// pseudoLink is an inode that waits for names.
type pseudoLink struct {
	entry *tree.Entry // nil if a name in the tree made it
	inode *tree.Entry // in names.tree, once it has a name
	names []string    // that it got; by now another entry may have replaced some
}

// hold keeps e, which lies below aufsLinks, for hard links to it.
func (n *names) hold(e *tree.Entry) {
	n.pseudo[e.Path] = &pseudoLink{entry: e}
}

// holdLink keeps the inode of target, a name in the tree, under the name at, which lies
// below aufsLinks: if a tar has the name in the tree first, the pseudo-link is the hard
// link.
func (n *names) holdLink(at, target string) error {
	target, err := n.resolve(target)
	if err != nil {
		return err
	}
	if old := n.tree.Lookup(target); old != nil && old.Entry.Type != tree.Dir && old.Entry != waitingInode {
		n.pseudo[at] = &pseudoLink{inode: old.Entry, names: []string{target}}
	}
	return nil // if nothing was kept, links to at are an error
}

// linkPseudo adds a hard link to a name below aufsLinks.
func (n *names) linkPseudo(at, target string) (err error) {
	if at, err = n.resolve(at); err != nil {
		return err
	}
	p := n.pseudo[target]
	switch {
	case p == nil:
		return fmt.Errorf("%w: hard link to %s of aufs, which the layer does not have before it", ErrCorrupt, target)
	case at == ".":
		return fmt.Errorf("%w: the root is not a directory", ErrCorrupt)
	}
	for len(p.names) > 0 {
		if old := n.tree.Lookup(p.names[0]); old != nil && old.Entry == p.inode {
			if at == p.names[0] {
				return nil
			}
			n.bind(at, p.names[0], p.inode)
			p.names = append(p.names, at)
			return n.wake(at)
		}
		p.names = p.names[1:]
	}
	if p.entry == nil {
		return fmt.Errorf("%w: hard link to %s of aufs, whose file the layer has replaced", ErrCorrupt, target)
	}
	e := *p.entry
	e.Path = at
	if err := n.add(&e); err != nil {
		return err
	}
	p.inode, p.names = n.tree.Lookup(at).Entry, []string{at}
	return nil
}

// aufsHold keeps the contents of pseudo-links until they have names.
type aufsHold struct {
	meter *tree.Meter // limits what is held, which has not passed the limits of the source yet
	prev  string      // the path that was held last

	mu     sync.Mutex
	spool  *blockio.Spool // nil until there are contents
	closed bool
}

// keep copies e's content to the spool, so that it can be read later.
func (a *aufsHold) keep(e *tree.Entry, dir string) (err error) {
	if err = a.meter.Add(a.prev, e); err != nil {
		return err
	}
	if a.prev = e.Path; e.Content == nil {
		return nil
	}
	spool, err := a.open(dir)
	if err != nil {
		return err
	}
	held, size := spool.Part(spool.Size(), e.DataSize()), e.DataSize()
	n, err := e.Content.WriteTo(spool)
	if err == nil && n != size {
		err = fmt.Errorf("content has %d bytes instead of %d", n, size)
	}
	e.Content = withHoles(held, e)
	return err
}

// open opens the spool, unless it is open or the layer is closed.
func (a *aufsHold) open(dir string) (spool *blockio.Spool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, tree.ErrClosed
	}
	if a.spool == nil {
		a.spool, err = blockio.NewSpool(dir)
	}
	return a.spool, err
}

func (a *aufsHold) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed = true; a.spool == nil {
		return nil
	}
	return a.spool.Close()
}
