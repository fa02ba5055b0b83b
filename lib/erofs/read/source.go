package read

import (
	"fmt"
	"io"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// Source returns the files of img in canonical order: the root first, then depth first,
// names in unsigned byte order. The first name of an inode is the file, the others are
// hard links to it. Contents are of type *Content, and valid as long as the readers that
// Open was given. If a content is on a device that was not given, or compressed by LZMA,
// reading it fails.
//
// The source turns the marks of a layer image into the fields of Entry that they stand for.
// A directory that is only implied has no record, or one with NoChange if it is opaque.
func (img *Image) Source() tree.Source {
	return &source{
		img:  img,
		xs:   xattrReader{img: img, budget: dataBudget(img.own.Size)},
		seen: make(map[uint64]seenInode, min(img.super.Inodes, uint64(img.own.Size)/disk.NidUnit, 1<<16)),
	}
}

type source struct {
	img     *Image
	xs      xattrReader
	seen    map[uint64]seenInode
	targets map[string]uint64 // numbers of inodes by their paths in marks, so that no path is walked twice
	stack   []openDir
	path    []byte // of the directory on top of the stack, with a slash after it
	entry   tree.Entry
	ino     inode
	slab    []Content // contents for the next files, allocated together
	err     error
}

// seenInode is an inode that has been read. Each is read only once: otherwise hard links
// to a large one would exceed the budget for metadata.
type seenInode struct {
	dir   *tree.Place // of its first name
	name  string      // its first name
	entry *tree.Entry // if it may have more names and its record does not say all; Hardlink is elsePath of unmark
}

// path is the first path of the inode.
func (m *seenInode) path() string {
	if m.name == "." {
		return "."
	}
	return m.dir.Join(m.name).String()
}

// openDir is a directory whose entries have not all been yielded.
type openDir struct {
	nid   uint64
	names []dirEntry
	path  int         // length of the part of source.path that is the directory's
	at    *tree.Place // of the directory
}

// Close does nothing: a source holds only memory.
func (s *source) Close() error { return nil }

// Inode is the number of the inode of the entry that Next returned last.
func (s *source) Inode() uint64 { return s.ino.nid }

func (s *source) Next() (*tree.Entry, error) {
	for s.err == nil {
		hasRecord, err := s.next()
		if err != nil {
			s.err = err
			s.seen, s.targets, s.stack, s.slab = nil, nil, nil, nil // s may be kept after its end
		} else if hasRecord {
			return &s.entry, nil
		}
	}
	return nil, s.err
}

// next reads the next entry. It returns false if the entry has no record and is to be
// skipped.
func (s *source) next() (bool, error) {
	if len(s.seen) == 0 {
		root := s.img.super.Root()
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

// enter makes s.entry of d, an entry of the directory parent. If d is a directory, enter
// puts it on the stack. It returns false if the entry has no record.
func (s *source) enter(d dirEntry, parent *openDir) (bool, error) {
	path := string(s.path)
	if d.name == "." {
		path = "."
	}
	hasRecord, err := s.fill(d, parent, path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	s.entry.Path = path
	return hasRecord, nil
}

func (s *source) fill(d dirEntry, parent *openDir, path string) (bool, error) {
	if err := s.img.readInodeInto(&s.ino, d.nid); err != nil {
		return false, err
	}
	if err := tree.CheckPath(path); err != nil {
		return false, corrupt(s.ino.off, "%s", err)
	}
	elsePath, hasRecord, err := s.load(d.name, parent, false)
	if err == nil && elsePath != "" {
		return true, s.follow(elsePath, d.name, parent)
	}
	if err != nil || s.entry.Hardlink != "" {
		return true, err
	}
	if s.entry.Type == tree.Dir {
		err = s.open(&s.ino, d.name, parent)
	}
	if _, ok := s.entry.Xattr(disk.MarkOrigin.Name); ok && err == nil && s.entry.Type == tree.Dir {
		err = s.dropOrigin()
		hasRecord = hasRecord && (!s.entry.NoChange || len(s.entry.Xattrs) > 0)
	}
	return hasRecord, err
}

// load makes s.entry, without its path, of s.ino, which is name in parent. With keep it
// remembers the entry even if the record counts only one name, because marks may name the
// inode, too. Its results are those of unmark.
func (s *source) load(name string, parent *openDir, keep bool) (elsePath string, hasRecord bool, err error) {
	ino := &s.ino
	earlier, seen := s.seen[ino.nid]
	if seen && ino.kind() == tree.Dir {
		return "", false, corrupt(ino.off, "directory %d is %s too", ino.nid, earlier.path())
	}
	hasRecord = true
	switch {
	case seen && earlier.entry != nil:
		s.entry, elsePath = *earlier.entry, earlier.entry.Hardlink
		s.entry.Xattrs = slices.Clone(earlier.entry.Xattrs)
	case seen && ino.Nlink > 1:
		s.entry = ino.attributes()
	default:
		if err := s.xs.charge(ino.RecordSize()+s.metadata(ino), ino.off); err != nil {
			return "", false, err
		}
		if s.entry, err = s.img.entry(ino, &s.xs, s.newContent()); err != nil {
			return "", false, err
		}
		elsePath, hasRecord = unmark(&s.entry)
		isOrElse := s.entry.Lower != nil && s.entry.Lower.Else
		if keep || isOrElse || ino.Nlink > 1 && (s.entry.Type == tree.Link || s.entry.Extents != nil || s.entry.Xattrs != nil) {
			kept := s.entry
			kept.Hardlink = elsePath
			earlier.entry = &kept
		}
	}
	if !seen {
		earlier.dir, earlier.name = parent.at, name
		s.seen[ino.nid] = earlier
		return elsePath, hasRecord, nil
	}
	s.entry.Hardlink, s.entry.Content = earlier.path(), nil
	if s.entry.IsLower() {
		s.entry.Lower = nil
	}
	return elsePath, hasRecord, nil
}

// follow turns s.entry, a link to the layers below that is name in parent, into the inode at
// elsePath, which it is if the layers below have no target.
func (s *source) follow(elsePath, name string, parent *openDir) error {
	lower := s.entry.Lower
	nid, ok := s.targets[elsePath]
	if !ok {
		ino, err := s.img.elseInode(&s.ino, elsePath)
		if err != nil {
			return err
		}
		if s.targets == nil {
			s.targets = make(map[string]uint64)
		}
		nid, s.targets[elsePath] = ino.nid, ino.nid
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

// newContent returns an empty Content: the last one again if it has not been used.
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

// metadata is how many bytes of metadata of ino are to be read, besides its record and
// xattrs.
func (s *source) metadata(ino *inode) int64 {
	switch kind := ino.kind(); {
	case ino.IsCompressed():
		return s.compressedMetadata(ino)
	case kind == tree.Dir || kind == tree.Link:
		return min(ino.Size, s.img.own.Size)
	case kind == tree.File && ino.Layout == disk.ChunkBased:
		chunk, unit := ino.Chunks(s.img.bs)
		return min(disk.Blocks(ino.Size, chunk), s.img.own.Size/unit) * unit
	}
	return 0
}

// compressedMetadata is metadata for a compressed inode.
func (s *source) compressedMetadata(ino *inode) int64 {
	f, err := s.img.openZ(ino)
	switch {
	case err != nil || ino.Size == 0:
		return 0 // and is reported elsewhere
	case ino.kind() == tree.Dir || ino.kind() == tree.Link:
		return ino.Size
	case ino.kind() == tree.File && f.Header().Index == z.Encoded:
		return f.IndexSize()
	}
	return z.HeaderSize
}

// open puts the directory ino, which is name in parent, on the stack.
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

// dropOrigin removes from s.entry, the directory on top of the stack, the mark that the
// writer gives to a directory with whiteouts.
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
