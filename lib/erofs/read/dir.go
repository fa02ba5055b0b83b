package read

import (
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// dirEntry is one entry of a directory.
type dirEntry struct {
	name string
	nid  uint64
	kind uint8
}

// readDirBlock decodes the block at byte off of the directory dir, whose content is data.
// It checks the names, and their order within the block.
func (img *Image) readDirBlock(dir *inode, data io.ReaderAt, off int64, buf []byte) ([]dirEntry, error) {
	b := buf[:min(int64(len(buf)), dir.Size-off)]
	if _, err := data.ReadAt(b, off); err != nil && err != io.EOF {
		return nil, err
	}
	bad := func(format string, args ...any) ([]dirEntry, error) {
		return nil, corrupt(dir.off, "directory %d, block at %d: %s", dir.nid, off, fmt.Sprintf(format, args...))
	}
	if len(b) < disk.DirentSize {
		return bad("%d bytes are too few for an entry", len(b))
	}
	first := int(disk.DecodeDirent(b).Name)
	if first < disk.DirentSize || first%disk.DirentSize != 0 || first > len(b) {
		return bad("first name at %d", first)
	}
	text := string(b[first:]) // one string for all names of the block
	list := make([]dirEntry, first/disk.DirentSize)
	for i := range list {
		d := disk.DecodeDirent(b[i*disk.DirentSize:])
		start, end := int(d.Name), len(b)
		if i+1 < len(list) {
			end = int(disk.DecodeDirent(b[(i+1)*disk.DirentSize:]).Name)
		}
		if start < first || end < start || end > len(b) {
			return bad("name %d lies from %d to %d", i, start, end)
		}
		name := text[start-first : end-first]
		if i+1 == len(list) {
			name, _, _ = strings.Cut(name, "\x00")
		}
		if len(name) == 0 || len(name) > disk.MaxName || strings.ContainsAny(name, "/\x00") {
			return bad("name %q", name)
		}
		if i > 0 && name <= list[i-1].name {
			return bad("%q comes after %q", name, list[i-1].name)
		}
		list[i] = dirEntry{name, d.Nid, d.Kind}
	}
	return list, nil
}

// readDir reads the entries of the directory dir. It leaves out "." and "..", which it checks
// if they exist.
func (img *Image) readDir(dir *inode, parent uint64) ([]dirEntry, error) {
	data, err := img.dirData(dir)
	if err != nil {
		return nil, err
	}
	var (
		all  []dirEntry
		last string
		buf  = make([]byte, min(img.bs, dir.Size))
	)
	for off := int64(0); off < dir.Size; off += img.bs {
		list, err := img.readDirBlock(dir, data, off, buf)
		if err != nil {
			return nil, err
		}
		if list[0].name <= last {
			return nil, corrupt(dir.off, "directory %d, block at %d: %q comes after %q", dir.nid, off, list[0].name, last)
		}
		last = list[len(list)-1].name
		if all == nil {
			all = list[:0] // a directory of one block needs only one slice
		}
		for _, d := range list {
			switch {
			case d.name != "." && d.name != "..":
				all = append(all, d)
			case d.name == "." && d.nid != dir.nid || d.name == ".." && d.nid != parent:
				return nil, corrupt(dir.off, "directory %d: %q is inode %d", dir.nid, d.name, d.nid)
			}
		}
	}
	return all, nil
}

// dirData returns the content of the directory dir. It is an error if that cannot be read.
func (img *Image) dirData(dir *inode) (*Content, error) {
	c, err := img.content(dir)
	if err == nil {
		err = c.err
	}
	return c, err
}

// lookup finds name in dir as the kernel does: by binary search, among the blocks and
// then in one of them.
func (img *Image) lookup(dir *inode, name string) (dirEntry, error) {
	data, err := img.dirData(dir)
	if err != nil {
		return dirEntry{}, err
	}
	buf := make([]byte, img.bs)
	var list []dirEntry // of the last block whose first name is not after name
	sort.Search(int(disk.Blocks(dir.Size, img.bs)), func(i int) bool {
		if err != nil {
			return true
		}
		var l []dirEntry
		if l, err = img.readDirBlock(dir, data, int64(i)*img.bs, buf); err != nil || l[0].name > name {
			return true
		}
		list = l
		return false
	})
	if err != nil {
		return dirEntry{}, err
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].name >= name })
	if i == len(list) || list[i].name != name {
		return dirEntry{}, fs.ErrNotExist
	}
	return list[i], nil
}

// Lookup returns the entry at path, which it takes literally: it follows no symbolic link.
// It reads only the directories on the way. The entry is that of Source, except that it is
// never a hard link: each name of an inode is the file. If there is no such file, the error
// wraps fs.ErrNotExist.
func (img *Image) Lookup(path string) (*tree.Entry, error) {
	if err := tree.CheckPath(path); err != nil {
		return nil, err
	}
	e, err := img.lookupPath(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e.Path = path
	return e, nil
}

func (img *Image) lookupPath(path string) (*tree.Entry, error) {
	ino, err := img.walk(path)
	if err != nil {
		return nil, err
	}
	xs := &xattrReader{img: img, budget: dataBudget(img.own.Size)}
	e, err := img.entry(ino, xs, new(Content))
	if err != nil {
		return nil, err
	}
	path, _ = unmark(&e)
	if path == "" {
		return &e, nil
	}
	lower := e.Lower
	if ino, err = img.elseInode(ino, path); err != nil {
		return nil, err
	}
	if e, err = img.entry(ino, xs, new(Content)); err != nil {
		return nil, err
	}
	if chained, _ := unmark(&e); chained != "" {
		return nil, corrupt(ino.off, "inode %d is named by a mark and has one itself", ino.nid)
	}
	return orLower(&e, lower), nil
}

// walk finds the inode at path.
func (img *Image) walk(path string) (*inode, error) {
	ino, err := img.readInode(img.super.Root())
	for rest := path; rest != "" && path != "." && err == nil; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if ino.kind() != tree.Dir {
			return nil, fs.ErrNotExist
		}
		d, err := img.lookup(ino, name)
		if err != nil {
			return nil, err
		}
		if ino, err = img.readInode(d.nid); err != nil {
			return nil, err
		}
	}
	return ino, err
}
