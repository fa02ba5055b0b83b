package read

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// Lookup returns the entry at path, which it takes literally: it follows no symbolic link.
// It reads only the directories on the way. It does not know other names of the file, so
// it never returns a hard link. It finds lost+found, too. If there is no such file, the
// error wraps fs.ErrNotExist.
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

// lookup finds the inode of path, and the number of its parent directory.
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

// readEntry reads the inode of d into ino, and checks that it is of the kind that d says.
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

// fill sets e to what ino says, without path and xattrs. It claims the blocks of ino in
// owned, which may be nil. c is nil if the type of file has no blocks; the caller reads
// directories.
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
		if c.HasData() {
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

// countLinks returns the number of links of the directory ino: 2, and 1 for each
// subdirectory. The inode has to count as many, or say that they are too many to count.
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
