package read

import (
	"fmt"
	"io"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// Source yields the files of img in canonical order: the root first, then depth
// first, names in unsigned byte order; the first name of an inode is the file, the
// others are hard links to it. Contents lie in the image and are good as long
// as the reader below it. A file whose content cannot be read, as it is compressed
// or on another device, says so only when it is asked for it.
//
// The marks of a layer image become what they stand for: a directory that is only
// implied has no record, or one with NoChange if it has xattrs.
func (img *Image) Source() tree.Source {
	return &source{
		img:  img,
		xs:   xattrReader{img: img, budget: dataBudget(img.own.Size)},
		seen: make(map[uint64]seenInode, min(img.super.Inodes, uint64(img.own.Size)/disk.NidUnit, 1<<16)),
	}
}

type source struct {
	img    *Image
	xs     xattrReader
	seen   map[uint64]seenInode
	others map[string]uint64 // inodes that marks name, so that no byte of a path is walked twice
	stack  []openDir
	path   []byte // of the directory on top of the stack, with a slash behind
	entry  tree.Entry
	ino    inode
	slab   []Content // for what comes next: one allocation for many
	err    error
}

// seenInode is an inode that was met. It is read once, or hard links to a large one
// would look like metadata that overlaps.
type seenInode struct {
	dir   *tree.Place // where its first name is
	name  string      // that
	entry *tree.Entry // of an inode with more names, if that says more than its record; Hardlink is what unmark returns
}

// path is the first path of the inode.
func (m *seenInode) path() string {
	if m.name == "." {
		return "."
	}
	return m.dir.Join(m.name).String()
}

// openDir is what is still to come of one directory.
type openDir struct {
	nid   uint64
	names []dirEntry
	path  int         // length of source.path in it
	at    *tree.Place // its own
}

// Close does nothing: a source holds nothing but memory.
func (s *source) Close() error { return nil }

func (s *source) Next() (*tree.Entry, error) {
	for s.err == nil {
		stated, err := s.next()
		if err != nil {
			s.err = err
		} else if stated {
			return &s.entry, nil
		}
	}
	return nil, s.err
}

// next reads the next entry. It reports false if that has no record of its own.
func (s *source) next() (bool, error) {
	if len(s.seen) == 0 {
		root := uint64(s.img.super.RootNid)
		return s.enter(dirEntry{".", root, 0}, &openDir{nid: root})
	}
	for len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if len(top.names) > 0 {
			d := top.names[0]
			top.names = top.names[1:]
			s.path = append(s.path[:top.path], d.name...)
			return s.enter(d, top)
		}
		s.stack = s.stack[:len(s.stack)-1]
	}
	return false, io.EOF
}

// enter makes s.entry of d, a name in the directory parent, and opens it if it
// is a directory itself.
func (s *source) enter(d dirEntry, parent *openDir) (bool, error) {
	path := string(s.path)
	if d.name == "." {
		path = "."
	}
	stated, err := s.fill(d, parent, path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	s.entry.Path = path
	return stated, nil
}

func (s *source) fill(d dirEntry, parent *openDir, path string) (bool, error) {
	if err := s.img.readInodeInto(&s.ino, d.nid); err != nil {
		return false, err
	}
	if err := tree.CheckPath(path); err != nil {
		return false, corrupt(s.ino.off, "%s", err)
	}
	other, stated, err := s.load(d.name, parent, false)
	if err == nil && other != "" {
		return true, s.follow(other, d.name, parent)
	}
	if err != nil || s.entry.Hardlink != "" {
		return true, err
	}
	if s.entry.Type == tree.Dir {
		err = s.open(&s.ino, d.name, parent)
	}
	if _, ok := s.entry.Xattr(disk.MarkOrigin.Name); ok && err == nil && s.entry.Type == tree.Dir {
		err = s.dropOrigin()
		stated = stated && (!s.entry.NoChange || len(s.entry.Xattrs) > 0)
	}
	return stated, err
}

// load makes s.entry, without its path, of s.ino, which is called name in parent;
// again says that names may come that its record does not count. Otherwise it is as
// unmark.
func (s *source) load(name string, parent *openDir, again bool) (other string, stated bool, err error) {
	ino := &s.ino
	met, seen := s.seen[ino.nid]
	if seen && ino.kind() == tree.Dir {
		return "", false, corrupt(ino.off, "directory %d is %s too", ino.nid, met.path())
	}
	stated = true
	switch {
	case seen && met.entry != nil:
		s.entry, other = *met.entry, met.entry.Hardlink
		s.entry.Xattrs = slices.Clone(met.entry.Xattrs)
	case seen && ino.Nlink > 1:
		s.entry = ino.attributes()
	default:
		if err := s.xs.charge(ino.RecordSize()+s.metadata(ino), ino.off); err != nil {
			return "", false, err
		}
		if s.entry, err = s.img.entry(ino, &s.xs, s.newContent()); err != nil {
			return "", false, err
		}
		other, stated = unmark(&s.entry)
		e := s.entry
		isOrElse := e.Lower != nil && e.Lower.Else
		if again || isOrElse || ino.Nlink > 1 && (e.Type == tree.Link || e.Extents != nil || e.Xattrs != nil) {
			e.Hardlink = other
			met.entry = &e
		}
	}
	if !seen {
		met.dir, met.name = parent.at, name
		s.seen[ino.nid] = met
		return other, stated, nil
	}
	s.entry.Hardlink, s.entry.Content = met.path(), nil
	if s.entry.IsLower() {
		s.entry.Lower = nil
	}
	return other, stated, nil
}

// follow makes s.entry, which has marks of a link to the layers below, the inode at
// other, which it is if they have none; it is called name in parent.
func (s *source) follow(other, name string, parent *openDir) error {
	lower := s.entry.Lower
	nid, ok := s.others[other]
	if !ok {
		ino, err := s.img.otherInode(&s.ino, other)
		if err != nil {
			return err
		}
		if s.others == nil {
			s.others = make(map[string]uint64)
		}
		nid, s.others[other] = ino.nid, ino.nid
	}
	if err := s.img.readInodeInto(&s.ino, nid); err != nil {
		return err
	}
	switch chained, _, err := s.load(name, parent, true); {
	case err != nil:
		return err
	case chained != "":
		return corrupt(s.ino.off, "inode %d is named by a mark and has one itself", nid)
	}
	orLower(&s.entry, lower)
	return nil
}

// newContent is empty, unless the last one has not been used.
func (s *source) newContent() *Content {
	if len(s.slab) == 0 {
		s.slab = make([]Content, 64)
	}
	if c := &s.slab[0]; c.img == nil {
		return c
	}
	s.slab = s.slab[1:]
	return s.newContent()
}

// metadata is how much there is to read for ino but its record and xattrs.
func (s *source) metadata(ino *inode) int64 {
	switch kind := ino.kind(); {
	case kind == tree.Dir || kind == tree.Link:
		return min(ino.Size, s.img.own.Size)
	case kind == tree.File && ino.Layout == disk.ChunkBased:
		chunk, unit := ino.Chunks(s.img.bs)
		return min(disk.Blocks(ino.Size, chunk), s.img.own.Size/unit) * unit
	}
	return 0
}

// open makes the directory ino, called name in parent, the top of the stack.
func (s *source) open(ino *inode, name string, parent *openDir) error {
	names, err := s.img.readDir(ino, parent.nid)
	if err != nil {
		return err
	}
	var at *tree.Place
	if name != "." {
		s.path = append(s.path, '/')
		at = parent.at.Join(name)
	}
	s.stack = append(s.stack, openDir{nid: ino.nid, names: names, path: len(s.path), at: at})
	return nil
}

// dropOrigin takes the mark off s.entry, the directory on top of the stack, that a
// directory has because of the whiteouts in it.
func (s *source) dropOrigin() error {
	if v, _ := s.entry.Xattr(disk.MarkOrigin.Name); v != disk.MarkOrigin.Value {
		return nil
	}
	for _, d := range s.stack[len(s.stack)-1].names {
		if d.kind != 0 && d.kind != disk.DirentType(tree.Char) {
			continue
		}
		ino, err := s.img.readInode(d.nid)
		if err != nil {
			return err
		}
		if ino.kind() == tree.Char && ino.Data == 0 {
			s.entry.Xattrs = without(s.entry.Xattrs, disk.MarkOrigin.Name)
			return nil
		}
	}
	return nil
}
