package layer_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// This file is the reference model of what layers come to: maps from paths to
// inodes, and the rules, in the order in which one would say them, without a
// thought for speed. The tests compare it with the real thing.

// inode is a file without its names; names of one inode share the pointer.
type inode struct {
	typ     tree.Type
	id      int    // of the item that made it
	what    string // attributes and content, in words
	link    string // of a symbolic link
	implied bool   // a directory whose attributes the layer does not state

	// A hard link to waits, which the layer does not have yet, is lower, what is there
	// below, or else come, what comes there first. The layer by itself, as it leads
	// paths through symbolic links, only knows come. Where through, waits leads
	// through symbolic links below, maybe to what the layer makes.
	waits       string
	lower, come *inode
	through     bool
}

func newDir() *inode { return &inode{typ: tree.Dir, what: plainDir} }

// modelLayer is a layer resolved by itself.
type modelLayer struct {
	names    map[string]*inode
	whiteout map[string]bool
	opaque   map[string]bool
	pseudo   map[string]*inode // of aufs
	waiting  []*inode
	below    map[string]*inode // what the layer comes to lie on
}

var errModel = errors.New("the model refuses this")

// model merges layers, given from bottom to top.
func model(layers [][]item) (map[string]*inode, error) {
	flat := map[string]*inode{".": newDir()}
	for _, items := range layers {
		l, err := readModel(items, flat)
		if err == nil {
			err = l.applyTo(flat)
		}
		if err != nil {
			return nil, err
		}
	}
	return flat, nil
}

// readModel resolves the entries of one tar, in their order. Hard links bind to
// what is in the tree below when they come.
func readModel(items []item, below map[string]*inode) (*modelLayer, error) {
	l := &modelLayer{names: map[string]*inode{}, whiteout: map[string]bool{}, opaque: map[string]bool{}, pseudo: map[string]*inode{}, below: maps.Clone(below)}
	for _, it := range items {
		if err := l.read(it); err != nil {
			return nil, err
		}
	}
	bound := map[string]*inode{}
	for p, n := range l.names {
		var err error
		if bound[p], err = l.bound(n, nil); err != nil {
			return nil, fmt.Errorf("%w: of %s", err, p)
		}
	}
	l.names = bound
	for dir := range l.opaque { // exists where nothing of the layer itself is in the way
		if l.names[dir] == nil && !l.blocked(dir) {
			l.put(dir, &inode{typ: tree.Dir, implied: true})
		}
	}
	for p := range l.whiteout { // a directory that the layer deletes and has is a new one
		if n := l.names[p]; n != nil && n.typ == tree.Dir {
			l.opaque[p] = true
			if n.implied {
				l.names[p] = newDir()
			}
		}
	}
	return l, nil
}

func (l *modelLayer) read(it item) error {
	name := path.Clean("/" + it.name)[1:]
	if name == "" {
		name = "."
	}
	for _, aufs := range []string{".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh.orph"} {
		if slices.Contains(strings.Split(name, "/"), aufs) {
			return l.readAufs(name, it)
		}
	}
	dir, base := path.Split(name)
	hidden, isMark := strings.CutPrefix(base, ".wh.")
	dir, err := follow(l.names, dir)
	if isMark && errors.Is(err, errNotDir) {
		return nil // there is nothing to hide
	}
	if err != nil {
		return err
	}
	switch {
	case base == ".wh..wh..opq":
		l.opaque[dir] = true
		return nil
	case isMark:
		l.whiteout[path.Join(dir, hidden)] = true
		return nil
	}
	at := path.Join(dir, base)
	if it.kind == '1' {
		return l.readLink(at, it)
	}
	return l.arrive(at, it.inode())
}

// readAufs keeps files below .wh..wh.plnk for the links to them.
func (l *modelLayer) readAufs(name string, it item) error {
	if !strings.Contains(name, ".wh..wh.plnk/") || it.kind == '5' {
		return nil
	}
	if it.kind != '1' {
		l.pseudo[name] = it.inode()
	} else if n := l.names[path.Clean("/" + it.link)[1:]]; n != nil && n.typ != tree.Dir && !l.isWaiting(n) {
		l.pseudo[name] = n
	}
	return nil
}

// isWaiting reports whether n is a link whose target has not come yet.
func (l *modelLayer) isWaiting(n *inode) bool {
	for range l.waiting {
		if n.waits != "" && n.come != nil {
			n = n.come
		}
	}
	return n.waits != ""
}

// arrive puts n at p: links that wait for p are links to n from now on.
func (l *modelLayer) arrive(p string, n *inode) error {
	if p == "." && n.typ != tree.Dir {
		return fmt.Errorf("%w: root is no directory", errModel)
	}
	l.put(p, n)
	if n.typ == tree.Dir {
		return nil
	}
	for _, w := range l.waiting {
		last := n // a link to w, or to a link to it, is no news for w
		for last.lower == nil && last.come != nil && last != w {
			last = last.come
		}
		if w.waits == p && w.come == nil && last != w {
			w.come = n
		}
	}
	for range l.waiting {
		for _, w := range l.waiting {
			if w.come != nil {
				w.typ, w.link = w.come.typ, w.come.link
			}
		}
	}
	return nil
}

func (l *modelLayer) readLink(at string, it item) error {
	if target := path.Clean("/" + it.link)[1:]; strings.Contains(target, ".wh..wh.plnk/") {
		if l.pseudo[target] == nil || at == "." {
			return fmt.Errorf("%w: pseudo-link to nothing", errModel)
		}
		return l.arrive(at, l.pseudo[target])
	}
	dir, base := path.Split(path.Clean("/" + it.link)[1:])
	dir, err := follow(l.names, dir)
	if err != nil {
		return err
	}
	target := path.Join(dir, base)
	n := l.names[target]
	switch {
	case at == "." || n != nil && n.typ == tree.Dir:
		return fmt.Errorf("%w: hard link of a directory", errModel)
	case n != nil && target == at && n.waits == "":
		return nil
	case n != nil:
		return l.arrive(at, n)
	}
	n = &inode{waits: target}
	if !l.hides(target) {
		dir, err := l.follow(l.below, dir)
		if n.through = err != nil || path.Join(dir, base) != target; !n.through {
			n.lower = l.below[target]
		}
	}
	l.waiting = append(l.waiting, n)
	return l.arrive(at, n)
}

// hides reports whether the layer has hidden the path p of the tree below so far.
func (l *modelLayer) hides(p string) bool {
	if l.blocked(p) || l.whiteout[p] || l.opaque["."] {
		return true
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if l.whiteout[dir] || l.opaque[dir] {
			return true
		}
	}
	return false
}

// bound is the inode that n is or, for a hard link, comes to be; seen are the links
// on the way to n.
func (l *modelLayer) bound(n *inode, seen []*inode) (*inode, error) {
	if n.waits == "" {
		return n, nil
	}
	if slices.Contains(seen, n) {
		return nil, fmt.Errorf("%w: a link to itself", errModel)
	}
	seen = append(seen, n)
	switch {
	case n.lower != nil && n.lower.typ == tree.Dir:
		return nil, fmt.Errorf("%w: a link to a directory", errModel)
	case n.lower != nil:
		return n.lower, nil
	case n.come != nil && !n.through:
		return l.bound(n.come, seen)
	}
	dir, err := l.follow(l.below, path.Dir(n.waits))
	if err != nil {
		return nil, err
	}
	resolved := path.Join(dir, path.Base(n.waits))
	own, lower := l.names[resolved], l.below[resolved]
	switch {
	case resolved != n.waits && own != nil && own.typ != tree.Dir && !slices.Contains(seen, own):
		return l.bound(own, seen)
	case lower != nil && lower.typ != tree.Dir:
		return lower, nil
	case lower == nil && n.come != nil:
		return l.bound(n.come, seen)
	}
	return nil, fmt.Errorf("%w: a link to %s, which is not there", errModel, n.waits)
}

// put makes n what p names: what is there goes, with all below unless it stays a
// directory, and parents are directories.
func (l *modelLayer) put(p string, n *inode) {
	if p == "." {
		l.names[p] = n
		return
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if old := l.names[dir]; old == nil || old.typ != tree.Dir {
			l.names[dir] = &inode{typ: tree.Dir, implied: true}
		}
	}
	if n.typ != tree.Dir {
		removeBelow(l.names, p)
	}
	l.names[p] = n
}

// blocked reports whether a parent of p is not a directory in the layer.
func (l *modelLayer) blocked(p string) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if n := l.names[dir]; n != nil && n.typ != tree.Dir {
			return true
		}
	}
	return false
}

// applyTo puts the layer on top of the tree below.
func (l *modelLayer) applyTo(below map[string]*inode) error {
	// Whiteouts and opaque marks act on what is below, and on nothing else.
	var gone []string
	for p := range l.whiteout {
		if dir, ok := l.shows(below, path.Dir(p)); ok && l.names[p] == nil {
			gone = append(gone, path.Join(dir, path.Base(p)))
		}
	}
	for p := range l.opaque {
		if dir, ok := l.shows(below, p); ok {
			gone = append(gone, children(below, dir)...)
		}
	}
	for _, p := range gone {
		removeBelow(below, p)
		delete(below, p)
	}
	return l.addTo(below)
}

// shows says which directory below the layer's directory p lets through, if any.
func (l *modelLayer) shows(below map[string]*inode, p string) (resolved string, ok bool) {
	resolved = "."
	if p == "." {
		return resolved, true
	}
	at := ""
	for _, name := range strings.Split(p, "/") {
		if l.opaque[cmp.Or(at, ".")] || l.whiteout[path.Join(at, name)] && l.names[path.Join(at, name)] == nil {
			return "", false
		}
		at, resolved = path.Join(at, name), path.Join(resolved, name)
		n, lower := l.names[at], below[resolved]
		if lower != nil && lower.typ == tree.Link && (n == nil || n.implied) {
			var err error
			if resolved, err = follow(below, resolved); err != nil {
				return "", false
			}
			lower = below[resolved]
		}
		if lower == nil || lower.typ != tree.Dir || n != nil && n.typ != tree.Dir {
			return "", false
		}
	}
	return resolved, true
}

// addTo adds the names of the layer to the tree below, in canonical order.
func (l *modelLayer) addTo(below map[string]*inode) error {
	if n := l.names["."]; n != nil && !n.implied {
		below["."] = n
	}
	resolved := map[string]string{".": "."} // where directories of the layer come to lie
	for _, p := range canonical(l.names) {
		dir, made := resolved[path.Dir(p)]
		if p == "." || !made {
			continue
		}
		n, at := l.names[p], path.Join(dir, path.Base(p))
		old := below[at]
		switch {
		case n.typ != tree.Dir:
			removeBelow(below, at)
			below[at] = n
			// Where a symbolic link made it take the place of a directory of this
			// layer, that is lost with all it was going to hold.
			maps.DeleteFunc(resolved, func(_, r string) bool { return r == at || strings.HasPrefix(r, at+"/") })
			continue
		case !n.implied:
			makeDirs(below, at)
			below[at] = n
		case old != nil && old.typ == tree.Link:
			var err error
			if at, err = l.follow(below, at); err != nil {
				return err
			}
			fallthrough
		default:
			if d := below[at]; (d == nil || d.typ != tree.Dir) && !l.makes(p) {
				continue
			}
			makeDirs(below, at)
		}
		resolved[p] = at
	}
	return nil
}

// makes reports whether the directory p of the layer brings anything but
// whiteouts.
func (l *modelLayer) makes(p string) bool {
	for q, n := range l.names {
		if (q == p || strings.HasPrefix(q, p+"/")) && (!n.implied || l.opaque[q]) {
			return true
		}
	}
	return false
}

// makeDirs makes a directory of p and of all its parents.
func makeDirs(m map[string]*inode, p string) {
	for ; p != "."; p = path.Dir(p) {
		if n := m[p]; n == nil || n.typ != tree.Dir {
			m[p] = newDir()
		}
	}
}

func removeBelow(m map[string]*inode, p string) {
	maps.DeleteFunc(m, func(q string, _ *inode) bool { return strings.HasPrefix(q, p+"/") })
}

func children(m map[string]*inode, dir string) (list []string) {
	for q := range m {
		if q != "." && path.Dir(q) == dir {
			list = append(list, q)
		}
	}
	return list
}

// follow is follow in the tree below, to which the layer may bring directories.
func (l *modelLayer) follow(below map[string]*inode, p string) (string, error) {
	m := maps.Clone(below)
	for q, n := range l.names {
		if n.typ == tree.Dir && m[q] != nil && m[q].typ != tree.Link {
			m[q] = n
		}
	}
	return follow(m, p)
}

var errNotDir = fmt.Errorf("%w: a symbolic link to what is no directory", errModel)

// follow is the place that p leads to in a root directory that holds m. What does
// not exist stays as it is. What a symbolic link leads to must not be, or lie
// below, anything but a directory.
func follow(m map[string]*inode, p string) (string, error) {
	at := "."
	links := 0
	var ends []int // of links on the way: how much of the rest is behind their text
	for rest := strings.Split(p, "/"); ; {
		for len(ends) > 0 && len(rest) <= ends[len(ends)-1] {
			ends = ends[:len(ends)-1]
			for d := at; d != "."; d = path.Dir(d) {
				if n := m[d]; n != nil && n.typ != tree.Dir {
					return "", errNotDir
				}
			}
		}
		if len(rest) == 0 {
			return at, nil
		}
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next := path.Join("/", at, name)[1:]
		if next == "" {
			next = "."
		}
		n := m[next]
		if n == nil || n.typ != tree.Link {
			at = next
			continue
		}
		if links++; links > 255 {
			return "", fmt.Errorf("%w: loop of links at %s", errModel, p)
		}
		if strings.HasPrefix(n.link, "/") {
			at = "."
		}
		ends = append(ends, len(rest))
		rest = append(strings.Split(n.link, "/"), rest...)
	}
}

// canonical are the paths of m, depth first, names in byte order.
func canonical(m map[string]*inode) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if a == "." || b == "." {
			return cmp.Compare(b2i(a != "."), b2i(b != "."))
		}
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// describeModel lists a flat tree, a line a name, in canonical order.
func describeModel(m map[string]*inode) string {
	var b strings.Builder
	first := map[*inode]string{}
	for _, p := range canonical(m) {
		n := m[p]
		fmt.Fprintf(&b, "%s %s", p, n.what)
		if f, ok := first[n]; ok && n.typ != tree.Dir {
			fmt.Fprintf(&b, " = %s", f)
		} else {
			first[n] = p
		}
		b.WriteByte('\n')
	}
	return b.String()
}
