package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

const (
	copyBuf  = 256 << 10
	smallMax = blockio.PageSize / 2 // contents up to this come through the pages
)

// content is the data of a file in an image. It is a tree.Content and an
// io.ReaderAt over the whole file, holes included.
type content struct {
	vol    *volume
	size   int64
	runs   []disk.Run // written blocks, ascending; between them are holes
	blocks int64      // on disk for the file: data, also such that was never written, and extent nodes
	one    [1]disk.Run
}

// extents are the runs as an Entry has them: nil if there are no holes.
func (c *content) extents() []tree.Extent {
	if len(c.runs) == 1 && c.runs[0].Logical == 0 && c.runs[0].Bytes(c.size) == c.size {
		return nil
	}
	xs := make([]tree.Extent, 0, len(c.runs))
	for _, r := range c.runs {
		if k := len(xs); k > 0 && xs[k-1].End() == r.Offset() {
			xs[k-1].Len += r.Bytes(c.size)
			continue
		}
		xs = append(xs, tree.Extent{Off: r.Offset(), Len: r.Bytes(c.size)})
	}
	if len(xs) == 1 && xs[0].Len == c.size {
		return nil
	}
	return xs
}

var buffers = sync.Pool{New: func() any { return new([copyBuf]byte) }}

// WriteTo writes the data without the holes.
func (c *content) WriteTo(w io.Writer) (total int64, err error) {
	buf := buffers.Get().(*[copyBuf]byte)
	defer buffers.Put(buf)
	for _, r := range c.runs {
		pos := r.DiskOffset()
		for rest := r.Bytes(c.size); rest > 0; {
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

// read fills p from pos on the disk.
func (c *content) read(p []byte, pos int64) error {
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
func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	if rest := c.size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].Offset()+c.runs[i].Bytes(c.size) > off })
	for n < len(p) {
		at, hole := off+int64(n), c.size
		if i < len(c.runs) {
			hole = c.runs[i].Offset()
		}
		if at < hole {
			k := int(min(int64(len(p)-n), hole-at))
			clear(p[n : n+k])
			n += k
			continue
		}
		r := c.runs[i]
		skip := at - r.Offset()
		k := int(min(int64(len(p)-n), r.Bytes(c.size)-skip))
		if err := c.read(p[n:n+k], r.DiskOffset()+skip); err != nil {
			return n, err
		}
		n += k
		i++
	}
	return n, err
}

// add appends a run, or extends the last one.
func (c *content) add(r disk.Run) {
	if k := len(c.runs); k > 0 {
		last := &c.runs[k-1]
		if last.End() == uint64(r.Logical) && last.Physical+uint64(last.Blocks) == r.Physical && last.Blocks <= math.MaxUint32-r.Blocks {
			last.Blocks += r.Blocks
			return
		}
	}
	c.runs = append(c.runs, r)
}

// find fills c, empty, with where the data of ino is, and checks that all of it is
// in the image. What it finds is claimed in owned, if that is not nil.
func (vol *volume) find(c *content, ino *foundInode, owned *claims) error {
	*c = content{vol: vol, size: int64(ino.Size)}
	c.runs = c.one[:0]
	switch {
	case ino.Size > disk.ExtentMaxLogical*disk.BlockSize:
		return disk.Corrupt(ino.off, "inode %d has %d bytes", ino.number, ino.Size)
	case ino.Flags&disk.FlagExtents == 0:
		return disk.Unsupported(ino.off, "inode %d has a block map in place of extents", ino.number)
	}
	claim := func(block, n uint64) error {
		c.blocks += int64(n)
		if end := vol.super.Blocks(); block == 0 || block > end || n > end-block {
			return disk.Corrupt(ino.off, "inode %d has blocks %d to %d of %d", ino.number, block, block+n, end)
		}
		return owned.add(block, n)
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
		return fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	return nil
}

// visit takes an extent of ino. Blocks behind the end of the file are
// reserved for what may be written there, or belong to verity.
func (c *content) visit(ino *foundInode, r disk.Run, unwritten bool) error {
	end := uint64(c.size+disk.BlockSize-1) / disk.BlockSize
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

func (vol *volume) readExtentNode(ino *foundInode, block uint64) ([]byte, error) {
	b := make([]byte, disk.BlockSize)
	if err := vol.readBlock(b, block); err != nil {
		return nil, err
	}
	if sum := ino.sum.ExtentBlock(b); vol.super.HasSums() && binary.LittleEndian.Uint32(b[disk.ExtentSumOffset:]) != sum {
		return nil, disk.Broken("extent node in block %d has a wrong checksum", block)
	}
	return b, nil
}

// readDir reads the directory ino in the order of its blocks, without the dots,
// which are checked.
func (vol *volume) readDir(ino *foundInode, parent uint32, owned *claims) (list []disk.Dirent, c *content, err error) {
	c = new(content)
	if err := vol.find(c, ino, owned); err != nil {
		return nil, nil, err
	}
	if ino.Size == 0 || ino.Size%disk.BlockSize != 0 || c.extents() != nil {
		return nil, nil, disk.Corrupt(ino.off, "directory %d has %d bytes, or holes", ino.number, ino.Size)
	}
	seen := make(numbers)
	if owned != nil {
		seen = owned.dirs
	}
	for _, r := range c.runs {
		for at := r.Physical; at < r.Physical+uint64(r.Blocks); at++ {
			if !seen.add(at) {
				return nil, nil, disk.Corrupt(ino.off, "directory %d has block %d, which belongs to more than one file", ino.number, at)
			}
			if list, err = vol.readDirBlock(list, at, ino); err != nil {
				return nil, nil, fmt.Errorf("directory %d at byte %d, block %d: %w", ino.number, ino.off, at, err)
			}
		}
	}
	if len(list) < 2 || list[0].Name != "." || list[0].Ino != ino.number || list[1].Name != ".." || list[1].Ino != parent {
		return nil, nil, disk.Corrupt(ino.off, "directory %d does not begin with itself and its parent %d", ino.number, parent)
	}
	return list[2:], c, nil
}

// readDirBlock appends what is in a block of the directory ino to list.
func (vol *volume) readDirBlock(list []disk.Dirent, at uint64, ino *foundInode) ([]disk.Dirent, error) {
	var block [disk.BlockSize]byte
	if err := vol.readBlock(block[:], at); err != nil {
		return nil, err
	}
	if vol.super.HasSums() {
		if err := disk.CheckDirBlock(block[:], ino.Flags&disk.FlagIndex != 0, ino.sum); err != nil {
			return nil, err
		}
	}
	return disk.AppendDirents(list, block[:])
}
