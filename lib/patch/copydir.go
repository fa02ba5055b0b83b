package patch

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ocipipe/lib/osfile"
	"ocipipe/lib/tree"
)

func (o CopyDir) apply(a *applier) error {
	from := a.source(o.Src)
	root, err := from.openRoot()
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil {
		return fmt.Errorf("source %s: %w", from, err)
	}
	c := copier{applier: a, from: from, root: root, owner: o.Owner, links: make(map[osfile.ID]*tree.Entry)}
	e, err := a.copied(info, from)
	if err != nil {
		return err
	}
	if e.Xattrs, err = c.xattrs("."); err != nil {
		return err
	}
	dst, err := c.top(o, e)
	if err != nil {
		return err
	}
	return c.dir(dst, ".", info)
}

// copier copies a directory of the host.
type copier struct {
	*applier
	from  hostPath
	root  *os.Root // the source directory
	owner Owner
	links map[osfile.ID]*tree.Entry // to preserve hard links
	open  []fs.FileInfo             // the directories that are being copied, each in the one before
}

// top finds or makes the directory for the source directory itself, whose entry is e.
func (c *copier) top(o CopyDir, e *tree.Entry) (*node, error) {
	if clean, err := cleanPath(o.Dst); err != nil || clean == "." {
		if err == nil && !o.Replace {
			err = errExists
		}
		if err == nil {
			c.merge(c.view.root, e)
		}
		return c.view.root, err
	}
	p, err := c.room(o.Dst, o.Replace)
	if err != nil {
		return nil, err
	}
	return c.into(p.dir, p.name, e)
}

// into returns the directory to which the directory e of the host is copied: name in dir,
// if that is a directory or a symbolic link to one, or else a new directory.
func (c *copier) into(dir *node, name string, e *tree.Entry) (*node, error) {
	old := dir.child(name)
	if old != nil && c.entry(old).Type == tree.Link {
		if p, err := c.lookup(old.path(), true); err == nil {
			old = p.node
		}
	}
	if old != nil && c.isDir(old) {
		c.merge(old, e)
		return old, nil
	}
	c.owner.set(e)
	n := &node{own: e}
	n.attach(dir, name)
	return n, nil
}

// merge gives the existing directory n the attributes of e that are to be preserved.
func (c *copier) merge(n *node, e *tree.Entry) {
	if !c.opts.Preserve {
		return
	}
	into := c.copyUp(n)
	into.Mode, into.UID, into.GID, into.Time = e.Mode, e.UID, e.GID, e.Time
	c.owner.set(into)
	for _, x := range e.Xattrs {
		setXattr(into, x.Name, x.Value)
	}
}

// dir copies the files in rel, a directory of the source that has this info, to dst.
func (c *copier) dir(dst *node, rel string, info fs.FileInfo) error {
	if slices.ContainsFunc(c.open, func(up fs.FileInfo) bool { return os.SameFile(up, info) }) {
		return fmt.Errorf("source %s: symbolic link to a directory that holds it", c.from.below(rel))
	}
	c.open = append(c.open, info)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	f, err := openDir(c.root, rel)
	if err != nil {
		return fmt.Errorf("source %s: %w", c.from, err)
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return fmt.Errorf("source %s: %w", c.from.below(rel), err)
	}
	slices.Sort(names)
	at := dst.path()
	for _, name := range names {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		if err := tree.CheckPath(strings.TrimPrefix(at+"/"+name, "./")); err != nil {
			return fmt.Errorf("source %s: %w", c.from.below(filepath.Join(rel, name)), err)
		}
		if err := c.added(name); err != nil {
			return err
		}
		if err := c.add(dst, name, filepath.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

// add copies rel, a file of the source, to name in the directory dst.
func (c *copier) add(dst *node, name, rel string) error {
	info, err := c.root.Lstat(rel)
	followed := err == nil && c.opts.Follow && info.Mode().Type() == fs.ModeSymlink
	if followed {
		info, err = c.root.Stat(rel)
	}
	if err != nil {
		return fmt.Errorf("source %s: %w", c.from, err)
	}
	e, err := c.copied(info, c.from.below(rel))
	if err != nil {
		return err
	}
	if e.Type == tree.Link {
		if e.Link, err = c.root.Readlink(rel); err != nil {
			return fmt.Errorf("source %s: %w", c.from, err)
		}
		e.Link = filepath.ToSlash(e.Link)
	}
	if followed {
		e.Xattrs, err = c.xattrsOfTarget(rel)
	} else {
		e.Xattrs, err = c.xattrs(rel)
	}
	if err != nil {
		return err
	}
	if e.Type == tree.Dir {
		n, err := c.into(dst, name, e)
		if err != nil {
			return err
		}
		return c.dir(n, rel, info)
	}
	c.owner.set(e)
	n := &node{own: c.linked(info, e)}
	n.attach(dst, name)
	return nil
}

// linked returns the inode for a file of the host with this info: e, or, if hard links are
// preserved, the inode that another name of the file got.
func (c *copier) linked(info fs.FileInfo, e *tree.Entry) *tree.Entry {
	attr := osfile.AttrOf(info)
	if !c.opts.Preserve || attr.Links == 1 {
		return e
	}
	if old := c.links[attr.ID]; old != nil {
		return old
	}
	c.links[attr.ID] = e
	return e
}

// xattrsOfTarget is xattrs for what the symbolic link rel leads to.
func (c *copier) xattrsOfTarget(rel string) ([]tree.Xattr, error) {
	if !c.opts.Preserve {
		return nil, nil
	}
	f, err := c.root.OpenFile(rel, os.O_RDONLY|osfile.NonBlock, 0)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.from, err)
	}
	defer f.Close()
	xs, err := fileXattrs(f)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.from.below(rel), err)
	}
	return xs, nil
}

// xattrs returns the extended attributes of rel that are to be preserved.
func (c *copier) xattrs(rel string) ([]tree.Xattr, error) {
	if !c.opts.Preserve {
		return nil, nil
	}
	dir, err := openDir(c.root, filepath.Dir(rel))
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.from, err)
	}
	defer dir.Close()
	if rel == "." {
		return fileXattrs(dir)
	}
	xs, err := linkXattrs(dir, filepath.Base(rel))
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.from.below(rel), err)
	}
	return xs, nil
}
