package z

import (
	"io"
	"iter"
	"sync/atomic"
)

// Params are what all compressed files of an image have in common.
type Params struct {
	R         io.ReaderAt // the image, for headers and indexes
	End       int64       // its length in bytes
	BlockSize int64       // bytes
	Config    Config
	Big       bool // the image has clusters of several blocks among its features
	Padded    bool // the image says that zeros precede LZ4 streams, as they do since Linux 5.4
}

// File finds the extents of a compressed file in its index. It holds nothing of the index, and
// reads little of it at a time. Several goroutines may use a File at once.
type File struct {
	p       *Params
	at      int64 // of the header
	size    int64
	head    [HeaderSize]byte
	compact bool
	last    atomic.Pointer[Extent] // the answer of At
	sums    atomic.Pointer[sums]   // of records of 4 bytes
}

// Open reads the header of a file with size bytes of content, which is at offset at of the
// image. compact says that its inode has the layout 3, and not 1. Open checks the header, and
// that all of the index is in the image, but not what is in it.
func Open(p *Params, at, size int64, compact bool) (*File, error) {
	f := &File{p: p, at: at, size: size, compact: compact}
	if at < 0 || at > p.End-HeaderSize {
		return nil, corrupt("header of compressed data is beyond the end of the image")
	}
	if _, err := p.R.ReadAt(f.head[:], at); err != nil {
		return nil, err
	}
	if _, err := DecodeHeader(f.head[:], compact, p.Big); err != nil {
		return nil, err
	}
	c := f.cursor()
	if c.h.Whole {
		return f, nil
	}
	return f, c.checkEnd()
}

// Header is the header of the file.
func (f *File) Header() Header {
	h, _ := DecodeHeader(f.head[:], f.compact, true) // Open has checked it
	return h
}

// Place is the offset of the header in the image.
func (f *File) Place() int64 { return f.at }

// IndexSize is the length in bytes of the header and the index.
func (f *File) IndexSize() int64 {
	c := f.cursor()
	if c.h.Whole {
		return HeaderSize
	}
	return c.end() - f.at
}

// At returns the extent that has byte off of the file, which is less than its size. In an
// image that breaks the rules the extents that At returns may overlap, but each is valid.
//
// An extent is as long as the index says, up to the end of the file. Its cluster may lie
// outside of the image.
func (f *File) At(off int64) (Extent, error) {
	if x := f.last.Load(); x != nil && x.Off <= off && off < x.End() {
		return *x, nil
	}
	x, _, err := f.cursor().find(off)
	if err != nil {
		return x, err
	}
	f.last.Store(&x)
	return x, nil
}

// All yields the extents of the file in their order, without gaps from 0 to its size. It ends
// with the first error; one is that two neighbours have their cluster at the same address, but
// not the same algorithm.
func (f *File) All() iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		if f.size == 0 {
			return
		}
		c := f.cursor()
		x, next, err := c.find(0)
		for {
			if !yield(x, err) || err != nil || x.End() >= f.size {
				return
			}
			last := x
			if x, next, err = c.load(next); err == nil {
				err = follows(&last, &x)
			}
		}
	}
}

// follows returns an error unless x can be the next extent after last. Linux would take clusters
// at one address for the same one, and decode the second as it does the first.
func follows(last, x *Extent) error {
	same := x.Pos == last.Pos && x.Size > 0 && last.Size > 0 && !x.Fragment && !last.Fragment
	switch {
	case x.Off != last.End():
		return corrupt("extents at %d and %d do not touch", last.End(), x.Off)
	case same && x.Algorithm != last.Algorithm:
		return corrupt("extents at %d and %d have the same cluster, one by %s and one by %s", last.Off, x.Off, last.Algorithm, x.Algorithm)
	}
	return nil
}

// cursor walks along the index of a file.
type cursor struct {
	*File
	h       Header
	cluster int64 // bytes of a logical cluster; of an extent, if the index is Encoded so
	base    int64 // offset of the first entry
	n       int64 // entries

	window int64 // offset of buf in the image; -1 if buf is empty
	buf    [windowSize]byte

	summed int64 // a record of 4 bytes
	sum    int64 // and where its extent is stored; 0 if nothing is known
}

// windowSize is how much of an index is read at a time. Entries and packs do not cross its
// multiples.
const windowSize = 1024

func (f *File) cursor() *cursor {
	c := &cursor{File: f, h: f.Header(), window: -1}
	if c.h.Whole {
		return c
	}
	c.cluster = f.p.BlockSize << c.h.ClusterBits
	c.n = (f.size-1)/c.cluster + 1
	c.base = f.at + HeaderSize
	switch c.h.Index {
	case Full:
		c.base += fullReserved
	case Encoded:
		c.placeRecords()
	}
	if f.size == 0 {
		c.n = 0
	}
	return c
}

// checkEnd checks that the index is in the image, and that it can have its form.
func (c *cursor) checkEnd() error {
	if c.h.Index == Compact {
		if err := c.checkPacks(); err != nil {
			return err
		}
	}
	// No entry takes less than a bit, so this cannot overflow below.
	if c.n > c.p.End || c.end() > c.p.End {
		return corrupt("index of %d extents is beyond the end of the image", c.n)
	}
	return nil
}

// end is the offset of the first byte after the index.
func (c *cursor) end() int64 {
	switch {
	case c.n == 0:
		return c.base
	case c.h.Index == Compact:
		p := c.pack(c.n - 1)
		return p.pos + p.size()
	case c.h.Index == Encoded:
		return c.base + c.n*c.h.Advise.RecordSize()
	}
	return c.base + c.n*fullSize
}

// find returns the extent that has byte off of the file, and the number of the entry of the
// following one.
func (c *cursor) find(off int64) (x Extent, next int64, err error) {
	switch {
	case c.h.Whole:
		return Extent{Len: c.size, Pos: c.h.Fragment, Algorithm: Raw, Fragment: true}, 0, nil
	case c.h.Index == Encoded:
		return c.findRecord(off)
	}
	head, err := c.headOf(off)
	if err != nil {
		return x, 0, err
	}
	x, next, err = c.load(head)
	if err == nil && (off < x.Off || off >= x.End()) {
		err = corrupt("entry of byte %d leads to the extent from %d to %d", off, x.Off, x.End())
	}
	return x, next, err
}

// load returns the extent of the entry i, and the number of the entry of the following one.
func (c *cursor) load(i int64) (x Extent, next int64, err error) {
	if c.h.Index == Encoded {
		x, err = c.record(i)
		next = i + 1
	} else {
		x, next, err = c.scan(i)
	}
	if err == nil {
		err = c.check(&x)
	}
	return x, next, err
}

// check checks what the kernel does of an extent in any form of index.
func (c *cursor) check(x *Extent) error {
	switch {
	case x.Pos < 0:
		return corrupt("extent at %d is stored at %#x", x.Off, uint64(x.Pos))
	case x.Fragment || x.Size == 0:
		return nil
	case x.Algorithm == Raw:
		if x.Len > x.Size {
			return corrupt("extent at %d has %d bytes in %d that are not compressed", x.Off, x.Len, x.Size)
		}
	case x.Algorithm > Zstd:
		return unsupported("extent at %d: %s", x.Off, x.Algorithm)
	case !c.p.Config.Has(x.Algorithm):
		return corrupt("extent at %d: %s is not among the algorithms of the image", x.Off, x.Algorithm)
	}
	if x.Size > MaxEncoded || x.Len > MaxDecoded {
		return unsupported("extent at %d: %d bytes in %d", x.Off, x.Len, x.Size)
	}
	return nil
}

// bytes returns n bytes of the index at offset pos, a multiple of n or 8 bytes from one.
func (c *cursor) bytes(pos, n int64) ([]byte, error) {
	if window := pos &^ (windowSize - 1); window != c.window || pos+n > c.p.End {
		c.window = -1
		if pos < 0 || pos+n > c.p.End {
			return nil, corrupt("index is beyond the end of the image")
		}
		if _, err := c.p.R.ReadAt(c.buf[:min(windowSize, c.p.End-window)], window); err != nil {
			return nil, err
		}
		c.window = window
	}
	pos -= c.window
	return c.buf[pos : pos+n], nil
}
