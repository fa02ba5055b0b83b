package volume

import (
	"encoding/binary"
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
}

// Extents returns the runs in the form of tree.Entry.Extents: nil if the file has no holes.
func (c *Content) Extents() []tree.Extent {
	if len(c.Runs) == 1 && c.Runs[0].Logical == 0 && c.Runs[0].Bytes(c.Size) == c.Size {
		return nil
	}
	xs := make([]tree.Extent, 0, len(c.Runs))
	for _, r := range c.Runs {
		if k := len(xs); k > 0 && xs[k-1].End() == r.Offset() {
			xs[k-1].Len += r.Bytes(c.Size)
			continue
		}
		xs = append(xs, tree.Extent{Off: r.Offset(), Len: r.Bytes(c.Size)})
	}
	if len(xs) == 1 && xs[0].Len == c.Size {
		return nil
	}
	return xs
}

var buffers = sync.Pool{New: func() any { return new([copyBuf]byte) }}

// WriteTo writes the data without the holes.
func (c *Content) WriteTo(w io.Writer) (total int64, err error) {
	buf := buffers.Get().(*[copyBuf]byte)
	defer buffers.Put(buf)
	for _, r := range c.Runs {
		pos := r.DiskOffset()
		for rest := r.Bytes(c.Size); rest > 0; {
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
	extent := func(i int) tree.Extent {
		return tree.Extent{Off: c.Runs[i].Offset(), Len: c.Runs[i].Bytes(c.Size)}
	}
	return tree.ReadExtents(p, off, c.Size, len(c.Runs), extent, func(p []byte, i int, skip int64) (int, error) {
		return 0, c.read(p, c.Runs[i].DiskOffset()+skip)
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

// FindContent sets c to the content of ino: it reads the extent tree and checks that all
// blocks are in the image. It claims the blocks in owned, which may be nil.
func (vol *Volume) FindContent(c *Content, ino *Inode, owned *Claims) error {
	*c = Content{vol: vol, Size: int64(ino.Size)}
	c.Runs = c.room[:0]
	switch {
	case ino.Size > disk.ExtentMaxLogical*disk.BlockSize:
		return disk.Corrupt(ino.Off, "inode %d has %d bytes", ino.Number, ino.Size)
	case ino.Flags&disk.FlagExtents == 0:
		return disk.Unsupported(ino.Off, "inode %d has a block map in place of extents", ino.Number)
	}
	claim := func(block, n uint64) error {
		c.Blocks += int64(n)
		if end := vol.Super.Blocks(); block == 0 || block > end || n > end-block {
			return disk.Corrupt(ino.Off, "inode %d has blocks %d to %d of %d", ino.Number, block, block+n, end)
		}
		return owned.Add(block, n)
	}
	w := disk.ExtentReader{
		Read: func(block uint64) ([]byte, error) {
			if err := claim(block, 1); err != nil {
				return nil, err
			}
			return vol.readExtentNode(ino, block)
		},
		Visit: func(r disk.Run, unwritten bool) error {
			if err := claim(r.Physical, uint64(r.Blocks)); err != nil {
				return err
			}
			return c.visit(ino, r, unwritten)
		},
	}
	if err := w.Walk(ino.Block[:]); err != nil {
		return fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return nil
}

// visit adds an extent of ino to the runs. It leaves out blocks after the end of the
// file, which are reserved for later writes or belong to verity.
func (c *Content) visit(ino *Inode, r disk.Run, unwritten bool) error {
	end := uint64(c.Size+disk.BlockSize-1) / disk.BlockSize
	switch {
	case r.End() > end && !unwritten && ino.Flags&disk.FlagVerity == 0:
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

func (vol *Volume) readExtentNode(ino *Inode, block uint64) ([]byte, error) {
	b := make([]byte, disk.BlockSize)
	if err := vol.ReadBlock(b, block); err != nil {
		return nil, err
	}
	if sum := ino.Sum.ExtentBlock(b); vol.Super.HasSums() && binary.LittleEndian.Uint32(b[disk.ExtentSumOffset:]) != sum {
		return nil, disk.Broken("extent node in block %d has a wrong checksum", block)
	}
	return b, nil
}

// ReadDir returns the entries of the directory ino in the order of its blocks, and its
// content. It checks the entries "." and "..", and leaves them out. It claims the
// directory's blocks in owned, which may be nil.
func (vol *Volume) ReadDir(ino *Inode, parent uint32, owned *Claims) (list []disk.Dirent, c *Content, err error) {
	c = new(Content)
	if err := vol.FindContent(c, ino, owned); err != nil {
		return nil, nil, err
	}
	if ino.Size == 0 || ino.Size%disk.BlockSize != 0 || c.Extents() != nil {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d has %d bytes, or holes", ino.Number, ino.Size)
	}
	seen := make(Set)
	if owned != nil {
		seen = owned.DirBlocks
	}
	for _, r := range c.Runs {
		for at := r.Physical; at < r.Physical+uint64(r.Blocks); at++ {
			if !seen.Add(at) {
				return nil, nil, disk.Corrupt(ino.Off, "directory %d has block %d, which belongs to more than one file", ino.Number, at)
			}
			if list, err = vol.readDirBlock(list, at, ino); err != nil {
				return nil, nil, fmt.Errorf("directory %d at byte %d, block %d: %w", ino.Number, ino.Off, at, err)
			}
		}
	}
	if len(list) < 2 || list[0].Name != "." || list[0].Ino != ino.Number || list[1].Name != ".." || list[1].Ino != parent {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d does not begin with itself and its parent %d", ino.Number, parent)
	}
	return list[2:], c, nil
}

// readDirBlock appends to list the entries in the block at, one of the directory ino.
func (vol *Volume) readDirBlock(list []disk.Dirent, at uint64, ino *Inode) ([]disk.Dirent, error) {
	var block [disk.BlockSize]byte
	if err := vol.ReadBlock(block[:], at); err != nil {
		return nil, err
	}
	if vol.Super.HasSums() {
		if err := disk.CheckDirBlock(block[:], ino.Flags&disk.FlagIndex != 0, ino.Sum); err != nil {
			return nil, err
		}
	}
	return disk.AppendDirents(list, block[:])
}
