package volume

import (
	"fmt"
	"io"
	"math"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

const (
	copyBuf  = 256 << 10
	smallMax = blockio.PageSize / 2 // longest read that goes through the pages
)

// Content is the data of a file in an image. It implements tree.Content, and io.ReaderAt
// over the whole file, holes included.
type Content struct {
	vol    *Volume
	Size   int64      // of the file, in bytes
	Runs   []disk.Run // written blocks, ascending, with holes between them
	Blocks int64      // that the file takes on disk: data, written or not, and extent nodes
	room   [1]disk.Run
	inline []byte // the data of a file that has no blocks, up to Size
}

// HasData reports whether the file is not all hole.
func (c *Content) HasData() bool { return c.extents() > 0 }

// Stored is how many bytes the file takes on disk, in whole blocks: see Blocks.
func (c *Content) Stored() int64 { return c.Blocks * c.vol.block }

// extents is how many runs of data the file has.
func (c *Content) extents() int {
	if len(c.inline) > 0 {
		return 1
	}
	return len(c.Runs)
}

// Extents returns where the file has data, in the form of tree.Entry.Extents: nil if the file
// has no holes.
func (c *Content) Extents() []tree.Extent {
	n := c.extents()
	if n == 1 && c.extent(0) == (tree.Extent{Len: c.Size}) {
		return nil
	}
	xs := make([]tree.Extent, 0, n)
	for i := range n {
		x := c.extent(i)
		if k := len(xs); k > 0 && xs[k-1].End() == x.Off {
			xs[k-1].Len += x.Len
			continue
		}
		xs = append(xs, x)
	}
	if len(xs) == 1 && xs[0].Len == c.Size {
		return nil
	}
	return xs
}

// extent is where the i-th run lies in the file.
func (c *Content) extent(i int) tree.Extent {
	if len(c.inline) > 0 {
		return tree.Extent{Len: int64(len(c.inline))}
	}
	r := c.Runs[i]
	return tree.Extent{Off: r.Offset(c.vol.block), Len: r.Bytes(c.vol.block, c.Size)}
}

var buffers = sync.Pool{New: func() any { return new([copyBuf]byte) }}

// WriteTo writes the data without the holes.
func (c *Content) WriteTo(w io.Writer) (total int64, err error) {
	if len(c.inline) > 0 {
		n, err := w.Write(c.inline)
		return int64(n), err
	}
	buf := buffers.Get().(*[copyBuf]byte)
	defer buffers.Put(buf)
	for _, r := range c.Runs {
		pos := r.DiskOffset(c.vol.block)
		for rest := r.Bytes(c.vol.block, c.Size); rest > 0; {
			b := buf[:min(rest, copyBuf)]
			if err := c.read(b, pos); err != nil {
				return total, err
			}
			n, err := w.Write(b)
			total += int64(n)
			if err != nil {
				return total, err
			}
			pos, rest = pos+int64(n), rest-int64(n)
		}
	}
	return total, nil
}

// read fills p from byte pos of the disk on.
func (c *Content) read(p []byte, pos int64) error {
	var n int
	var err error
	if len(p) <= smallMax {
		n, err = c.vol.pages.ReadAt(p, pos)
	} else {
		n, err = c.vol.r.ReadAt(p, pos)
	}
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", pos+int64(n), err)
}

// ReadAt reads the file, its holes as zeros.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	return tree.ReadExtents(p, off, c.Size, c.extents(), c.extent, func(p []byte, i int, skip int64) (int, error) {
		if len(c.inline) > 0 {
			return copy(p, c.inline[skip:]), nil
		}
		return 0, c.read(p, c.Runs[i].DiskOffset(c.vol.block)+skip)
	})
}

// add appends a run, or extends the last one.
func (c *Content) add(r disk.Run) {
	if k := len(c.Runs); k > 0 {
		last := &c.Runs[k-1]
		if last.End() == uint64(r.Logical) && last.Physical+uint64(last.Blocks) == r.Physical && last.Blocks <= math.MaxUint32-r.Blocks {
			last.Blocks += r.Blocks
			return
		}
	}
	c.Runs = append(c.Runs, r)
}

// FindContent sets c to the content of ino: it reads the extent tree or block map and checks
// that all blocks are in the image. It claims the blocks in owned, which may be nil.
func (vol *Volume) FindContent(c *Content, ino *Inode, owned *Claims) error {
	*c = Content{vol: vol, Size: int64(ino.Size)}
	c.Runs = c.room[:0]
	if ino.Flags&disk.FlagInlineData != 0 {
		return vol.findInline(c, ino)
	}
	if ino.Size > disk.ExtentMaxLogical*uint64(vol.block) {
		return disk.Corrupt(ino.Off, "inode %d has %d bytes", ino.Number, ino.Size)
	}
	if owned == nil && ino.Flags&disk.FlagExtents == 0 {
		owned = &Claims{BlockSize: vol.block} // ends a map that uses a block over and over
	}
	claim := func(block, n uint64) error {
		c.Blocks += int64(n)
		if end := vol.Super.Blocks(); block == 0 || block > end || n > end-block {
			return disk.Broken("blocks %d to %d of %d", block, block+n, end)
		}
		return owned.Add(block, n)
	}
	err := vol.eachRun(ino, claim, func(r disk.Run, unwritten bool) error { return c.visit(ino, r, unwritten) })
	if err != nil {
		return fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return nil
}

// eachRun calls visit for the blocks of ino in order, whether they are found by an extent tree
// or by a block map. It calls claim before for these blocks, and for those that lead to them;
// claim checks that they are in the file system. unwritten says that the blocks were reserved
// and never written.
func (vol *Volume) eachRun(ino *Inode, claim func(block, n uint64) error, visit func(r disk.Run, unwritten bool) error) error {
	read := func(block uint64) ([]byte, error) {
		if err := claim(block, 1); err != nil {
			return nil, err
		}
		b := make([]byte, vol.block)
		return b, vol.ReadBlock(b, block)
	}
	visitRun := func(r disk.Run, unwritten bool) error {
		if err := claim(r.Physical, uint64(r.Blocks)); err != nil {
			return err
		}
		return visit(r, unwritten)
	}
	if ino.Flags&disk.FlagExtents == 0 {
		w := disk.MapReader{Read: read, Visit: func(r disk.Run) error { return visitRun(r, false) }}
		return w.Walk(ino.Block[:], int(vol.block))
	}
	w := disk.ExtentReader{Visit: visitRun, Read: func(block uint64) ([]byte, error) {
		b, err := read(block)
		if err == nil && vol.Super.HasSums() && disk.StoredExtentSum(b) != ino.Sum.ExtentBlock(b) {
			err = disk.Broken("extent node in block %d has a wrong checksum", block)
		}
		return b, err
	}}
	return w.Walk(ino.Block[:])
}

// visit adds an extent of ino to the runs. It leaves out blocks after the end of the
// file, which are reserved for later writes, belong to verity, or were about to be
// truncated when the system crashed.
func (c *Content) visit(ino *Inode, r disk.Run, unwritten bool) error {
	end := disk.DivUp(uint64(c.Size), uint64(c.vol.block))
	switch {
	case r.End() > end && !unwritten && ino.Flags&disk.FlagVerity == 0 && !c.vol.Super.HasOrphans():
		return disk.Broken("data up to block %d of a file of %d", r.End(), end)
	case unwritten && ino.Type() == tree.Dir:
		return disk.Broken("part of a directory was never written")
	case unwritten || uint64(r.Logical) >= end:
		return nil
	}
	r.Blocks = uint32(min(r.End(), end) - uint64(r.Logical))
	c.add(r)
	return nil
}

// ReadDir returns the entries of the directory ino in the order of its blocks, and its
// content. It checks the entries "." and "..", and leaves them out. It claims the
// directory's blocks in owned, which may be nil.
func (vol *Volume) ReadDir(ino *Inode, parent uint32, owned *Claims) (list []disk.Dirent, c *Content, err error) {
	if ino.Flags&disk.FlagInlineData != 0 {
		return vol.readInlineDir(ino, parent)
	}
	c = new(Content)
	if err := vol.FindContent(c, ino, owned); err != nil {
		return nil, nil, err
	}
	if ino.Size == 0 || ino.Size%uint64(vol.block) != 0 || c.Extents() != nil {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d has %d bytes, or holes", ino.Number, ino.Size)
	}
	seen, block := make(Set), make([]byte, vol.block)
	if owned != nil {
		seen = owned.DirBlocks
	}
	for _, r := range c.Runs {
		for at := r.Physical; at < r.Physical+uint64(r.Blocks); at++ {
			if !seen.Add(at) {
				return nil, nil, disk.Corrupt(ino.Off, "directory %d has block %d, which belongs to more than one file", ino.Number, at)
			}
			if list, err = vol.readDirBlock(list, block, at, ino); err != nil {
				return nil, nil, fmt.Errorf("directory %d at byte %d, block %d: %w", ino.Number, ino.Off, at, err)
			}
		}
	}
	if len(list) < 2 || list[0].Name != "." || list[0].Ino != ino.Number || list[1].Name != ".." || list[1].Ino != parent {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d does not begin with itself and its parent %d", ino.Number, parent)
	}
	return list[2:], c, nil
}

// readDirBlock reads the block at, one of the directory ino, and appends its entries to list.
func (vol *Volume) readDirBlock(list []disk.Dirent, block []byte, at uint64, ino *Inode) ([]disk.Dirent, error) {
	if err := vol.ReadBlock(block, at); err != nil {
		return nil, err
	}
	if vol.Super.HasSums() {
		if err := disk.CheckDirBlock(block, ino.Flags&disk.FlagIndex != 0, ino.Sum); err != nil {
			return nil, err
		}
	}
	return disk.AppendDirents(list, block)
}
