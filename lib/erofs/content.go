package erofs

import (
	"fmt"
	"io"
	"os"
	"sort"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

const (
	copyBuf  = 256 << 10
	smallMax = blockio.PageSize / 2 // contents up to this come through the pages
	maxRuns  = 1 << 22              // of one file
)

// content is the data of a file in an image. It is a tree.Content and an
// io.ReaderAt over the whole file, holes included.
type content struct {
	img  *Image
	size int64
	runs []run // ascending; between them are holes
	err  error // why the data cannot be had, though all else is known
	one  [1]run
}

// run is a piece of data: n bytes at off in the file, at pos on a device. Device 0
// is the image itself.
type run struct {
	off, n, pos int64
	device      int
}

// extents are the runs as an Entry has them.
func (c *content) extents() []tree.Extent {
	if c.err != nil {
		return nil
	}
	xs := []tree.Extent{}
	for _, r := range c.runs {
		if k := len(xs); k > 0 && xs[k-1].End() == r.off {
			xs[k-1].Len += r.n
			continue
		}
		xs = append(xs, tree.Extent{Off: r.off, Len: r.n})
	}
	if len(xs) == 1 && xs[0].Len == c.size {
		return nil
	}
	return xs
}

var buffers = sync.Pool{New: func() any { return new([copyBuf]byte) }}

// WriteTo writes the data without the holes.
func (c *content) WriteTo(w io.Writer) (total int64, err error) {
	if c.err != nil {
		return 0, c.err
	}
	buf := buffers.Get().(*[copyBuf]byte)
	defer buffers.Put(buf)
	for _, r := range c.runs {
		for r.n > 0 {
			b := buf[:min(r.n, copyBuf)]
			if err := c.read(b, r.device, r.pos); err != nil {
				return total, err
			}
			file, _ := c.img.part(r.device).R.(*os.File)
			n, err := blockio.WriteFrom(w, file, r.pos, b)
			total += int64(n)
			if err != nil {
				return total, err
			}
			r.pos, r.n = r.pos+int64(n), r.n-int64(n)
		}
	}
	return total, nil
}

// read fills p from pos on a device.
func (c *content) read(p []byte, device int, pos int64) error {
	from := c.img.part(device)
	var n int
	var err error
	if len(p) <= smallMax {
		n, err = from.pages.ReadAt(p, pos)
	} else {
		n, err = from.R.ReadAt(p, pos)
	}
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%sbyte %d: %w", from.prefix(), pos+int64(n), err)
}

// ReadAt reads the file, its holes as zeros.
func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	if rest := c.size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].off+c.runs[i].n > off })
	for n < len(p) {
		hole := c.size
		if i < len(c.runs) {
			hole = c.runs[i].off
		}
		if at := off + int64(n); at < hole {
			k := min(int64(len(p)-n), hole-at)
			clear(p[n : n+int(k)])
			n += int(k)
			continue
		}
		r := c.runs[i]
		skip := off + int64(n) - r.off
		k := min(int64(len(p)-n), r.n-skip)
		if err := c.read(p[n:n+int(k)], r.device, r.pos+skip); err != nil {
			return n, err
		}
		n += int(k)
		i++
	}
	return n, err
}

// add appends a run, or extends the last one.
func (c *content) add(r run) {
	if k := len(c.runs); k > 0 {
		if last := &c.runs[k-1]; last.off+last.n == r.off && last.pos+last.n == r.pos && last.device == r.device {
			last.n += r.n
			return
		}
	}
	c.runs = append(c.runs, r)
}

// data finds the data of ino, and checks that all of it is in the image. Data that
// this package cannot read leaves its reason in the content.
func (img *Image) data(ino *foundInode) (*content, error) {
	c := new(content)
	return c, img.find(c, ino)
}

// find is data for a content that is there already, empty.
func (img *Image) find(c *content, ino *foundInode) (err error) {
	c.img, c.size = img, ino.Size
	c.runs = c.one[:0]
	switch ino.Layout {
	case disk.FlatPlain:
		err = img.plainRuns(c, ino, ino.Size)
	case disk.FlatInline:
		err = img.inlineRuns(c, ino)
	case disk.ChunkBased:
		err = img.chunkRuns(c, ino)
	default:
		c.err = unsupported(ino.off, "compressed data")
	}
	return err
}

// plainRuns adds the first n bytes, which are whole blocks.
func (img *Image) plainRuns(c *content, ino *foundInode, n int64) error {
	if n == 0 || ino.Data == disk.NullBlock && (!ino.Extended || ino.High == 0xFFFF) && ino.Layout == disk.FlatPlain {
		return nil // a hole of the size of the file, since Linux 6.15
	}
	if ino.High != 0 {
		return corrupt(ino.off, "data of inode %d at block %#x, without 48-bit addresses", ino.nid, uint64(ino.High)<<32|uint64(ino.Data))
	}
	return img.addBlocks(c, ino, run{n: n}, 0, ino.Data)
}

// inlineRuns adds whole blocks and the end of the data behind the inode.
func (img *Image) inlineRuns(c *content, ino *foundInode) error {
	if ino.Size == 0 {
		return nil
	}
	whole := (disk.Blocks(ino.Size, img.bs) - 1) * img.bs
	if err := img.plainRuns(c, ino, whole); err != nil {
		return err
	}
	tail := run{off: whole, n: ino.Size - whole, pos: ino.end()}
	if tail.pos%img.bs+tail.n > img.bs {
		return corrupt(ino.off, "inline data of inode %d crosses a block boundary", ino.nid)
	}
	if tail.n > img.self.Size-tail.pos {
		return corrupt(tail.pos, "inline data of inode %d is beyond the end of the image", ino.nid)
	}
	c.add(tail)
	return nil
}

// chunkRuns adds what the chunk map says.
func (img *Image) chunkRuns(c *content, ino *foundInode) error {
	if format := ino.Data & disk.ChunkFormatMask; format&^(disk.ChunkBitsMask|disk.ChunkIndexes) != 0 {
		return unsupported(ino.off, "chunk format %#x of inode %d", format, ino.nid)
	}
	chunk, unit := ino.Chunks(img.bs)
	pos, count := disk.RoundUp(ino.end(), unit), disk.Blocks(ino.Size, chunk)
	if pos > img.self.Size || count > (img.self.Size-pos)/unit {
		return corrupt(pos, "chunk map of inode %d is beyond the end of the image", ino.nid)
	}
	var buf [4096]byte
	for i := int64(0); i < count; i++ {
		at := i * unit % int64(len(buf))
		if at == 0 {
			if err := img.read(buf[:min(int64(len(buf)), (count-i)*unit)], pos+i*unit); err != nil {
				return err
			}
		}
		var device uint16
		block := uint32(0)
		if unit == disk.ChunkIndexSize {
			device, block = disk.DecodeChunkIndex(buf[at:])
		} else {
			block = disk.DecodeChunkEntry(buf[at:])
		}
		if block == disk.NullBlock {
			continue
		}
		if err := img.addBlocks(c, ino, run{off: i * chunk, n: min(chunk, ino.Size-i*chunk)}, device, block); err != nil {
			return err
		}
		if len(c.runs) > maxRuns {
			return unsupported(ino.off, "inode %d has more than %d extents", ino.nid, maxRuns)
		}
	}
	return nil
}

// addBlocks adds r, whose data begins at a block of a device. Device 0 is the
// image itself, or by the addresses that all devices have together any of them.
func (img *Image) addBlocks(c *content, ino *foundInode, r run, device uint16, block uint32) error {
	at, n := int64(block), len(img.devices)
	if n > 0 {
		r.device = int(device & deviceMask(n))
	}
	if r.device > n {
		return corrupt(ino.off, "inode %d has data on device %d of %d", ino.nid, r.device, n)
	}
	if r.device == 0 && n > 0 {
		r.device, at = img.resolve(at)
	}
	end := img.self.Size
	if r.device > 0 {
		switch slot := &img.devices[r.device-1]; {
		case img.extra != nil:
			end = img.extra[r.device-1].Size
		case img.holds(slot):
			r.device, at, end = 0, at+int64(slot.First), img.endOf(slot)
		default:
			c.err = fmt.Errorf("byte %d: data on device %d: %w", ino.off, r.device, ErrNoDevice)
			return nil
		}
	}
	r.pos = at * img.bs
	if r.pos > end || r.n > end-r.pos {
		return corrupt(ino.off, "data of inode %d at block %d is beyond the end of %s", ino.nid, block, img.deviceName(r.device))
	}
	c.add(r)
	return nil
}

// deviceMask is what the kernel makes of a device id: the bits that n devices need.
func deviceMask(n int) uint16 {
	mask := uint16(1)
	for int(mask) < n {
		mask = mask<<1 | 1
	}
	return mask
}

// addressable tells whether another image can refer to c: by whole blocks of the
// image in which it lies.
func (c *content) addressable() error {
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrNotAddressable, c.err)
	}
	for _, r := range c.runs {
		switch {
		case r.device != 0:
			return fmt.Errorf("%w: data on another device", ErrNotAddressable)
		case r.pos%c.img.bs != 0:
			return fmt.Errorf("%w: its end lies behind its inode, not in a block of its own", ErrNotAddressable)
		}
	}
	return nil
}
