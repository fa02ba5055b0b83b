package patch

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// model is the simplest tree that can be patched: each path with its inode. It does all
// the work of an operation at once, and knows nothing of what lies below but which inodes
// come from there.
type model struct {
	names map[string]*modelInode
}

type modelInode struct {
	e     tree.Entry // with the whole content in Link if it is a file
	lower bool
}

var (
	errModel     = errors.New("refused")
	errModelLoop = errors.New("refused: a loop")
)

const modelTime = 77

func newModel(entries []tree.Entry) *model {
	m := &model{map[string]*modelInode{".": {e: tree.Entry{Type: tree.Dir, Mode: 0o755}, lower: true}}}
	for _, e := range entries {
		for d := path.Dir(e.Path); m.names[d] == nil; d = path.Dir(d) {
			m.names[d] = &modelInode{e: tree.Entry{Type: tree.Dir, Mode: 0o755}, lower: true}
		}
		switch {
		case e.Hardlink != "":
			m.names[e.Path] = m.names[e.Hardlink]
			continue
		case e.NoChange:
			e.Mode, e.NoChange = 0o755, false
		case e.Content != nil:
			e.Link, e.Content = string(e.Content.(tree.Bytes)), nil
		}
		at := e.Path
		e.Path = ""
		m.names[at] = &modelInode{e: e, lower: true}
	}
	return m
}

func (m *model) clone() *model {
	c := &model{make(map[string]*modelInode)}
	copies := make(map[*modelInode]*modelInode)
	for p, n := range m.names {
		if copies[n] == nil {
			copies[n] = &modelInode{n.e, n.lower}
		}
		c.names[p] = copies[n]
	}
	return c
}

func (m *model) isDir(p string) bool { return m.names[p] != nil && m.names[p].e.Type == tree.Dir }

// resolve is where p leads; if mk is true directories of p itself that are missing are
// made.
func (m *model) resolve(p string, follow, mk bool) (string, error) {
	at, links := ".", 0
	own := strings.Split(strings.Trim(p, "/"), "/") // what is left of p
	var todo []string                               // of targets, before that
	for len(own)+len(todo) > 0 {
		var name string
		target := len(todo) > 0
		if target {
			name, todo = todo[0], todo[1:]
		} else {
			name, own = own[0], own[1:]
		}
		last := len(own)+len(todo) == 0
		switch {
		case !m.isDir(at):
			return "", errModel
		case name == "" || name == ".":
			continue
		case name == "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		n := m.names[next]
		if n == nil && last && !mk {
			return next, nil
		}
		if n == nil {
			if !mk || target {
				return "", errModel
			}
			n = &modelInode{e: tree.Entry{Type: tree.Dir, Mode: 0o755, Time: tree.Time{Sec: modelTime}}}
			m.names[next] = n
		}
		if n.e.Type == tree.Link && (follow || !last) {
			if links++; links > 40 {
				return "", errModelLoop
			}
			if strings.HasPrefix(n.e.Link, "/") {
				at = "."
			}
			todo = append(strings.Split(n.e.Link, "/"), todo...)
			continue
		}
		at = next
	}
	return at, nil
}

func (m *model) room(p string, replace bool) (string, error) {
	d, base := path.Split(strings.TrimRight(p, "/"))
	if d != "/" {
		var err error
		if d, err = m.resolve(d, true, true); err != nil {
			return "", err
		}
		if !m.isDir(d) {
			return "", errModel
		}
	}
	at := path.Join(strings.TrimPrefix(d, "/"), base)
	if m.names[at] != nil && !replace {
		return "", errModel
	}
	return at, nil
}

func (m *model) remove(at string) {
	for p := range m.names {
		if p == at || strings.HasPrefix(p, at+"/") {
			delete(m.names, p)
		}
	}
}

// own separates the name at from others that its inode has in the tree below.
func (m *model) own(at string) *tree.Entry {
	n := m.names[at]
	if n.lower {
		n = &modelInode{e: n.e}
		m.names[at] = n
	}
	return &n.e
}

func (m *model) attr(at string, a Attr) error {
	if a.Mode == nil && a.UID == nil && a.GID == nil {
		return nil
	}
	if a.Mode != nil && m.names[at].e.Type == tree.Link {
		return errModel
	}
	e := m.own(at)
	if a.UID != nil {
		e.UID = *a.UID
	}
	if a.GID != nil {
		e.GID = *a.GID
	}
	if (a.UID != nil || a.GID != nil) && e.Type != tree.Dir {
		e.Mode &= 0o3777
		if e.Mode&0o010 != 0 {
			e.Mode &= 0o1777
		}
		e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool { return x.Name == "security.capability" })
	}
	if a.Mode != nil {
		e.Mode = *a.Mode
	}
	return nil
}

func (m *model) put(p string, replace bool, e tree.Entry, a Attr) error {
	at, err := m.room(p, replace)
	if err != nil {
		return err
	}
	m.remove(at)
	if a.UID != nil {
		e.UID = *a.UID
	}
	if a.GID != nil {
		e.GID = *a.GID
	}
	if a.Mode != nil {
		e.Mode = *a.Mode
	}
	m.names[at] = &modelInode{e: e}
	return nil
}

func modelFile(content string) tree.Entry {
	return tree.Entry{Type: tree.File, Mode: 0o644, Time: tree.Time{Sec: modelTime}, Size: int64(len(content)), Link: content}
}

func (m *model) existing(p string) (string, error) {
	if strings.Trim(p, "/") == "" {
		return ".", nil
	}
	at, err := m.resolve(p, false, false)
	if err == nil && m.names[at] == nil {
		err = errModel
	}
	return at, err
}

func (m *model) apply(op Op) error {
	switch o := op.(type) {
	case Text:
		return m.put(o.Path, o.Replace, modelFile(o.Content), o.Attr)
	case File:
		return m.put(o.Path, o.Replace, modelFile(string(o.Content)), o.Attr)
	case Symlink:
		return m.put(o.Link, o.Replace, tree.Entry{Type: tree.Link, Mode: 0o777, Link: o.Target, Time: tree.Time{Sec: modelTime}}, Attr{Owner: o.Owner})
	case Mkdir:
		return m.mkdir(o)
	case Remove:
		return m.delete(o)
	case Append:
		return m.append(o)
	case Chmod:
		return m.change(o.Path, Attr{Mode: &o.Mode, Owner: o.Owner})
	case Chown:
		return m.change(o.Path, o.Attr)
	case Link:
		return m.link(o)
	case Xattr:
		return m.xattr(o)
	case Rename:
		return m.rename(o)
	case Touch:
		return m.touch(o)
	}
	panic(fmt.Sprintf("%T", op))
}

func (m *model) mkdir(o Mkdir) error {
	at, err := m.room(o.Path, true)
	switch {
	case err != nil:
		return err
	case m.names[at] == nil:
		return m.put(o.Path, false, tree.Entry{Type: tree.Dir, Mode: 0o755, Time: tree.Time{Sec: modelTime}}, o.Attr)
	case !m.isDir(at):
		return errModel
	}
	return m.attr(at, o.Attr)
}

func (m *model) delete(o Remove) error {
	at, err := m.resolve(o.Path, false, false)
	if err == nil && m.names[at] != nil {
		m.remove(at)
	}
	if err == errModelLoop {
		return err
	}
	return nil
}

func (m *model) append(o Append) error {
	at, err := m.resolve(o.Path, true, false)
	if err != nil || m.names[at] == nil || m.names[at].e.Type != tree.File {
		return errModel
	}
	if o.Content != "" {
		e := m.own(at)
		e.Link += o.Content
		e.Size = int64(len(e.Link))
		e.Time = tree.Time{Sec: modelTime}
		e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool { return x.Name == "security.capability" })
	}
	return m.attr(at, o.Attr)
}

func (m *model) xattr(o Xattr) error {
	at, err := m.existing(o.Path)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(m.names[at].e.Xattrs, func(x tree.Xattr) bool { return x.Name == o.Name }) && o.Remove {
		return m.attr(at, o.Attr)
	}
	e := m.own(at)
	e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool { return x.Name == o.Name })
	if !o.Remove {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: o.Name, Value: o.Value})
		slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	return m.attr(at, o.Attr)
}

func (m *model) touch(o Touch) error {
	at, err := m.existing(o.Path)
	if err != nil {
		e := modelFile("")
		if o.Time != nil {
			e.Time = *o.Time
		}
		return m.put(o.Path, false, e, o.Attr)
	}
	e := m.own(at)
	e.Time = tree.Time{Sec: modelTime}
	if o.Time != nil {
		e.Time = *o.Time
	}
	return m.attr(at, o.Attr)
}

func (m *model) change(p string, a Attr) error {
	at, err := m.existing(p)
	if err != nil {
		return err
	}
	return m.attr(at, a)
}

func (m *model) link(o Link) error {
	target, err := m.existing(o.Target)
	if err != nil || m.isDir(target) {
		return errModel
	}
	at, err := m.room(o.Link, o.Replace)
	if err != nil {
		return err
	}
	if at != target {
		m.own(target)
		n := m.names[target]
		m.remove(at)
		m.names[at] = n
	}
	return m.attr(at, o.Attr)
}

func (m *model) rename(o Rename) error {
	src, err := m.existing(o.Src)
	if err != nil {
		return err
	}
	dst, err := m.room(o.Dst, true)
	switch {
	case err != nil:
		return err
	case src == dst:
		return m.attr(dst, o.Attr)
	case strings.HasPrefix(dst, src+"/") || strings.HasPrefix(src, dst+"/"):
		return errModel
	case m.names[dst] != nil && !o.Replace:
		return errModel
	}
	m.remove(dst)
	copies := make(map[*modelInode]*modelInode)
	for p, n := range m.names {
		if p != src && !strings.HasPrefix(p, src+"/") {
			continue
		}
		if n.lower {
			if copies[n] == nil {
				copies[n] = &modelInode{e: n.e}
			}
			n = copies[n]
		}
		delete(m.names, p)
		m.names[dst+p[len(src):]] = n
	}
	return m.attr(dst, o.Attr)
}

// tree is m as a tree.
func (m *model) tree(t *testing.T) *tree.Tree {
	tr := tree.New()
	first := make(map[*modelInode]string)
	paths := make([]string, 0, len(m.names))
	for p := range m.names {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		n := m.names[p]
		e := n.e
		e.Path, e.Hardlink = p, first[n]
		if first[n] == "" && e.Type != tree.Dir {
			first[n] = p
		}
		if e.Type == tree.File {
			if e.Size > 0 && e.Hardlink == "" {
				e.Content = text(e.Link)
			}
			e.Link = ""
		}
		if _, err := tr.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}
