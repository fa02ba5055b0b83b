package list

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ocipipe/lib/tree"
)

// Limits on the way to a file.
const (
	maxLinks = 40               // symbolic links, as in the kernel
	maxSteps = 2 * tree.MaxPath // components
)

// NoContentError says that there is no content at Path, since it is a file of another type.
type NoContentError struct {
	Path string
	Type tree.Type
	Why  string
}

func (e *NoContentError) Error() string { return fmt.Sprintf("%s: %s", Path(e.Path), e.Why) }

// Find returns the regular file at path. Like a process whose root directory is that of the
// tree, it follows symbolic links, which never lead out of it; but slashes and dots in excess,
// as at the end of path, mean nothing. lookup returns the entry at a path without following
// links, and an error that wraps fs.ErrNotExist if there is none; Find calls it once for a
// path. If there is no such file, the error is a [*NotFoundError] or a [*NoContentError].
func Find(lookup func(path string) (*tree.Entry, error), path string) (*tree.Entry, error) {
	asked := clean(path)
	w := walk{lookup: lookup, seen: map[string]*tree.Entry{}, rest: []string{asked}}
	e, err := w.run()
	if err == nil {
		err = checkContent(e)
	}
	if err != nil && w.links > 0 && w.place() != asked {
		err = fmt.Errorf("%s leads to %w", Path(asked), err)
	}
	return e, err
}

// walk follows a path.
type walk struct {
	lookup func(path string) (*tree.Entry, error)
	seen   map[string]*tree.Entry // what lookup has returned, which may have read large directories
	names  []string               // of the place that has been reached
	rest   []string               // still to be followed, the next part last
	links  int
	steps  int
}

func (w *walk) place() string {
	if len(w.names) == 0 {
		return "."
	}
	return strings.Join(w.names, "/")
}

func (w *walk) run() (*tree.Entry, error) {
	e, err := w.at()
	for err == nil && len(w.rest) > 0 {
		if w.steps++; w.steps > maxSteps {
			return nil, fmt.Errorf("%s: more than %d directories on the way", Path(w.place()), maxSteps)
		}
		top := len(w.rest) - 1
		name, rest, more := strings.Cut(w.rest[top], "/")
		if w.rest[top] = rest; !more {
			w.rest = w.rest[:top]
		}
		e, err = w.enter(e, name)
	}
	return e, err
}

// at returns the entry of the place that has been reached.
func (w *walk) at() (*tree.Entry, error) {
	place := w.place()
	if e := w.seen[place]; e != nil {
		return e, nil
	}
	e, err := w.lookup(place)
	if errors.Is(err, fs.ErrNotExist) {
		err = &NotFoundError{place}
	}
	if err == nil {
		w.seen[place] = e
	}
	return e, err
}

// enter goes from dir to name in it.
func (w *walk) enter(dir *tree.Entry, name string) (*tree.Entry, error) {
	switch {
	case dir.Type != tree.Dir:
		return nil, &NoContentError{w.place(), dir.Type, "is not a directory"}
	case name == "" || name == ".":
		return dir, nil
	case name == "..":
		w.names = w.names[:max(0, len(w.names)-1)]
		return w.at()
	}
	w.names = append(w.names, name)
	if err := tree.CheckPath(w.place()); err != nil {
		return nil, fmt.Errorf("%s: %w", Path(w.place()), err)
	}
	e, err := w.at()
	if err != nil || e.Type != tree.Link {
		return e, err
	}
	if w.links++; w.links > maxLinks {
		return nil, fmt.Errorf("%s: more than %d symbolic links on the way", Path(w.place()), maxLinks)
	}
	w.names = w.names[:len(w.names)-1]
	if strings.HasPrefix(e.Link, "/") {
		w.names = w.names[:0]
	}
	w.rest = append(w.rest, e.Link)
	return w.at()
}

var typeNames = map[tree.Type]string{
	tree.Dir: "is a directory", tree.Char: "is a character device, which has no content", tree.Block: "is a block device, which has no content",
	tree.Fifo: "is a named pipe, which has no content", tree.Socket: "is a socket, which has no content",
}

func checkContent(e *tree.Entry) error {
	why := typeNames[e.Type]
	switch {
	case e.IsWhiteout():
		why = "is a whiteout: the layer deletes the file"
	case e.IsLower():
		why = "is a link to " + Path(lastOf(e.Lower.Targets)) + " in a layer below"
	}
	if why == "" {
		return nil
	}
	return &NoContentError{e.Path, e.Type, why}
}

// InTree returns a lookup for Find in t.
func InTree(t *tree.Tree) func(path string) (*tree.Entry, error) {
	return func(path string) (*tree.Entry, error) {
		n := t.Lookup(path)
		if n == nil {
			return nil, fs.ErrNotExist
		}
		e := *n.Entry.Inode()
		e.Path, e.Lower = path, n.Entry.Lower
		return &e, nil
	}
}
