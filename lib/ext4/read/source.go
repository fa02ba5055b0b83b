package read

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Source returns the files of img in canonical order: the root first, then depth
// first, names in unsigned byte order. The first name of an inode is the file, the
// others are hard links to it. Blocks that were reserved and never written are
// holes. Contents are valid as long as the reader that was passed to Open.
//
// The source leaves out lost+found if it was made with the file system and not used: inode
// 11 in the root, as old as the file system, empty, mode 0700, owned by root, without
// xattrs.
//
// When the source ends with io.EOF, it has also checked that every inode has as many names
// as it counts, and that no block belongs to two inodes.
func (img *Image) Source() tree.Source { return img.source(disk.RootIno, disk.RootIno) }

// Subtree is Source for the directory path, which becomes the root, and the files below
// it. It follows no symbolic link in path. An inode may have more names outside of path;
// the source does not yield these.
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

// Walk is Source for a check of the whole file system. It yields lost+found, too. It calls
// visit once for every inode, with its content and the entries of a directory. The caller
// may use the exported fields of the walk, and add blocks to Owned and inodes to Seen.
func (img *Image) Walk(visit func(ino *volume.Inode, c *volume.Content, names []disk.Dirent) error) *Walk {
	s := img.source(disk.RootIno, disk.RootIno)
	s.lostFound, s.visit = true, visit
	return s
}

func (img *Image) source(root, parent uint32) *Walk {
	return &Walk{
		img: img, root: root, parent: parent,
		Xattrs: volume.XattrReader{Vol: img.vol}, Owned: volume.Claims{DirBlocks: make(volume.Set), BlockSize: img.vol.BlockSize()},
		Seen: make(volume.Set), links: make(map[uint32]*links),
	}
}

// Walk is a tree.Source that records the inodes and blocks of the files that it has read.
type Walk struct {
	img       *Image
	root      uint32
	parent    uint32 // of the root
	lostFound bool   // do not leave out lost+found
	begun     bool

	Xattrs volume.XattrReader // has the blocks of xattrs that were read
	Owned  volume.Claims      // blocks of inodes
	Seen   volume.Set         // numbers of inodes
	links  map[uint32]*links  // inodes with several names, by number
	stack  []openDir
	path   []byte // of the directory on top of the stack, ending in a slash, or of an entry in it
	entry  tree.Entry
	ino    volume.Inode
	err    error

	// visit, if it is not nil, is called once for every inode.
	visit func(ino *volume.Inode, c *volume.Content, names []disk.Dirent) error
}

// links has the names of an inode that has several.
type links struct {
	first *tree.Place
	count uint32 // of names, according to the inode
	found uint32 // number of names so far
}

// openDir is a directory whose entries have not all been read.
type openDir struct {
	number uint32
	names  []disk.Dirent // still to be read
	path   int           // length of the part of Walk.path that is the directory's
	at     *tree.Place   // of the directory
}

// Close does nothing: a walk holds only memory.
func (s *Walk) Close() error { return nil }

// Inode is the number of the inode of the entry that Next returned last.
func (s *Walk) Inode() uint64 { return uint64(s.ino.Number) }

// Next implements tree.Source.
func (s *Walk) Next() (*tree.Entry, error) {
	if s.err == nil {
		s.err = s.next()
	}
	if s.err != nil {
		return nil, s.err
	}
	return &s.entry, nil
}

// next reads the next entry.
func (s *Walk) next() error {
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

// finish makes the checks that are possible only at the end.
func (s *Walk) finish() error {
	if err := s.Owned.Merge(); err != nil {
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

// enter makes s.entry of d, an entry of the directory parent. If d is a directory, enter
// puts it on the stack.
func (s *Walk) enter(d disk.Dirent, parent *openDir) error {
	path := string(s.path)
	if d.Name == "." {
		path = "."
	}
	if err := s.fill(d, parent, path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s *Walk) fill(d disk.Dirent, parent *openDir, path string) error {
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
	owned := &s.Owned
	if again {
		owned = nil
	}
	c, err := s.img.fill(&s.entry, ino, owned)
	if err == nil {
		s.entry.Xattrs, err = s.Xattrs.Read(ino, owned)
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

// name records that ino has a name in dir. If ino has had another name, again is true and
// first is the first one.
func (s *Walk) name(ino *volume.Inode, name string, dir *openDir) (first *tree.Place, again bool, err error) {
	again = !s.Seen.Add(uint64(ino.Number))
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

// open puts the directory ino, which is name in parent, on the stack.
func (s *Walk) open(ino *volume.Inode, name string, parent *openDir) ([]disk.Dirent, *volume.Content, error) {
	names, c, err := s.img.vol.ReadDir(ino, parent.number, &s.Owned)
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
	if ino.Number == disk.RootIno && !s.lostFound {
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

// withoutLostFound removes lost+found from names, those in the root, if it was made with
// the file system and not used.
func (s *Walk) withoutLostFound(names []disk.Dirent) ([]disk.Dirent, error) {
	i := slices.IndexFunc(names, func(d disk.Dirent) bool { return d.Name == disk.LostFoundDir && d.Ino == disk.LostFoundIno })
	if i < 0 {
		return names, nil
	}
	ino, err := s.img.vol.ReadInode(disk.LostFoundIno)
	if err != nil || ino.Mode != disk.ModeDir|0o700 || ino.UID|ino.GID != 0 || int64(ino.Size) == s.img.vol.BlockSize() || ino.Links != 2 {
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
