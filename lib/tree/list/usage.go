package list

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// Stored returns how many bytes the content of e takes where it is stored.
type Stored func(e *tree.Entry) (int64, error)

// usage is what a file takes, or a directory with all that is below it.
type usage struct {
	entries int64 // names
	size    int64 // of files, each inode once, holes included
	stored  int64
	shown   int64 // of the weight: what the merged tree shows
}

func (u *usage) add(v usage) {
	u.entries += v.entries
	u.size = saturate(u.size, v.size)
	u.stored = saturate(u.stored, v.stored)
	u.shown = saturate(u.shown, v.shown)
}

// saturate is a+b, or the largest number: a hostile tree may have many files of any size.
func saturate(a, b int64) int64 { return a + min(b, 1<<63-1-a) }

// usageOf is the usage of e alone.
func usageOf(e *tree.Entry, stored Stored) (u usage, err error) {
	u.entries = 1
	if e.Type != tree.File || e.Hardlink != "" || e.IsLower() {
		return u, nil
	}
	u.size = e.Size
	if stored != nil && e.Content != nil {
		if u.stored, err = stored(e); err != nil {
			err = fmt.Errorf("%s: %w", Path(e.Path), err)
		}
	}
	return u, err
}

// place is a directory, or a file that is counted apart from its directory.
type place struct {
	name   string
	parent *place
	below  map[string]*place
	isFile bool
	own    usage // of what is in it, without the places below
	total  usage // with the places below; see sum
}

// enter returns the place called name in p, which it makes if it is missing.
func (p *place) enter(name string) *place {
	c := p.below[name]
	if c == nil {
		c = &place{name: strings.Clone(name), parent: p}
		if p.below == nil {
			p.below = make(map[string]*place)
		}
		p.below[name] = c
	}
	return c
}

// children are the places in p, in order.
func (p *place) children() []*place {
	list := make([]*place, 0, len(p.below))
	for _, c := range p.below {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *place) int { return cmp.Compare(a.name, b.name) })
	return list
}

// sum sets total of p and of all places below.
func (p *place) sum() usage {
	p.total = p.own
	for _, c := range p.below {
		p.total.add(c.sum())
	}
	return p.total
}

// path is the path of p, relative to the place without a parent.
func (p *place) path() string {
	if p.parent == nil {
		return "."
	}
	var names []string
	for ; p.parent != nil; p = p.parent {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// places finds directories by path. Mostly it is the one of the call before.
type places struct {
	root place
	last *place
	at   string // path of last
}

// dir returns the place of the directory at path.
func (p *places) dir(path string) *place {
	if path == "." {
		return &p.root
	}
	if p.last == nil || p.at != path {
		n := &p.root
		for name := range strings.SplitSeq(path, "/") {
			n = n.enter(name)
		}
		p.last, p.at = n, path
	}
	return p.last
}

// split returns the directory and the name of path.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ".", path
	}
	return path[:i], path[i+1:]
}
