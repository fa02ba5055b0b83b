package ext4

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// finish writes everything but the contents of files. Blocks of files and directories come
// first: their place is right after the contents.
func (w *Writer) finish() error {
	if err := w.addOwn(); err != nil {
		return err
	}
	if err := w.data.Flush(); err != nil { // so that the digest covers all contents
		return err
	}
	w.data.Tap(nil)
	w.inodes.list = make([]*inode, 0, w.added+3) // and root, lost+found, work
	c := &collector{table: &w.inodes, implied: w.ownTime(), digest: w.digest}
	c.visit(w.tree.Root(), disk.RootIno)
	w.identify(w.digest)
	w.warn()
	if err := w.placeItems(); err != nil {
		return err
	}
	l, err := w.layout()
	if err != nil {
		return err
	}
	if err := w.writeMetadata(l); err != nil {
		return err
	}
	if w.opts.Counts != nil {
		*w.opts.Counts = w.inodes.counts()
	}
	if !w.opts.Check {
		return nil
	}
	err = w.verify(int64(l.geo.blocks) * disk.BlockSize)
	if err != nil { // without its superblock the file system is incomplete again
		w.out.WriteAt(make([]byte, disk.SuperSize), disk.SuperOffset)
	}
	return err
}

// identify chooses the UUID and the hash seed. The seed derives from the UUID, and that from
// digest, which covers the entries and contents, and from the options. Without a digest the
// options have a UUID.
func (w *Writer) identify(digest *xxh3.Hasher) {
	o := &w.opts
	if digest == nil {
		w.uuid = *o.UUID
	} else {
		fmt.Fprintf(digest, "%v %d %d %v %v %v %d %d %v %d %q %v", o.Upper, o.Size, o.MaxSize, o.Shrink, deref(o.FreeSpace),
			deref(o.FreeInodes), o.Inodes, o.BytesPerInode, deref(o.Journal), o.Features, o.Label, deref(o.Epoch))
		w.uuid = digest.Sum128().Bytes()
		w.uuid[6] = w.uuid[6]&0x0F | 0x80 // version 8: custom
		w.uuid[8] = w.uuid[8]&0x3F | 0x80
	}
	sum := xxh3.Hash128(w.uuid[:]).Bytes()
	for i := range w.hashSeed {
		w.hashSeed[i] = binary.LittleEndian.Uint32(sum[4*i:])
	}
	w.seed = disk.NewSeed(w.uuid)
}

func deref(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func (w *Writer) dirOptions() disk.DirOptions {
	return disk.DirOptions{Index: w.opts.Features.has(dirIndex), HashSeed: w.hashSeed, Checksums: w.opts.Features.has(metadataCsum), Block: &w.dirBlock}
}

// put writes whole blocks, unless the disk is full.
func (w *Writer) put(block uint64, data []byte) error {
	if w.short {
		return nil
	}
	if err := w.data.Move(int64(block) * disk.BlockSize); err != nil {
		return err
	}
	_, err := w.data.Write(data)
	return err
}

// take takes the next free block. If the disk is full, finish fails later.
func (w *Writer) take() (uint64, error) {
	w.fits(1)
	return w.files.Piece(1).Start, nil
}

// placeItems writes the blocks of inodes that are not contents of files: directories, long
// link targets, extent trees and xattrs.
func (w *Writer) placeItems() error {
	for _, it := range w.inodes.list {
		if err := w.placeItem(it); err != nil {
			return w.blame(it, err)
		}
	}
	return w.placeXattrs()
}

// blame adds the path of it to err.
func (w *Writer) blame(it *inode, err error) error {
	return fmt.Errorf("%s: %w", w.pathOf(it), err)
}

func (w *Writer) placeItem(it *inode) error {
	if err := w.stopped(); err != nil {
		return err
	}
	if err := it.check(w.opts.Features); err != nil {
		return err
	}
	var content []byte
	if it.dir != nil {
		var err error
		if content, err = w.directory(it); err != nil {
			return err
		}
	} else if it.entry.Type == tree.Link && len(it.entry.Link) > disk.FastMax {
		content = make([]byte, disk.BlockSize)
		copy(content, it.entry.Link)
	}
	if content != nil {
		it.start = w.files.NextFree()
		if err := w.append(content); err != nil {
			return err
		}
	}
	runs := it.runs(&w.files)
	if disk.ExtentCount(runs) <= disk.ExtentRootMax {
		return nil
	}
	var root [60]byte
	w.inodes.setTree(it, w.files.NextFree())
	_, err := disk.ExtentTree(&root, runs, w.seed.Inode(it.ino, 0), w.take, w.put)
	return err
}

// append writes b, whole blocks, to the next free blocks.
func (w *Writer) append(b []byte) (err error) {
	w.fits(uint64(len(b) / disk.BlockSize))
	w.files.Pieces(uint64(len(b)/disk.BlockSize), func(a alloc.Area) {
		if err == nil {
			err = w.put(a.Start, b[:a.N*disk.BlockSize])
		}
		b = b[a.N*disk.BlockSize:]
	})
	return err
}

// directory returns the content of a directory, which is valid until the next call.
func (w *Writer) directory(it *inode) ([]byte, error) {
	node := it.dir.node
	children := node.SortedChildren()
	ents := make([]disk.Dirent, len(children))
	for i, c := range children {
		ents[i] = disk.Dirent{Name: c.Name(), Ino: w.inodes.Of(c.Entry).ino, Kind: disk.KindOf(c.Entry.Type)}
	}
	opt, sum := w.dirOptions(), w.seed.Inode(it.ino, 0)
	b, indexed, err := disk.DirBlocks(it.ino, it.dir.parent, ents, opt, sum)
	if err != nil {
		return nil, err
	}
	if it.ino == disk.LostFoundIno && node.Name() == disk.LostFoundDir && !indexed {
		for n := len(b); n < lostFoundBlocks*disk.BlockSize; n += disk.BlockSize {
			b = append(b, make([]byte, disk.BlockSize)...)
			disk.EmptyDirBlock(b[n:], opt, sum)
		}
	}
	it.dir.blocks, it.dir.indexed = uint32(len(b)/disk.BlockSize), indexed
	return b, nil
}

// pathOf returns the first path of it, in the form in which it was added, for a message.
func (w *Writer) pathOf(it *inode) string {
	var find func(n *tree.Node, path string) string
	find = func(n *tree.Node, path string) string {
		if n.Entry == it.entry {
			return path
		}
		for _, c := range n.Children() {
			if found := find(c, joinPath(path, c.Name())); found != "" {
				return found
			}
		}
		return ""
	}
	path := find(w.tree.Root(), ".")
	if w.opts.Upper {
		return strings.TrimPrefix(path, upperDir+"/")
	}
	return path
}
