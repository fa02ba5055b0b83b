package read

import (
	"fmt"
	"io"
	"os"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

const (
	copyBuf  = 256 << 10
	smallMax = blockio.PageSize / 2 // longest read that goes through the pages
	maxRuns  = 1 << 22              // most runs of a file
)

// Content is the data of a file in an image. It is a [tree.RandomContent]. Several
// goroutines may use it at once.
type Content struct {
	img   *Image
	size  int64
	runs  []Run // ascending, with holes between them
	err   error // why the data cannot be read; the entry of the file is valid nevertheless
	small [1]Run
	z     *compressed // if the file is compressed; there are no runs then
}

var _ tree.RandomContent = (*Content)(nil)

// Run is a piece of a file's data, in bytes: Extent is where it is in the file, and Pos
// where it begins on a device. Device 0 is the image itself, n the one with slot n-1.
type Run struct {
	tree.Extent
	Pos    int64
	Device int
}

// Image returns the image that has the file.
func (c *Content) Image() *Image { return c.img }

// Size is the length of the file in bytes, holes included.
func (c *Content) Size() int64 { return c.size }

// Err says why the data cannot be read: it is on a device that was not given to Open, or
// compressed by an algorithm that is not supported. It is nil if the data can be read; but
// compressed data is decoded, and so checked, only when it is read.
func (c *Content) Err() error { return c.err }

// Runs returns the pieces of the data in ascending order, with holes between them. The
// caller must not change the slice. If Err is not nil, runs may be missing. A compressed file
// has no runs, see Clusters.
func (c *Content) Runs() []Run { return c.runs }

// Start returns where the data of the file begins: at pos of a device as in Run, also if that
// device follows the image in the same file, or, as device -1, in the file for parts of files.
// ok is false if there are no data, or their place is not known.
func (c *Content) Start() (device int, pos int64, ok bool) {
	if len(c.runs) > 0 {
		device, pos = c.onDevice(c.runs[0].Device, c.runs[0].Pos)
		return device, pos, true
	}
	for x, err := range c.Clusters() {
		switch {
		case err != nil:
			return 0, 0, false
		case isHole(&x):
			continue
		case x.Fragment:
			return -1, x.Pos, true
		}
		if device, pos, err = c.locateCluster(&x); err != nil {
			return 0, 0, false
		}
		device, pos = c.onDevice(device, pos)
		return device, pos, true
	}
	return 0, 0, false
}

// onDevice is the device of which the image itself, device 0, has the byte at pos, and where it
// is there.
func (c *Content) onDevice(device int, pos int64) (int, int64) {
	if device != 0 {
		return device, pos
	}
	device, block := c.img.resolve(pos / c.img.bs)
	return device, block*c.img.bs + pos%c.img.bs
}

// Extents returns where the file has data, in the form of tree.Entry.Extents: nil if the
// file has no hole. It also returns nil if Err is not nil.
func (c *Content) Extents() []tree.Extent {
	if c.err != nil {
		return nil
	}
	if c.z != nil {
		return c.z.data
	}
	xs := []tree.Extent{}
	for _, r := range c.runs {
		if k := len(xs); k > 0 && xs[k-1].End() == r.Off {
			xs[k-1].Len += r.Len
			continue
		}
		xs = append(xs, r.Extent)
	}
	if len(xs) == 1 && xs[0].Len == c.size {
		return nil
	}
	return xs
}

var buffers = sync.Pool{New: func() any { return new([copyBuf]byte) }}

// WriteTo writes the data without the holes, one run after the other.
func (c *Content) WriteTo(w io.Writer) (total int64, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.z != nil {
		return c.decodeTo(w)
	}
	buf := buffers.Get().(*[copyBuf]byte)
	defer buffers.Put(buf)
	for _, r := range c.runs {
		for r.Len > 0 {
			b := buf[:min(r.Len, copyBuf)]
			if err := c.read(b, r.Device, r.Pos); err != nil {
				return total, err
			}
			file, _ := c.img.device(r.Device).R.(*os.File)
			n, err := blockio.WriteFrom(w, file, r.Pos, b)
			total += int64(n)
			if err != nil {
				return total, err
			}
			r.Pos, r.Len = r.Pos+int64(n), r.Len-int64(n)
		}
	}
	return total, nil
}

// read fills p from byte pos of a device on.
func (c *Content) read(p []byte, device int, pos int64) error {
	from := c.img.device(device)
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

// ReadAt reads the file as a machine sees it: Size bytes, holes as zeros.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.z != nil {
		return c.decodeAt(p, off)
	}
	return tree.ReadExtents(p, off, c.size, len(c.runs), func(i int) tree.Extent { return c.runs[i].Extent }, func(p []byte, i int, skip int64) (int, error) {
		return 0, c.read(p, c.runs[i].Device, c.runs[i].Pos+skip)
	})
}

// add appends a run, or extends the last one.
func (c *Content) add(r Run) {
	if k := len(c.runs); k > 0 {
		if last := &c.runs[k-1]; last.End() == r.Off && last.Pos+last.Len == r.Pos && last.Device == r.Device {
			last.Len += r.Len
			return
		}
	}
	c.runs = append(c.runs, r)
}

// content returns the content of ino. It checks that all of the data is in the image or on
// a device. If the data cannot be read, Err of the content says why.
func (img *Image) content(ino *inode) (*Content, error) {
	c := new(Content)
	return c, img.locate(c, ino)
}

// locate is content for c, which is already allocated and empty.
func (img *Image) locate(c *Content, ino *inode) (err error) {
	c.img, c.size = img, ino.Size
	c.runs = c.small[:0]
	switch ino.Layout {
	case disk.FlatPlain:
		err = img.plainRuns(c, ino, ino.Size)
	case disk.FlatInline:
		err = img.inlineRuns(c, ino)
	case disk.ChunkBased:
		err = img.chunkRuns(c, ino)
	default:
		err = img.openCompressed(c, ino)
	}
	return err
}

// plainRuns adds the first n bytes of the file, which are in consecutive whole blocks.
func (img *Image) plainRuns(c *Content, ino *inode, n int64) error {
	if n == 0 || ino.Data == disk.NullBlock && (!ino.Extended && !ino.HasHigh || ino.High == 0xFFFF) && ino.Layout == disk.FlatPlain {
		return nil // the whole file is a hole, since Linux 6.15
	}
	if ino.High != 0 && img.super.Incompat&disk.Incompat48Bit != 0 {
		return unsupported(ino.off, "data of inode %d at block %#x, with 48-bit addresses", ino.nid, uint64(ino.High)<<32|uint64(ino.Data))
	} else if ino.High != 0 {
		return corrupt(ino.off, "data of inode %d at block %#x, without 48-bit addresses", ino.nid, uint64(ino.High)<<32|uint64(ino.Data))
	}
	return img.addBlocks(c, ino, tree.Extent{Len: n}, 0, ino.Data)
}

// inlineRuns adds the whole blocks, and the end of the data, which follows the inode.
func (img *Image) inlineRuns(c *Content, ino *inode) error {
	if ino.Size == 0 {
		return nil
	}
	whole := (disk.Blocks(ino.Size, img.bs) - 1) * img.bs
	if err := img.plainRuns(c, ino, whole); err != nil {
		return err
	}
	tail := Run{Extent: tree.Extent{Off: whole, Len: ino.Size - whole}, Pos: ino.end()}
	if tail.Pos%img.bs+tail.Len > img.bs {
		return corrupt(ino.off, "inline data of inode %d crosses a block boundary", ino.nid)
	}
	if tail.Len > img.own.Size-tail.Pos {
		return corrupt(tail.Pos, "inline data of inode %d is beyond the end of the image", ino.nid)
	}
	c.add(tail)
	return nil
}

// chunkRuns adds the data that the chunk map lists.
func (img *Image) chunkRuns(c *Content, ino *inode) error {
	if format := ino.Data & disk.ChunkFormatMask; format&^(disk.ChunkBitsMask|disk.ChunkIndexes) != 0 {
		return unsupported(ino.off, "chunk format %#x of inode %d", format, ino.nid)
	}
	chunk, unit := ino.Chunks(img.bs)
	pos, count := disk.RoundUp(ino.end(), unit), disk.Blocks(ino.Size, chunk)
	if pos > img.own.Size || count > (img.own.Size-pos)/unit {
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
		if err := img.addBlocks(c, ino, tree.Extent{Off: i * chunk, Len: min(chunk, ino.Size-i*chunk)}, device, block); err != nil {
			return err
		}
		if len(c.runs) > maxRuns {
			return unsupported(ino.off, "inode %d has more than %d extents", ino.nid, maxRuns)
		}
	}
	return nil
}

// addBlocks adds the data of x, which begins at the given block of a device. For device 0
// the block is an address that runs through the image and all devices.
func (img *Image) addBlocks(c *Content, ino *inode, x tree.Extent, device uint16, block uint32) error {
	r := Run{Extent: x}
	at, n := int64(block), len(img.devices)
	if n > 0 {
		r.Device = int(device & deviceMask(n))
	}
	if r.Device > n {
		return corrupt(ino.off, "inode %d has data on device %d of %d", ino.nid, r.Device, n)
	}
	if r.Device == 0 && n > 0 {
		r.Device, at = img.resolve(at)
	}
	home, at, end, err := img.home(r.Device, at)
	if err != nil {
		c.err = fmt.Errorf("byte %d: %w", ino.off, err)
		return nil
	}
	r.Device, r.Pos = home, at*img.bs
	if r.Pos > end || r.Len > end-r.Pos {
		return corrupt(ino.off, "data of inode %d at block %d is beyond the end of %s", ino.nid, block, img.deviceName(r.Device))
	}
	c.add(r)
	return nil
}

// home returns where block at of a device is, and the offset of the end of the device there: a
// device may follow the image in the same file.
func (img *Image) home(device int, at int64) (int, int64, int64, error) {
	if device == 0 {
		return 0, at, img.own.Size, nil
	}
	switch slot := &img.devices[device-1]; {
	case img.extra != nil:
		return device, at, img.extra[device-1].Size, nil
	case img.holds(slot):
		return 0, at + int64(slot.First), img.endOf(slot), nil
	}
	return device, at, 0, fmt.Errorf("data on device %d: %w", device, ErrNoDevice)
}

// deviceMask has the bits of a device id that the kernel looks at if an image has n devices.
func deviceMask(n int) uint16 {
	mask := uint16(1)
	for int(mask) < n {
		mask = mask<<1 | 1
	}
	return mask
}

// Addressable returns an error that wraps ErrNotAddressable if another image cannot refer
// to the data: it can refer only to whole blocks of the image itself.
func (c *Content) Addressable() error {
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrNotAddressable, c.err)
	}
	if c.z != nil {
		return c.addressableZ()
	}
	for _, r := range c.runs {
		switch {
		case r.Device != 0:
			return fmt.Errorf("%w: data on another device", ErrNotAddressable)
		case r.Pos%c.img.bs != 0:
			return fmt.Errorf("%w: its end follows its inode, and is not in a block of its own", ErrNotAddressable)
		}
	}
	return nil
}
