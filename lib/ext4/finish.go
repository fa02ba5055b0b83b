package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/zeebo/blake3"

	"ocipipe/lib/tree"
)

// finish writes all that is not the content of files. What is of a file or a
// directory comes first: it has its place right behind the contents.
func (w *Writer) finish() error {
	if err := w.addOwn(); err != nil {
		return err
	}
	if err := w.data.Flush(); err != nil { // the digest has seen all contents
		return err
	}
	w.data.Tap(nil)
	c := &collector{slab: &w.slab, items: make([]*item, 0, w.added+3), implied: w.ownTime(), digest: w.digest}
	c.visit(w.tree.Root(), rootIno)
	w.identify(w.digest)
	w.warn()
	items := append([]*item{c.root}, c.items...)
	if err := w.placeItems(items); err != nil {
		return err
	}
	l, err := w.layout(items)
	if err != nil {
		return err
	}
	if err := w.writeMetadata(l, items); err != nil || !w.opts.Check {
		return err
	}
	return w.verify(int64(l.geo.blocks) * blockSize)
}

// identify chooses what makes this file system another than others: from digest,
// which has seen the content, and the options. Without one there is a UUID.
func (w *Writer) identify(digest *blake3.Hasher) {
	o := &w.opts
	if digest == nil {
		digest = blake3.New()
		w.uuid = *o.UUID
		digest.Write(w.uuid[:])
	} else {
		fmt.Fprintf(digest, "%v %d %d %v %v %v %d %d %v %d %q %v", o.Upper, o.Size, o.MaxSize, o.Shrink, deref(o.FreeSpace),
			deref(o.FreeInodes), o.Inodes, o.BytesPerInode, deref(o.Journal), o.Features, o.Label, deref(o.Epoch))
	}
	var sum [32]byte
	digest.Sum(sum[:0])
	if o.UUID == nil {
		copy(w.uuid[:], sum[:])
		w.uuid[6] = w.uuid[6]&0x0F | 0x80 // version 8: made as one likes
		w.uuid[8] = w.uuid[8]&0x3F | 0x80
	}
	for i := range w.hashSeed {
		w.hashSeed[i] = binary.LittleEndian.Uint32(sum[16+4*i:])
	}
	w.seed = newSeed(w.uuid)
}

func deref(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func (w *Writer) dirOptions() dirOptions {
	return dirOptions{index: w.opts.Features.has(dirIndex), hashSeed: w.hashSeed, checksums: w.opts.Features.has(metadataCsum)}
}

// put writes whole blocks, unless there is no room.
func (w *Writer) put(block uint64, data []byte) error {
	if w.short {
		return nil
	}
	if err := w.data.Move(int64(block) * blockSize); err != nil {
		return err
	}
	_, err := w.data.Write(data)
	return err
}

// take is the next free block. Whether there was one shows in the end.
func (w *Writer) take() (uint64, error) {
	w.fits(1)
	return w.files.piece(1).start, nil
}

// placeItems writes the blocks of items that are not the content of files:
// directories, long link targets, extent trees and xattrs.
func (w *Writer) placeItems(items []*item) error {
	for _, it := range items {
		if err := w.placeItem(it); err != nil {
			return w.blame(it, err)
		}
	}
	return w.placeXattrs(items)
}

// blame says which entry err is about.
func (w *Writer) blame(it *item, err error) error {
	return fmt.Errorf("%s: %w", w.pathOf(it), err)
}

func (w *Writer) placeItem(it *item) error {
	if err := it.check(w.opts.Features); err != nil {
		return err
	}
	var content []byte
	if it.dir != nil {
		var err error
		if content, err = w.directory(it); err != nil {
			return err
		}
	} else if it.entry.Type == tree.Link && len(it.entry.Link) > fastMax {
		content = make([]byte, blockSize)
		copy(content, it.entry.Link)
	}
	if content != nil {
		it.start = w.files.settle()
		if err := w.append(content); err != nil {
			return err
		}
	}
	runs := it.runs(&w.files)
	if extentCount(runs) <= extentRootMax {
		return nil
	}
	var root [60]byte
	it.nodes = w.files.settle()
	_, err := extentTree(&root, runs, w.seed.inode(it.ino, 0), w.take, w.put)
	return err
}

// append writes whole blocks to the next free ones.
func (w *Writer) append(b []byte) (err error) {
	w.fits(uint64(len(b) / blockSize))
	w.files.pieces(uint64(len(b)/blockSize), func(a area) {
		if err == nil {
			err = w.put(a.start, b[:a.n*blockSize])
		}
		b = b[a.n*blockSize:]
	})
	return err
}

// directory is the content of a directory.
func (w *Writer) directory(it *item) ([]byte, error) {
	node := it.dir.node
	children := node.Children()
	ents := make([]dirent, len(children))
	for i, c := range children {
		ents[i] = dirent{c.Name(), c.Entry.Content.(*item).ino, inodeTypes[c.Entry.Type].kind}
	}
	opt, sum := w.dirOptions(), w.seed.inode(it.ino, 0)
	b, indexed, err := dirBlocks(it.ino, it.dir.parent, ents, opt, sum)
	if err != nil {
		return nil, err
	}
	if it.ino == lostFoundIno && node.Name() == lostFoundDir && !indexed {
		for n := len(b); n < lostFoundBlocks*blockSize; n += blockSize {
			b = append(b, make([]byte, blockSize)...)
			(&dirPlan{opt: opt}).encodeBlock(b[n:], sum)
		}
	}
	it.dir.blocks, it.dir.indexed = uint32(len(b)/blockSize), indexed
	return b, nil
}

// pathOf finds the first path of it, for a message, as the caller knows it.
func (w *Writer) pathOf(it *item) string {
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

// layout says where the metadata goes, now that the files have their places.
func (w *Writer) layout(items []*item) (*layout, error) {
	live := w.live(items)
	inodes := uint64(len(items)) - 1 + firstIno - 1
	if w.opts.Upper {
		return w.checkUpper(live, inodes)
	}
	if w.opts.Size == 0 {
		return w.sized(live, inodes)
	}
	blocks := uint64(w.opts.Size) / blockSize
	g, err := w.opts.shorten(blocks, w.opts.inodes(blocks, inodes, 0))
	if err == nil {
		if g.inodes() < inodes {
			return nil, tooFewInodes(g.inodes(), inodes)
		}
		if l := w.opts.behind(w.files, g); l.end <= g.blocks && !w.short {
			return l, nil
		}
		err = errNoRoom
	}
	if !errors.Is(err, errNoRoom) {
		return nil, err
	}
	return nil, w.tooSmall(live, inodes)
}

// live is how many blocks items have. Those of contents that were replaced are
// free, but have to be there.
func (w *Writer) live(items []*item) uint64 {
	n := uint64(len(w.acls))
	w.replaced = w.contents
	for _, it := range items {
		n += it.blocks()
		if it.entry.Type == tree.File {
			w.replaced -= it.blocks()
		}
		if it.nodes != 0 {
			n += uint64(extentTreeBlocks(it.runs(&w.files)))
		}
	}
	return n
}

// checkUpper is the plan of an upper disk, if all has its place.
func (w *Writer) checkUpper(live, inodes uint64) (*layout, error) {
	if have := w.plan.geo.inodes(); inodes > have {
		return nil, tooFewInodes(have, inodes)
	}
	w.plan.claim(&w.files)
	if w.short || w.files.next > w.limit {
		return nil, w.tooSmall(live, inodes)
	}
	return w.plan, nil
}

// tooSmall says how large it would have to be.
func (w *Writer) tooSmall(live, inodes uint64) error {
	o := w.opts
	const unit = sizeUnit / blockSize
	blocks := uint64(o.Size) / sizeUnit * unit
	for {
		blocks += unit
		o.Size = int64(blocks * blockSize)
		if o.Size > MaxSize {
			return &roomError{text: fmt.Sprintf("what was added does not fit into %d bytes, nor into any size", w.opts.Size)}
		}
		g, err := o.shorten(blocks, o.inodes(blocks, inodes, 0))
		if err != nil {
			continue
		}
		l := &layout{geo: g, journal: []area{{0, o.journalLength(blocks)}}}
		need := live + w.replaced + l.used()
		if need <= g.blocks {
			break
		}
		blocks = max(blocks, need/unit*unit-unit)
	}
	return &roomError{fmt.Sprintf("what was added does not fit into %d bytes", w.opts.Size), fmt.Sprintf("--size %dM is enough", o.Size/sizeUnit)}
}

// sized is the layout of a file system whose size follows from its content.
func (w *Writer) sized(live, inodes uint64) (*layout, error) {
	o := &w.opts
	blocks, unit := w.files.settle()+1, uint64(sizeUnit/blockSize)
	if o.Shrink {
		unit = 1
	}
	used := live
	for !w.short && blocks <= w.limit {
		free := o.free(used)
		want := o.inodes(blocks, inodes, free)
		if want < inodes {
			return nil, tooFewInodes(want, inodes)
		}
		g := o.geometry(blocks, want)
		if g.inodes() < want {
			blocks += blocksPerGroup // each has room for so many
			continue
		}
		l := o.behind(w.files, g)
		used = max(used, live+l.used())
		need := max(l.end, used+o.free(used), blocks+g.lastGroupShort())
		if need = divUp(need, unit) * unit; need <= blocks {
			return l, nil
		}
		blocks = need
	}
	return nil, &roomError{fmt.Sprintf("what was added, and what is to be free, do not fit into the %d bytes to which it can grow", w.limit*blockSize), "--max-size raises this, or --size states it"}
}

// free is how many blocks are left for more files where so many are in use.
func (o *Options) free(used uint64) uint64 {
	switch {
	case o.Shrink:
		return 0
	case o.FreeSpace != nil:
		return divUp(uint64(*o.FreeSpace), blockSize)
	}
	return max(DefaultFree/blockSize, used/4)
}
