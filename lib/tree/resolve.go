package tree

import (
	"fmt"
	"strings"
)

// Limits on the symbolic links that one path may lead through: their number, as in
// containerd's resolver (the kernel allows 40), and the bytes of all their targets.
const (
	maxLinks    = 255
	maxLinkText = 16 * MaxPath
)

// Limits on the components of link targets that are followed for all paths of a tree that
// are resolved: in all, and for each path with a link in addition. Real trees need a few.
const (
	maxSteps     = 1 << 20
	maxStepsEach = 256
)

var errSteps = fmt.Errorf("symbolic links lead paths through too many directories: over %d steps in all, and %d for each path", maxSteps, maxStepsEach)

// NotDirError says that a symbolic link among the parents of a path leads to a file that is
// not a directory.
type NotDirError struct {
	Link, Place string
}

func (e *NotDirError) Error() string {
	return fmt.Sprintf("symbolic link %s leads to %s, which is not a directory", printable(e.Link), printable(e.Place))
}

// ResolveDir follows the symbolic links in path as a process would whose root directory is
// that of t: "/" leads to the root, and ".." never above it. It follows a link in the last
// component, too. The result is a path of the same place without links; components that
// do not exist stay as they are. If a link leads to or through a file that is not a
// directory, the error is a [NotDirError]; ResolveDir does not check other files in place
// of directories. It limits the links that one path may lead through, and those of all paths
// that are resolved in t.
func (t *Tree) ResolveDir(path string) (string, error) {
	return t.resolveDir(path, nil)
}

// resolveDir is ResolveDir for a tree to which layer, unless it is nil, is being applied: a
// path that is a directory in layer counts as a directory.
func (t *Tree) resolveDir(path string, layer *Tree) (string, error) {
	if !t.hasLink(path) {
		return path, nil
	}
	t.steps -= maxStepsEach
	w := resolver{t: t, path: path, rest: []string{path}, nodes: []*Node{t.root}}
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return "", err
		}
		if w.link != "" && len(w.rest) <= w.afterLink {
			if err := w.checkPlace(layer); err != nil {
				return "", err
			}
		}
	}
	return w.place(len(w.names)), nil
}

// resolver follows one path.
type resolver struct {
	t     *Tree
	path  string   // the whole path
	names []string // of the place that has been reached
	nodes []*Node  // the root, and one for each name; nil: does not exist
	rest  []string // parts still to be followed, the next one last: first the path, then targets of links

	links int // followed so far
	text  int // bytes of their targets

	link      string // path of the link that is being followed; "": none
	afterLink int    // length of rest once link has been followed
	dirs      int    // how many of nodes are known to be directories
}

func (w *resolver) place(n int) string {
	if n == 0 {
		return "."
	}
	return strings.Join(w.names[:n], "/")
}

// step follows one component of the rest.
func (w *resolver) step() error {
	top := len(w.rest) - 1
	if w.link != "" {
		if w.t.steps++; w.t.steps > maxSteps {
			return fmt.Errorf("%s: %w", w.path, errSteps)
		}
	}
	name, rest, _ := strings.Cut(w.rest[top], "/")
	if w.rest[top] = rest; rest == "" {
		w.rest = w.rest[:top]
	}
	switch name {
	case "", ".":
		return nil
	case "..":
		if n := len(w.names); n > 0 {
			w.back(n - 1)
		}
		return nil
	}
	var c *Node
	if at := w.nodes[len(w.nodes)-1]; at != nil {
		c = at.children.get(name)
	}
	if c == nil || c.Entry.Type != Link {
		w.names, w.nodes = append(w.names, name), append(w.nodes, c)
		return nil
	}
	return w.follow(c.Entry.Link)
}

// back goes back to the place of the first n names.
func (w *resolver) back(n int) {
	w.names, w.nodes = w.names[:n], w.nodes[:n+1]
	w.dirs = min(w.dirs, n+1)
}

// follow puts target, the target of a symbolic link, before the rest.
func (w *resolver) follow(target string) error {
	w.links, w.text = w.links+1, w.text+len(target)
	if w.links > maxLinks {
		return fmt.Errorf("%s: more than %d symbolic links on the way", w.path, maxLinks)
	}
	if w.text > maxLinkText {
		return fmt.Errorf("%s: symbolic links of more than %d bytes on the way", w.path, maxLinkText)
	}
	if w.link == "" {
		w.link, w.afterLink = w.path, len(w.rest)
		if w.afterLink > 0 {
			w.link = w.path[:len(w.path)-len(w.rest[0])-1]
		}
	}
	if strings.HasPrefix(target, "/") {
		w.back(0)
	}
	w.rest = append(w.rest, target)
	return nil
}

// checkPlace checks that the place to which w.link leads is a directory.
func (w *resolver) checkPlace(layer *Tree) error {
	link := w.link
	w.link = ""
	for ; w.dirs < len(w.nodes) && w.nodes[w.dirs] != nil; w.dirs++ {
		if w.nodes[w.dirs].Entry.Type == Dir {
			continue
		}
		place := w.place(w.dirs)
		if layer != nil {
			if own := layer.Lookup(place); own != nil && own.Entry.Type == Dir {
				return nil
			}
		}
		return &NotDirError{Link: link, Place: place}
	}
	return nil
}

// hasLink reports whether a component of path is a symbolic link. With it, the common case
// of ResolveDir allocates nothing.
func (t *Tree) hasLink(path string) bool {
	if t.last.node != nil && t.last.path == path {
		return false
	}
	n := t.root
	for more := path != "."; more && n != nil; {
		var name string
		name, path, more = strings.Cut(path, "/")
		if n = n.children.get(name); n != nil && n.Entry.Type == Link {
			return true
		}
	}
	return false
}

// Resolve is ResolveDir, but does not follow a link in the last component.
func (t *Tree) Resolve(path string) (string, error) {
	return t.resolve(path, nil)
}

func (t *Tree) resolve(path string, layer *Tree) (string, error) {
	dir, base := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = path[:i], path[i+1:]
	}
	dir, err := t.resolveDir(dir, layer)
	if err != nil {
		return "", err
	}
	return join(dir, base), nil
}

// join is the path of name in the directory dir.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
