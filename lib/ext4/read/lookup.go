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
