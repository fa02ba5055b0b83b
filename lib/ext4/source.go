package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Source yields the files of img in canonical order: the root first, then depth
// first, names in unsigned byte order; the first name of an inode is the file, the
// others are hard links to it. Blocks that were reserved and never written are
// holes. Contents lie in the image and are good as long as the reader below it.
//
// The directory lost+found that was made with the file system is left out: in the
// root, inode 11, as old, empty, of root alone, without xattrs.
//
// The end, io.EOF, also says that every inode has as many names as it counts and
// that no block belongs to two of them.
func (img *Image) Source() tree.Source { return img.source(disk.RootIno, disk.RootIno) }

// Subtree is Source for what lies at and below path, a directory that becomes the
// root. Of inodes that have other names elsewhere it yields those that it has. No
// symbolic link in path is followed.
func (img *Image) Subtree(path string) (tree.Source, error) {
	root, parent, err := img.lookup(path)
	if err == nil && root.Type() != tree.Dir {
		err = errors.New("is no directory")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img.source(root.Number, parent), nil
}

func (img *Image) source(root, parent uint32) *source {
	return &source{
		img: img, root: root, parent: parent,
		xattrs: volume.XattrReader{Vol: img.vol}, owned: volume.Claims{DirBlocks: make(volume.Set)},
		seen: make(volume.Set), links: make(map[uint32]*links),
	}
}

type source struct {
	img    *Image
	root   uint32
	parent uint32 // of the root
	keep   bool   // lost+found too
	begun  bool

	xattrs volume.XattrReader
	owned  volume.Claims
	seen   volume.Set
	links  map[uint32]*links // of inodes with several names
	stack  []openDir
	path   []byte // of the directory on top of the stack, with a slash behind
	entry  tree.Entry
	ino    volume.Inode
	err    error

	// visit, if there is one, is told of every inode once, with its data.
	visit func(ino *volume.Inode, c *volume.Content, names []disk.Dirent) error
}

// links is what is known of an inode with several names.
type links struct {
	first *tree.Place
	count uint32 // as the inode says
	found uint32
}

// openDir is what is still to come of one directory.
type openDir struct {
	number uint32
	names  []disk.Dirent
	path   int         // length of source.path in it
	at     *tree.Place // its own
}

// Close does nothing: a source holds nothing but memory.
func (s *source) Close() error { return nil }

func (s *source) Next() (*tree.Entry, error) {
	if s.err == nil {
		s.err = s.next()
	}
	if s.err != nil {
		return nil, s.err
	}
	return &s.entry, nil
}

// next reads the next entry.
func (s *source) next() error {
	if !s.begun {
		s.begun = true
		return s.enter(disk.Dirent{Name: ".", Ino: s.root, Kind: disk.KindDir}, &openDir{number: s.parent})
	}
	for len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if len(top.names) > 0 {
			d := top.names[0]
			top.names = top.names[1:]
			s.path = append(s.path[:top.path], d.Name...)
			return s.enter(d, top)
		}
		s.stack = s.stack[:len(s.stack)-1]
	}
	return cmp.Or(s.finish(), io.EOF)
}

// finish checks what only shows at the end.
func (s *source) finish() error {
	if err := s.owned.Merge(); err != nil {
		return err
	}
	var wrong []uint32
	for number, l := range s.links {
		if l.found > l.count || l.found < l.count && s.root == disk.RootIno {
			wrong = append(wrong, number)
		}
	}
	if wrong == nil {
		return nil
	}
	number := slices.Min(wrong)
	l := s.links[number]
	return fmt.Errorf("%s: inode %d has %d names, counts %d: %w", l.first, number, l.found, l.count, disk.ErrCorrupt)
}

// enter makes s.entry of d, a name in the directory parent, and opens it if it is
// a directory itself.
func (s *source) enter(d disk.Dirent, parent *openDir) error {
	path := string(s.path)
	if d.Name == "." {
		path = "."
	}
	if err := s.fill(d, parent, path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s *source) fill(d disk.Dirent, parent *openDir, path string) error {
	ino := &s.ino
	if err := s.img.readEntry(ino, d); err != nil {
		return err
	}
	if err := tree.CheckPath(path); err != nil {
		return disk.Unsupported(ino.Off, "%s", err)
	}
	first, again, err := s.name(ino, d.Name, parent)
	if err != nil {
		return err
	}
	owned := &s.owned
	if again {
		owned = nil
	}
	c, err := s.img.fill(&s.entry, ino, owned)
	if err == nil {
		s.entry.Xattrs, err = s.xattrs.Read(ino, owned)
	}
	s.entry.Path = path
	if err != nil {
		return err
	}
	if again {
		s.entry.Hardlink, s.entry.Content = first.String(), nil
		return nil
	}
	var names []disk.Dirent
	if ino.Type() == tree.Dir {
		if names, c, err = s.open(ino, d.Name, parent); err != nil {
			return err
		}
	}
	if s.visit != nil {
		return s.visit(ino, c, names)
	}
	return nil
}

// name takes note of a name of ino, in dir. It reports whether it has another, and if
// so the first one.
func (s *source) name(ino *volume.Inode, name string, dir *openDir) (first *tree.Place, again bool, err error) {
	again = !s.seen.Add(uint64(ino.Number))
	switch {
	case ino.Type() != tree.Dir && ino.Links > 1:
	case again:
		return nil, true, disk.Corrupt(ino.Off, "inode %d has a second name", ino.Number)
	default:
		return nil, false, nil
	}
	l := s.links[ino.Number]
	if l == nil {
		l = &links{first: dir.at.Join(name), count: uint32(ino.Links)}
		s.links[ino.Number] = l
	}
	l.found++
	return l.first, again, nil
}

// open makes the directory ino, called name in parent, the top of the stack.
func (s *source) open(ino *volume.Inode, name string, parent *openDir) ([]disk.Dirent, *volume.Content, error) {
	names, c, err := s.img.vol.ReadDir(ino, parent.number, &s.owned)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(names, func(a, b disk.Dirent) int { return cmp.Compare(a.Name, b.Name) })
	for i, d := range names {
		if d.Name == "." || d.Name == ".." || i > 0 && d.Name == names[i-1].Name {
			return nil, nil, disk.Corrupt(ino.Off, "directory %d has the name %q twice", ino.Number, d.Name)
		}
	}
	if s.entry.Nlink, err = s.img.countLinks(ino, names); err != nil {
		return nil, nil, err
	}
	if ino.Number == disk.RootIno && !s.keep {
		if names, err = s.withoutLostFound(names); err != nil {
			return nil, nil, err
		}
	}
	var at *tree.Place
	if name != "." {
		s.path = append(s.path, '/')
		at = parent.at.Join(name)
	}
	s.stack = append(s.stack, openDir{number: ino.Number, names: names, path: len(s.path), at: at})
	return names, c, nil
}

// countLinks is 2 and the number of subdirectories, which has to be what the
// directory ino says, or that there are more than it can count.
func (img *Image) countLinks(ino *volume.Inode, names []disk.Dirent) (uint32, error) {
	n := uint32(2)
	for _, d := range names {
		kind := d.Kind
		if kind == disk.KindUnknown {
			child, err := img.vol.ReadInode(d.Ino)
			if err != nil {
				return 0, err
			}
			kind = disk.KindOf(child.Type())
		}
		if kind == disk.KindDir {
			n++
		}
	}
	if n != uint32(ino.Links) && (ino.Links != 1 || img.vol.Super.RoCompat&disk.RoCompatDirNlink == 0) {
		return 0, disk.Corrupt(ino.Off, "directory %d has %d links, counts %d", ino.Number, n, ino.Links)
	}
	return n, nil
}

// withoutLostFound takes lost+found out of names, those in the root, if it was
// made with the file system, not put into the tree.
func (s *source) withoutLostFound(names []disk.Dirent) ([]disk.Dirent, error) {
	i := slices.IndexFunc(names, func(d disk.Dirent) bool { return d.Name == disk.LostFoundDir && d.Ino == disk.LostFoundIno })
	if i < 0 {
		return names, nil
	}
	ino, err := s.img.vol.ReadInode(disk.LostFoundIno)
	if err != nil || ino.Mode != disk.ModeDir|0o700 || ino.UID|ino.GID != 0 || ino.Size == disk.BlockSize || ino.Links != 2 {
		return names, err
	}
	made := int64(s.img.vol.Super.MakeTime) | int64(s.img.vol.Super.MakeTimeHi)<<32
	if t, _ := ino.Mtime.Decode(); t.Sec < made || t.Sec > made+60 {
		return names, nil
	}
	xs, err := (&volume.XattrReader{Vol: s.img.vol}).Read(ino, nil)
	if err != nil || len(xs) > 0 {
		return names, err
	}
	below, _, err := s.img.vol.ReadDir(ino, disk.RootIno, nil)
	if err != nil || len(below) > 0 {
		return names, err
	}
	s.entry.Nlink--
	return slices.Delete(names, i, i+1), nil
}

// readEntry reads the inode that d names.
func (img *Image) readEntry(ino *volume.Inode, d disk.Dirent) error {
	if d.Ino < img.vol.Super.FirstIno && (d.Ino != disk.RootIno || d.Name != ".") {
		return disk.Corrupt(disk.SuperOffset, "%q is inode %d, which has no name", d.Name, d.Ino)
	}
	if err := img.vol.ReadInodeInto(ino, d.Ino); err != nil {
		return err
	}
	if kind := disk.KindOf(ino.Type()); d.Kind != kind && d.Kind != disk.KindUnknown {
		return disk.Corrupt(ino.Off, "inode %d is of kind %d, its name says %d", ino.Number, kind, d.Kind)
	}
	if ino.Flags&disk.FlagEAInode != 0 {
		return disk.Corrupt(ino.Off, "inode %d holds the value of an xattr", ino.Number)
	}
	return nil
}

// fill makes e of ino, without path and xattrs. The content is nil for what has
// no blocks of its own.
func (img *Image) fill(e *tree.Entry, ino *volume.Inode, owned *volume.Claims) (c *volume.Content, err error) {
	time, _ := ino.Mtime.Decode()
	*e = tree.Entry{
		Type: ino.Type(), Mode: ino.Mode & disk.ModePerm, UID: ino.UID, GID: ino.GID, Time: time, Nlink: uint32(ino.Links),
	}
	switch e.Type {
	case tree.Dir:
	case tree.File:
		c = new(volume.Content)
		if err := img.vol.FindContent(c, ino, owned); err != nil {
			return nil, err
		}
		e.Size, e.Extents = c.Size, c.Extents()
		if len(c.Runs) > 0 {
			e.Content = c
		}
	case tree.Link:
		c = new(volume.Content)
		e.Link, err = img.vol.ReadLink(c, ino, owned)
	default:
		if e.Type == tree.Char || e.Type == tree.Block {
			e.Dev = disk.DecodeDevice(&ino.Block)
		}
		err = ino.CheckNoData()
	}
	return c, err
}

// Lookup finds the file at path, taken literally: no symbolic link is followed.
// It reads only the directories on the way. Of an inode with several names each
// is a file; lost+found is a directory like others. The error is fs.ErrNotExist if
// there is no such file.
func (img *Image) Lookup(path string) (*tree.Entry, error) {
	e, err := img.lookupEntry(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

func (img *Image) lookupEntry(path string) (*tree.Entry, error) {
	ino, parent, err := img.lookup(path)
	if err != nil {
		return nil, err
	}
	e := new(tree.Entry)
	if _, err := img.fill(e, ino, nil); err != nil {
		return nil, err
	}
	xs := volume.XattrReader{Vol: img.vol}
	if e.Xattrs, err = xs.Read(ino, nil); err != nil {
		return nil, err
	}
	if e.Type == tree.Dir {
		names, _, err := img.vol.ReadDir(ino, parent, nil)
		if err != nil {
			return nil, err
		}
		if e.Nlink, err = img.countLinks(ino, names); err != nil {
			return nil, err
		}
	}
	e.Path = path
	return e, nil
}

// lookup finds the inode of path, and the number of the directory that has it.
func (img *Image) lookup(path string) (ino *volume.Inode, parent uint32, err error) {
	if err := tree.CheckPath(path); err != nil {
		return nil, 0, err
	}
	if ino, err = img.vol.ReadInode(disk.RootIno); err != nil {
		return nil, 0, err
	}
	parent = disk.RootIno
	for rest := path; rest != "" && path != "."; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if ino.Type() != tree.Dir {
			return nil, 0, fs.ErrNotExist
		}
		names, _, err := img.vol.ReadDir(ino, parent, nil)
		if err != nil {
			return nil, 0, err
		}
		i := slices.IndexFunc(names, func(d disk.Dirent) bool { return d.Name == name })
		if i < 0 {
			return nil, 0, fs.ErrNotExist
		}
		parent = ino.Number
		if err := img.readEntry(ino, names[i]); err != nil {
			return nil, 0, err
		}
	}
	return ino, parent, nil
}
