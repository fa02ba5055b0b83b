package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

const (
	copyBuf  = 256 << 10
	smallMax = blockio.PageSize / 2 // contents up to this come through the pages
)

// content is the data of a file in an image. It is a tree.Content and an
// io.ReaderAt over the whole file, holes included.
type content struct {
	img    *Image
	size   int64
	runs   []run // written blocks, ascending; between them are holes
	blocks int64 // on disk for the file: data, also such that was never written, and extent nodes
	one    [1]run
}

// extents are the runs as an Entry has them: nil if there are no holes.
func (c *content) extents() []tree.Extent {
	if len(c.runs) == 1 && c.runs[0].logical == 0 && c.runs[0].length(c.size) == c.size {
		return nil
	}
	xs := make([]tree.Extent, 0, len(c.runs))
	for _, r := range c.runs {
		if k := len(xs); k > 0 && xs[k-1].End() == r.at() {
			xs[k-1].Len += r.length(c.size)
			continue
		}
		xs = append(xs, tree.Extent{Off: r.at(), Len: r.length(c.size)})
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
		pos := r.disk()
		for rest := r.length(c.size); rest > 0; {
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
		n, err = c.img.pages.ReadAt(p, pos)
	} else {
		n, err = c.img.r.ReadAt(p, pos)
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
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].at()+c.runs[i].length(c.size) > off })
	for n < len(p) {
		at, hole := off+int64(n), c.size
		if i < len(c.runs) {
			hole = c.runs[i].at()
		}
		if at < hole {
			k := int(min(int64(len(p)-n), hole-at))
			clear(p[n : n+k])
			n += k
			continue
		}
		r := c.runs[i]
		skip := at - r.at()
		k := int(min(int64(len(p)-n), r.length(c.size)-skip))
		if err := c.read(p[n:n+k], r.disk()+skip); err != nil {
			return n, err
		}
		n += k
		i++
	}
	return n, err
}

// add appends a run, or extends the last one.
func (c *content) add(r run) {
	if k := len(c.runs); k > 0 {
		last := &c.runs[k-1]
		if last.end() == uint64(r.logical) && last.physical+uint64(last.blocks) == r.physical && last.blocks <= math.MaxUint32-r.blocks {
			last.blocks += r.blocks
			return
		}
	}
	c.runs = append(c.runs, r)
}

// find fills c, empty, with where the data of ino is, and checks that all of it is
// in the image. What it finds is claimed in owned, if that is not nil.
func (img *Image) find(c *content, ino *foundInode, owned *claims) error {
	*c = content{img: img, size: int64(ino.Size)}
	c.runs = c.one[:0]
	switch {
	case ino.Size > extentMaxLogical*blockSize:
		return corrupt(ino.off, "inode %d has %d bytes", ino.number, ino.Size)
	case ino.Flags&flagExtents == 0:
		return unsupported(ino.off, "inode %d has a block map in place of extents", ino.number)
	}
	claim := func(block, n uint64) error {
		c.blocks += int64(n)
		if end := img.super.blocks(); block == 0 || block > end || n > end-block {
			return corrupt(ino.off, "inode %d has blocks %d to %d of %d", ino.number, block, block+n, end)
		}
		return owned.add(block, n)
	}
	w := extentWalk{
		read: func(block uint64) ([]byte, error) {
			if err := claim(block, 1); err != nil {
				return nil, err
			}
			return img.readExtentNode(ino, block)
		},
		visit: func(r run, unwritten bool) error {
			if err := claim(r.physical, uint64(r.blocks)); err != nil {
				return err
			}
			return c.visit(ino, r, unwritten)
		},
	}
	if err := w.walk(ino.Block[:]); err != nil {
		return fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	return nil
}

// visit takes an extent of ino. Blocks behind the end of the file are
// reserved for what may be written there, or belong to verity.
func (c *content) visit(ino *foundInode, r run, unwritten bool) error {
	end := uint64(c.size+blockSize-1) / blockSize
	switch {
	case r.end() > end && !unwritten && ino.Flags&flagVerity == 0:
		return broken("data up to block %d of a file of %d", r.end(), end)
	case unwritten && ino.kind() == tree.Dir:
		return broken("part of a directory was never written")
	case unwritten || uint64(r.logical) >= end:
		return nil
	}
	r.blocks = uint32(min(r.end(), end) - uint64(r.logical))
	c.add(r)
	return nil
}

func (img *Image) readExtentNode(ino *foundInode, block uint64) ([]byte, error) {
	b := make([]byte, blockSize)
	if err := img.readBlock(b, block); err != nil {
		return nil, err
	}
	if sum := ino.sum.extentBlock(b); img.super.hasSums() && binary.LittleEndian.Uint32(b[extentSumOffset:]) != sum {
		return nil, broken("extent node in block %d has a wrong checksum", block)
	}
	return b, nil
}

// readDir reads the directory ino in the order of its blocks, without the dots,
// which are checked.
func (img *Image) readDir(ino *foundInode, parent uint32, owned *claims) (list []dirent, c *content, err error) {
	c = new(content)
	if err := img.find(c, ino, owned); err != nil {
		return nil, nil, err
	}
	if ino.Size == 0 || ino.Size%blockSize != 0 || c.extents() != nil {
		return nil, nil, corrupt(ino.off, "directory %d has %d bytes, or holes", ino.number, ino.Size)
	}
	seen := make(numbers)
	if owned != nil {
		seen = owned.dirs
	}
	for _, r := range c.runs {
		for at := r.physical; at < r.physical+uint64(r.blocks); at++ {
			if !seen.add(at) {
				return nil, nil, corrupt(ino.off, "directory %d has block %d, which belongs to more than one file", ino.number, at)
			}
			if list, err = img.readDirBlock(list, at, ino); err != nil {
				return nil, nil, fmt.Errorf("directory %d at byte %d, block %d: %w", ino.number, ino.off, at, err)
			}
		}
	}
	if len(list) < 2 || list[0].name != "." || list[0].ino != ino.number || list[1].name != ".." || list[1].ino != parent {
		return nil, nil, corrupt(ino.off, "directory %d does not begin with itself and its parent %d", ino.number, parent)
	}
	return list[2:], c, nil
}

// readDirBlock appends what is in a block of the directory ino to list.
func (img *Image) readDirBlock(list []dirent, at uint64, ino *foundInode) ([]dirent, error) {
	var block [blockSize]byte
	if err := img.readBlock(block[:], at); err != nil {
		return nil, err
	}
	if img.super.hasSums() {
		if err := checkDirBlock(block[:], ino.Flags&flagIndex != 0, ino.sum); err != nil {
			return nil, err
		}
	}
	return appendDirents(list, block[:])
}
