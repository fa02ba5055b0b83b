package patch

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"ocipipe/lib/tree"
)

// maxLinks is how many symbolic links a path may lead through (MAXSYMLINKS of
// linux/namei.h).
const maxLinks = 40

// Bounds of the ways that all paths of a list may take: the components of targets that
// are walked, in all, and for each path. Real ones have a few.
const (
	maxSteps     = 1 << 20
	maxStepsEach = 256
)

// place is where a path leads: a name in a directory, and the node that has it, nil if
// there is none. Of the root there is only the node.
type place struct {
	dir  *node
	name string
	node *node
}

// lookup finds path, one of a tree. The last component is followed only if follow says
// so. It is errNotFound, as such or wrapped, that a directory on the way is missing, and
// where the last is followed that nothing is there.
func (v *view) lookup(path string, follow bool) (place, error) {
	w := way{view: v, at: v.root, rest: []string{path}, behind: 1, follow: follow}
	return w.walk()
}

// dir finds the directory in which path, one of a tree but not the root, has its last
// component, and makes with mkdir what is missing on the way, unless mkdir is nil.
func (v *view) dir(path string, mkdir func() *tree.Entry) (dir *node, name string, err error) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return v.root, path, nil
	}
	w := way{view: v, at: v.root, rest: []string{path[:i]}, behind: 1, follow: true, mkdir: mkdir}
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
	return &fault{fmt.Sprintf("/%s is not a directory", printable(n.path())), unix.ENOTDIR}
}

func missing(dir *node, name string) error {
	at := strings.TrimPrefix(dir.path()+"/"+name, "./")
	return &fault{fmt.Sprintf("not found: /%s does not exist", printable(at)), unix.ENOENT}
}

// way is how far a path has been followed.
type way struct {
	view   *view
	at     *node    // the place so far
	rest   []string // still to be followed: of targets, and first of the path itself
	behind int      // how many of rest are not of targets: 1 until the path itself is at its end
	follow bool     // the last component too
	mkdir  func() *tree.Entry

	links int
	last  place
}

func (w *way) walk() (place, error) {
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

// step takes one component of the rest.
func (w *way) step() error {
	top := len(w.rest) - 1
	target := top >= w.behind
	if target {
		if w.view.steps++; w.view.steps > maxSteps {
			return &fault{fmt.Sprintf("symbolic links make the ways of paths too long: over %d steps in all, and %d for each", maxSteps, maxStepsEach), unix.ELOOP}
		}
	}
	name, rest, more := strings.Cut(w.rest[top], "/")
	if w.rest[top] = rest; !more {
		w.rest = w.rest[:top]
		w.behind = min(w.behind, top)
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

// enter goes on to name in the directory w.at, the last component or not, and makes a
// directory if that is missing and may be made.
func (w *way) enter(name string, last, mkdir bool) error {
	c := w.at.child(name)
	switch {
	case c == nil && mkdir:
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

// link goes on to target, that of a symbolic link in w.at.
func (w *way) link(target string) error {
	if w.links++; w.links > maxLinks {
		return errLoop
	}
	if strings.HasPrefix(target, "/") {
		w.at = w.view.root
	}
	w.rest = append(w.rest, target)
	return nil
}
