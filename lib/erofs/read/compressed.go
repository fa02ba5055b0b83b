package read

import (
	"fmt"
	"io"
	"iter"
	"sync"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// compression is what an image has for all of its compressed files.
type compression struct {
	params  z.Params
	benches sync.Pool // of *bench
	decoded extentCache

	once      sync.Once
	packed    *Content // the parts of files that have no clusters of their own
	packedErr error
}

// bench is what a goroutine needs to decode.
type bench struct {
	decoder *z.Decoder
	input   []byte // what is stored
}

// compressed is what a compressed file has more than others.
type compressed struct {
	file *z.File
	data []tree.Extent // where the file has data; nil if it has no hole
}

// maxRecords is more bytes than the records of all algorithms have.
const maxRecords = 512

// readCompression reads how the files of the image are compressed.
func (img *Image) readCompression() error {
	s := &img.super
	p := z.Params{
		R:         imageReader{img},
		End:       img.own.Size,
		BlockSize: img.bs,
		Big:       s.Incompat&disk.IncompatCompression != 0,
		Padded:    s.Incompat&disk.IncompatLZ4 != 0,
		Config:    z.Config{Algorithms: 1 << z.LZ4, Distance: s.Algorithms, PClusterBlocks: 1},
	}
	if p.Big {
		off := disk.SuperOffset + s.Size()
		b := make([]byte, min(maxRecords, img.own.Size-off))
		if err := img.read(b, off); err != nil {
			return err
		}
		var err error
		if p.Config, err = z.DecodeConfig(b, s.Algorithms, img.bs); err != nil {
			return fmt.Errorf("byte %d: %w", off, err)
		}
	}
	img.z = &compression{params: p}
	img.z.benches.New = func() any { return &bench{decoder: z.NewDecoder(&img.z.params)} }
	return nil
}

// headerOf is where the header of the compressed file ino is.
func headerOf(ino *inode) int64 { return disk.RoundUp(ino.end(), z.HeaderAlign) }

// openZ opens the index of the compressed file ino.
func (img *Image) openZ(ino *inode) (*z.File, error) {
	f, err := z.Open(&img.z.params, headerOf(ino), ino.Size, ino.Layout == disk.CompressedCompact)
	if err != nil {
		err = fmt.Errorf("byte %d: inode %d: %w", ino.off, ino.nid, err)
	}
	return f, err
}

// openCompressed is locate for a compressed file. Of its extents it reads only those that may
// be holes.
func (img *Image) openCompressed(c *Content, ino *inode) error {
	if ino.Size == 0 {
		return nil
	}
	f, err := img.openZ(ino)
	if err != nil {
		return err
	}
	c.z = &compressed{file: f}
	h := f.Header()
	if h.Index != z.Encoded {
		if h.Head1 == z.LZMA && !h.Whole {
			c.err = unsupported(ino.off, "data compressed by %s", h.Head1)
		}
		return nil
	}
	return img.findHoles(c, ino)
}

// findHoles sets where a file with encoded extents has data.
func (img *Image) findHoles(c *Content, ino *inode) error {
	data := []tree.Extent{}
	for x, err := range c.z.file.All() {
		switch k := len(data); {
		case err != nil:
			return fmt.Errorf("byte %d: inode %d: %w", ino.off, ino.nid, err)
		case isHole(&x):
		case k > 0 && data[k-1].End() == x.Off:
			data[k-1].Len += x.Len
		case k == maxRuns:
			return unsupported(ino.off, "inode %d has more than %d extents", ino.nid, maxRuns)
		default:
			data = append(data, tree.Extent{Off: x.Off, Len: x.Len})
		}
	}
	if len(data) != 1 || data[0].Len != c.size {
		c.z.data = data
	}
	return nil
}

func isHole(x *z.Extent) bool { return x.Size == 0 && !x.Fragment }

// Clusters yields the extents of a compressed file, up to the first error, and nothing if the
// file is not compressed. Positions are addresses that run through the image and all devices,
// except of an extent that is stored behind the index.
func (c *Content) Clusters() iter.Seq2[z.Extent, error] {
	if c.z == nil {
		return func(func(z.Extent, error) bool) {}
	}
	return c.z.file.All()
}

// Header returns the header of a compressed file; ok is false if the file is not compressed.
func (c *Content) Header() (h z.Header, ok bool) {
	if c.z == nil {
		return h, false
	}
	return c.z.file.Header(), true
}

// IndexSize is the length in bytes of the header and the index of a compressed file; 0 if the
// file is not compressed.
func (c *Content) IndexSize() int64 {
	if c.z == nil {
		return 0
	}
	return c.z.file.IndexSize()
}

// Compressed reports whether there may be compressed files in the image.
func (img *Image) Compressed() bool {
	return img.super.Incompat&(disk.IncompatLZ4|disk.IncompatCompression) != 0
}

// Compression says how the files of the image may be compressed.
func (img *Image) Compression() z.Config { return img.z.params.Config }

// addressableZ is Addressable for a compressed file. It does not read the index.
func (c *Content) addressableZ() error {
	switch h := c.z.file.Header(); {
	case h.Whole || h.Advise&z.AdviseFragment != 0:
		return fmt.Errorf("%w: it is in the file for parts of files, at least its end", ErrNotAddressable)
	case h.Tail != 0:
		return fmt.Errorf("%w: its end follows its index, and is not in a block of its own", ErrNotAddressable)
	case !c.img.z.params.Padded:
		return fmt.Errorf("%w: its compressed data is not at the end of blocks, as it is since Linux 5.4", ErrNotAddressable)
	case len(c.img.devices) > 0:
		return fmt.Errorf("%w: compressed data of an image with devices", ErrNotAddressable)
	}
	return nil
}

// packedContent returns the content of the packed inode.
func (img *Image) packedContent() (*Content, error) {
	img.z.once.Do(func() {
		img.z.packed, img.z.packedErr = img.openPacked()
	})
	return img.z.packed, img.z.packedErr
}

func (img *Image) openPacked() (*Content, error) {
	s := &img.super
	if s.Incompat&disk.IncompatFragments == 0 || s.PackedNid == 0 {
		return nil, corrupt(disk.SuperOffset, "no inode with parts of files")
	}
	ino, err := img.readInode(s.PackedNid)
	if err != nil {
		return nil, err
	}
	c, err := img.content(ino)
	if err == nil {
		err = c.err
	}
	return c, err
}

// at returns the extent with byte off.
func (c *Content) at(off int64) (z.Extent, error) {
	x, err := c.z.file.At(off)
	if err != nil {
		err = fmt.Errorf("byte %d of the file: %w", off, err)
	}
	return x, err
}

// decodeAt is ReadAt for a compressed file.
func (c *Content) decodeAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	if rest := c.size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	for n < len(p) {
		x, err := c.at(off + int64(n))
		if err != nil {
			return n, err
		}
		skip := off + int64(n) - x.Off
		part := p[n:min(int64(len(p)), int64(n)+x.Len-skip)]
		if err := c.readPart(part, &x, skip); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, err
}

// readPart fills p with the bytes of x from skip on.
func (c *Content) readPart(p []byte, x *z.Extent, skip int64) error {
	switch {
	case isHole(x):
		clear(p)
		return nil
	case x.Fragment:
		return c.readFragment(p, x, skip)
	case x.Algorithm == z.Raw && !x.Rotated:
		device, pos, err := c.locateCluster(x)
		if err != nil {
			return err
		}
		return c.read(p, device, pos+skip)
	case int64(len(p)) == x.Len:
		return c.decode(p, x)
	}
	b, err := c.img.z.decoded.get(x, c.img.bs, func(b []byte) error { return c.decode(b, x) })
	if err != nil {
		return err
	}
	copy(p, b[skip:])
	return nil
}

// readFragment fills p with the bytes of x, a part of the packed inode, from skip on.
func (c *Content) readFragment(p []byte, x *z.Extent, skip int64) error {
	packed, err := c.img.packedContent()
	switch {
	case err != nil:
		return fmt.Errorf("parts of files: %w", err)
	case packed == c:
		return corrupt(disk.SuperOffset, "the inode with parts of files is a part of itself")
	case x.Pos > packed.size-x.Len:
		return corrupt(disk.SuperOffset, "parts of files have %d bytes, and not %d from byte %d on", packed.size, x.Len, x.Pos)
	}
	_, err = packed.ReadAt(p, x.Pos+skip)
	if err == io.EOF {
		err = nil
	}
	return err
}

// locateCluster returns the device that has the cluster of x, and the offset there.
func (c *Content) locateCluster(x *z.Extent) (device int, pos int64, err error) {
	img := c.img
	block, in := x.Pos/img.bs, x.Pos%img.bs
	if len(img.devices) > 0 && (!x.Exact || c.z.file.Header().Index == z.Encoded) {
		device, block = img.resolve(block)
	}
	device, block, end, err := img.home(device, block)
	if err != nil {
		return device, 0, err
	}
	if block > end/img.bs || x.Size > end-block*img.bs-in {
		return device, 0, corrupt(x.Pos, "cluster of %d bytes is beyond the end of %s", x.Size, img.deviceName(device))
	}
	return device, block*img.bs + in, nil
}

// decode fills p, which has the length of x, with the bytes of x.
func (c *Content) decode(p []byte, x *z.Extent) error {
	b := c.img.z.benches.Get().(*bench)
	defer c.img.z.benches.Put(b)
	device, pos, err := c.locateCluster(x)
	if err != nil {
		return err
	}
	input := b.take(x.Size)
	if err := c.read(input, device, pos); err != nil {
		return err
	}
	return c.decodeInput(b, p, x, input, device, pos)
}

// decodeInput decodes input, the cluster of x, to p. The cluster is at pos of a device.
func (c *Content) decodeInput(b *bench, p []byte, x *z.Extent, input []byte, device int, pos int64) error {
	if err := b.decoder.Decode(p, x, input); err != nil {
		return fmt.Errorf("%sbyte %d: %w", c.img.device(device).prefix(), pos, err)
	}
	return nil
}

// take returns n bytes for what is stored.
func (b *bench) take(n int64) []byte {
	if int64(cap(b.input)) < n {
		b.input = make([]byte, n)
	}
	return b.input[:n]
}
