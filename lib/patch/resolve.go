package patch

import (
	"fmt"
	"strings"
	"syscall"

	"ocipipe/lib/tree"
)

// maxLinks is how many symbolic links a path may lead through (MAXSYMLINKS of
// linux/namei.h).
const maxLinks = 40

// Limits on the components of link targets that the paths of a list may lead through: in
// all, and for each path in addition. Real paths need a few.
const (
	maxSteps     = 1 << 20
	maxStepsEach = 256
)

// place is where a path leads: a name in a directory, and the node of that name, which is
// nil if the name does not exist. If the path is the root, or ends in a link whose target
// ends in "." or "..", the place has only a node.
type place struct {
	dir  *node
	name string
	node *node
}

// lookup finds path, which is clean. It follows a link in the last component only if follow
// is true. A missing directory on the way is an error that is fs.ErrNotExist, and so is a
// missing last component if follow is true.
func (v *view) lookup(path string, follow bool) (place, error) {
	w := walker{view: v, at: v.root, rest: []string{path}, paths: 1, follow: follow}
	return w.walk()
}

// dir finds the parent directory of path, which is clean and not the root, and returns the
// last component as name. It makes missing directories with mkdir, unless that is nil.
func (v *view) dir(path string, mkdir func() *tree.Entry) (dir *node, name string, err error) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return v.root, path, nil
	}
	w := walker{view: v, at: v.root, rest: []string{path[:i]}, paths: 1, follow: true, mkdir: mkdir}
	p, err := w.walk()
	switch {
	case err != nil:
		return nil, "", err
	case !v.isDir(p.node):
		return nil, "", notDir(p.node)
	}
	return p.node, path[i+1:], nil
}

func notDir(n *node) error {
	return &fault{fmt.Sprintf("/%s is not a directory", printable(n.path())), syscall.ENOTDIR}
}

func missing(dir *node, name string) error {
	at := strings.TrimPrefix(dir.path()+"/"+name, "./")
	return &fault{fmt.Sprintf("not found: /%s does not exist", printable(at)), syscall.ENOENT}
}

// walker follows a path.
type walker struct {
	view   *view
	at     *node              // how far the walk has come
	rest   []string           // parts still to be followed, the next one last: first the path, then targets of links
	paths  int                // how many elements of rest belong to the path itself: 1, or 0 once it has been followed
	follow bool               // follow a link in the last component, too
	mkdir  func() *tree.Entry // makes missing directories; nil: they are an error

	links int // followed so far
	last  place
}

func (w *walker) walk() (place, error) {
	w.view.steps -= maxStepsEach
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return place{}, err
		}
	}
	if w.last.node == nil && w.follow {
		if w.links > 0 {
			return place{}, missing(w.at, w.last.name)
		}
		return place{}, errNotFound
	}
	return w.last, nil
}

// step follows one component of the rest.
func (w *walker) step() error {
	top := len(w.rest) - 1
	target := top >= w.paths
	if target {
		if w.view.steps++; w.view.steps > maxSteps {
			return &fault{fmt.Sprintf("symbolic links lead paths through too many directories: over %d steps in all, and %d for each path", maxSteps, maxStepsEach), syscall.ELOOP}
		}
	}
	name, rest, more := strings.Cut(w.rest[top], "/")
	if w.rest[top] = rest; !more {
		w.rest = w.rest[:top]
		w.paths = min(w.paths, top)
	}
	if !w.view.isDir(w.at) {
		return notDir(w.at)
	}
	switch name {
	case "", ".":
		w.last = place{node: w.at}
		return nil
	case "..":
		if w.at.up != nil {
			w.at = w.at.up
		}
		w.last = place{node: w.at}
		return nil
	}
	return w.enter(name, len(w.rest) == 0, w.mkdir != nil && !target)
}

// enter goes on to name in the directory w.at; last says that it is the last component. If
// mkdir is true and the name does not exist, enter makes a directory.
func (w *walker) enter(name string, last, mkdir bool) error {
	c := w.at.child(name)
	switch {
	case c == nil && mkdir:
		if err := w.view.added(name); err != nil {
			return err
		}
		c = &node{own: w.mkdir()}
		c.attach(w.at, name)
	case c == nil && last:
		w.last = place{dir: w.at, name: name}
		return nil
	case c == nil:
		return missing(w.at, name)
	}
	if e := w.view.entry(c); e.Type == tree.Link && (w.follow || !last) {
		return w.link(e.Link)
	}
	w.last = place{dir: w.at, name: name, node: c}
	w.at = c
	return nil
}

// link goes on to target, the target of a symbolic link in w.at.
func (w *walker) link(target string) error {
	if w.links++; w.links > maxLinks {
		return errLoop
	}
	if strings.HasPrefix(target, "/") {
		w.at = w.view.root
	}
	w.rest = append(w.rest, target)
	return nil
}
