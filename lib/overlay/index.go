package overlay

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"sync"

	"ocipipe/lib/tree"
)

// Names are the names of the inodes of images that have several. Visit is for
// lower.Options.Visit.
type Names struct {
	UserXattr bool // as in Options

	mu     sync.Mutex
	images map[int]map[uint64]*named
}

// named is an inode with several names.
type named struct {
	entry tree.Entry // of the first name
	paths []string
}

// Visit notes the name e of an inode of the image number input. It returns a [*LayersError] if
// the image has marks that only overlayfs resolves.
func (n *Names) Visit(input int, inode uint64, e *tree.Entry) error {
	for _, mark := range []string{markRedirect, markMetacopy} {
		name := prefixOf(n.UserXattr) + mark
		if _, ok := e.Xattr(name); ok && (e.Type == tree.Dir) == (mark == markRedirect) && !e.IsLower() {
			return &LayersError{e.Path, name}
		}
	}
	if e.Type == tree.Dir || e.Nlink < 2 && e.Hardlink == "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.images == nil {
		n.images = make(map[int]map[uint64]*named)
	}
	if n.images[input] == nil {
		n.images[input] = make(map[uint64]*named)
	}
	of := n.images[input][inode]
	if of == nil {
		of = &named{entry: *e}
		n.images[input][inode] = of
	}
	of.paths = append(of.paths, e.Path)
	return nil
}

// indexed is a file in work/index: a file below with several names that was changed by one of
// them.
type indexed struct {
	*inode
	number uint64 // on the disk
	below  handle // the file below
}

// handle is a file handle (struct ovl_fb and the struct fid in it).
type handle struct {
	uuid  [16]byte // of the file system
	inode uint64
	ok    bool // the other fields are known
}

// Records of file handles; fs/overlayfs/overlayfs.h and include/linux/exportfs.h.
const (
	handleMagic   = 0xfb
	handleHead    = 21   // version, magic, len, flags, type, uuid[16]
	kindIno32Gen  = 0x1  // struct { u32 inode, generation }
	kindIno64Gen  = 0x81 // struct { u32 inode >> 32, inode, generation }
	flagBigEndian = 1
	flagAnyEndian = 2
)

// parseHandle reads a name in the index.
func parseHandle(name string) (h handle, ok bool) {
	b, err := hex.DecodeString(name)
	if err != nil || len(b) < handleHead || b[0] != 0 || b[1] != handleMagic || int(b[2]) != len(b) {
		return h, false
	}
	copy(h.uuid[:], b[5:handleHead])
	id := b[handleHead:]
	var order binary.ByteOrder = binary.LittleEndian
	if b[3]&flagBigEndian != 0 {
		order = binary.BigEndian
	}
	switch kind := b[4]; {
	case kind == kindIno32Gen && len(id) == 8:
		h.inode, h.ok = uint64(order.Uint32(id)), true
	case kind == kindIno64Gen && len(id) == 12:
		h.inode, h.ok = uint64(order.Uint32(id))<<32|uint64(order.Uint32(id[4:])), true
	}
	return h, true
}

// readIndex reads the files in work/index. Directories, whiteouts and what else a kernel has in
// there say nothing about names.
func (b *builder) readIndex(src tree.Source) (list []indexed, err error) {
	numbers, _ := src.(numbered)
	limited := b.meter.Limit(src)
	for {
		e, err := limited.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		h, ok := parseHandle(e.Path)
		if !ok || e.Type == tree.Dir || e.IsWhiteout() || e.Hardlink != "" {
			continue
		}
		own := *e
		own.Path = ""
		x := indexed{inode: &inode{entry: &own}, below: h}
		if numbers != nil {
			x.number = numbers.Inode()
		}
		x.marks, own.Xattrs = readMarks(e.Xattrs, b.prefix)
		list = append(list, x)
	}
}

// join finds which inodes below the index has replaced. paths are the first names of the inodes
// of the upper directory that have several.
func (b *builder) join(index []indexed, paths map[uint64]string) error {
	for _, x := range index {
		path := paths[x.number]
		from, unknown := b.find(x)
		switch {
		case from != nil:
			if err := b.replace(x, from, path); err != nil {
				return err
			}
		case unknown && x.mayHaveMore():
			b.lost.Add(cmp.Or(path, "a file that was removed"))
		}
	}
	return nil
}

// replace notes that x is in place of from. It is the file at path in the upper directory; ""
// says that it has no name there.
func (b *builder) replace(x indexed, from *tree.Entry, path string) error {
	f := x.inode
	if path != "" {
		n := b.upper.Lookup(path)
		f = b.inode(n.Entry, path)
		b.inodes[n.Entry] = f
	} else {
		path = indexDir
	}
	if f.metacopy && f.entry.Type == tree.File {
		if err := checkMetacopy(path, f.metadata); err != nil {
			return err
		}
		if err := b.take(f, from, path); err != nil {
			return err
		}
	}
	if b.joined == nil {
		b.joined = make(map[*tree.Entry]*tree.Entry)
	}
	b.joined[from] = f.entry
	return nil
}

// find returns the inode below that x was made of, if that has several names. unknown is true if
// that cannot be told.
func (b *builder) find(x indexed) (from *tree.Entry, unknown bool) {
	if b.opts.Below == nil || b.opts.Below.Names == nil || !x.below.ok {
		return nil, true
	}
	unknown = true
	for i, uuid := range b.opts.Below.UUIDs {
		if uuid == nil || *uuid != x.below.uuid && (x.below.uuid != [16]byte{} || len(b.opts.Below.UUIDs) > 1) {
			continue
		}
		unknown = false
		of := b.opts.Below.Names.images[i][x.below.inode]
		if of == nil { // it has one name: with nfs_export=on all files are in the index
			continue
		}
		for _, path := range of.paths {
			if n := b.below.Lookup(path); n != nil && of.is(n.Entry) && n.Entry.Type == x.entry.Type {
				return n.Entry, false
			}
		}
	}
	return nil, unknown
}

// is reports whether e, an inode of the merged tree, is that of n, and not one of a layer that
// hides it.
func (n *named) is(e *tree.Entry) bool {
	if e.Content != nil || n.entry.Content != nil {
		return e.Content == n.entry.Content
	}
	return e.Type == n.entry.Type && e.Size == n.entry.Size && e.Link == n.entry.Link && e.Dev == n.entry.Dev && e.Time == n.entry.Time &&
		e.Mode == n.entry.Mode && e.UID == n.entry.UID && e.GID == n.entry.GID
}

// mayHaveMore reports whether x may have names that are not on the disk. The kernel counts the
// names in the overlay from those on the disk, the name in the index included, or from those
// below: "U+0", "L-1".
func (x *indexed) mayHaveMore() bool {
	if n, ok := strings.CutPrefix(x.nlink, "U"); ok {
		more, err := strconv.Atoi(n)
		return err != nil || more+1 > 0
	}
	return true
}
