package ext4

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// maxFileSize is the limit of the format, which numbers the blocks of a file with 32 bits.
const maxFileSize = disk.ExtentMaxLogical * disk.BlockSize

// checkExtents returns an error unless e has ascending, separate extents within its size.
func checkExtents(e *tree.Entry) error {
	if e.Size < 0 || e.Size > maxFileSize {
		return fmt.Errorf("%d bytes: the format ends at %d", e.Size, int64(maxFileSize))
	}
	end := int64(0)
	for i, x := range e.Extents {
		if x.Len <= 0 || x.Off < end || x.Len > e.Size-x.Off || i > 0 && x.Off == end {
			return fmt.Errorf("bad extent %d+%d in a file of %d bytes", x.Off, x.Len, e.Size)
		}
		end = x.End()
	}
	return nil
}

// eachPart calls fn for the runs of blocks of the file e that hold data.
func eachPart(e *tree.Entry, fn func(logical uint32, n uint64)) {
	if e.Extents == nil {
		if e.Size > 0 {
			fn(0, disk.DivUp(uint64(e.Size), disk.BlockSize))
		}
		return
	}
	var first, end uint64
	for _, x := range e.Extents {
		from, to := uint64(x.Off)/disk.BlockSize, disk.DivUp(uint64(x.End()), disk.BlockSize)
		if from > end {
			if end > first {
				fn(uint32(first), end-first)
			}
			first = from
		}
		end = to
	}
	if end > first {
		fn(uint32(first), end-first)
	}
}

// dataBlocks is how many blocks of the file e hold data.
func dataBlocks(e *tree.Entry) (n uint64) {
	eachPart(e, func(_ uint32, k uint64) { n += k })
	return n
}

// writeContent writes c, the data of the file e of the tree, to its place. The file is not
// empty.
func (w *Writer) writeContent(e *tree.Entry, c tree.Content) error {
	w.inodes.Of(e).start = w.files.NextFree()
	s := &w.content
	if err := s.take(e, c); err != nil {
		return err
	}
	if s.sifting {
		e.Extents = s.sifter.Extents()
	}
	w.contents += dataBlocks(e)
	if w.hash != nil {
		w.hashes[e] = w.takeHash()
	}
	return nil
}

// maxHoles is how many extents a Writer adds to those that files come with. When it has so
// many, it makes no more holes.
const maxHoles = 1 << 20

// contentWriter takes the bytes of a file's extents, and writes the blocks of the file: the
// extents, and zeros around them.
type contentWriter struct {
	w       *Writer
	scatter tree.Scatter
	off     int64  // offset in the file of the next byte to be written
	blocks  uint64 // number of blocks of the file that have no place yet
	left    int64  // bytes that are left in the current place

	sifter  tree.Sifter // leaves out blocks of zeros
	sifting bool
}

func (s *contentWriter) init(w *Writer) {
	s.w = w
	s.scatter.Put = s.put
	s.sifter = tree.Sifter{Data: s.data, Hole: s.leaveOut, Room: maxHoles}
}

// take writes e with the data of c.
func (s *contentWriter) take(e *tree.Entry, c tree.Content) error {
	s.off, s.blocks, s.left = 0, dataBlocks(e), 0
	if s.sifting = !s.w.opts.KeepZeros; s.sifting {
		s.sifter.Begin(disk.BlockSize)
	}
	if err := s.scatter.Take(c, e.Size, e.Extents); err != nil {
		return err
	}
	return s.finish(e.Size)
}

// put writes p, which lies at off in the file.
func (s *contentWriter) put(off int64, p []byte) error {
	if err := s.w.stopped(); err != nil {
		return err
	}
	if s.sifting {
		if err := s.sifter.Skip(off - s.sifter.Taken()); err != nil {
			return err
		}
		return s.sifter.Write(p)
	}
	if err := s.advance(off); err != nil {
		return err
	}
	return s.data(p)
}

// finish completes the last block of a file of size bytes, and gives back the blocks that
// holes have saved.
func (s *contentWriter) finish(size int64) error {
	if s.sifting {
		if err := s.sifter.Skip(size - s.sifter.Taken()); err != nil {
			return err
		}
		if err := s.sifter.End(true); err != nil {
			return err
		}
	}
	if err := s.zero(roundUp(s.off)); err != nil {
		return err
	}
	s.w.files.Next -= uint64(s.left / disk.BlockSize)
	return nil
}

// data writes p, the next bytes of the file.
func (s *contentWriter) data(p []byte) error {
	if s.w.hash != nil {
		s.w.hash.Write(p)
	}
	return s.write(p)
}

// leaveOut makes the next n bytes a hole: whole blocks, or the end of the file.
func (s *contentWriter) leaveOut(n int64) {
	s.off = roundUp(s.off + n)
}

// advance writes zeros up to off, except in whole blocks, which become a hole.
func (s *contentWriter) advance(off int64) error {
	if s.off >= off {
		return nil
	}
	if err := s.zero(min(roundUp(s.off), off)); err != nil {
		return err
	}
	s.off = max(s.off, off-off%disk.BlockSize)
	return s.zero(off)
}

func roundUp(n int64) int64 { return (n + disk.BlockSize - 1) &^ (disk.BlockSize - 1) }

var zeros [disk.BlockSize]byte

// zero writes zeros up to off, less than a block.
func (s *contentWriter) zero(off int64) error {
	return s.write(zeros[:off-s.off])
}

// write writes p, the next bytes of the file's blocks, unless the disk is full.
func (s *contentWriter) write(p []byte) error {
	s.off += int64(len(p))
	for len(p) > 0 && !s.w.short {
		if s.left == 0 {
			if err := s.place(); err != nil {
				return err
			}
			continue
		}
		k := min(int64(len(p)), s.left)
		if _, err := s.w.data.Write(p[:k]); err != nil {
			return err
		}
		p, s.left = p[k:], s.left-k
	}
	return nil
}

// place takes the next consecutive free blocks, as many as the file may still need.
func (s *contentWriter) place() error {
	w := s.w
	if at := w.files.NextFree(); at >= w.limit {
		w.short = true // Close returns an error that says what would have been enough
		return nil
	}
	a := w.files.Piece(min(s.blocks, w.limit-w.files.Next))
	s.blocks, s.left = s.blocks-a.N, int64(a.N)*disk.BlockSize
	return w.data.Move(int64(a.Start) * disk.BlockSize)
}

// takeHash returns the hash of the current content, and begins that of the next.
func (w *Writer) takeHash() (h hash) {
	h = w.hash.Sum128().Bytes()
	w.hash.Reset()
	return h
}
