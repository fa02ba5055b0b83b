package erofs

import (
	"fmt"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// writeContent takes the data of e, a file in the tree that is not empty, whose path is given.
func (w *Writer) writeContent(path string, e *tree.Entry, c tree.Content) error {
	if w.compressor != nil {
		return w.compressor.writeContent(path, e, c)
	}
	return w.writePlain(e, c)
}

// writePlain puts the data of e, a file in the tree that is not empty, where it stays, as it
// is: whole blocks into the image, an inline tail into the spool. It fills in the item of e.
func (w *Writer) writePlain(e *tree.Entry, c tree.Content) error {
	it := w.items.Of(e)
	start := w.data.Offset() / w.bs
	xs := e.Extents
	if xs == nil {
		w.whole[0].Len = e.Size
		xs = w.whole[:]
	}
	chunk := w.bs
	sift := e.Extents == nil && !w.opts.KeepZeros
	if runsLen(xs, e.Size, w.bs) < e.Size {
		it.layout, it.chunkBits = disk.ChunkBased, chunkBits(xs, e.Size, w.bs)
		chunk <<= it.chunkBits
		if err := w.chargeHoles(e, chunk); err != nil {
			return err
		}
	}
	s := &w.content
	s.begin(e.Size, xs, chunk)
	if it.layout == disk.FlatPlain && w.inlines(e) {
		it.layout, it.tail = disk.FlatInline, w.tail.offset()
		s.inline = e.Size / w.bs * w.bs
	}
	if need := disk.Blocks(runsLen(xs, e.Size, chunk), w.bs); need > disk.MaxBlocks-start {
		return fmt.Errorf("%d blocks of data do not fit: over the 2^32 blocks of the format", need)
	}
	it.start = uint32(start)
	if err := s.take(c, e, sift); err != nil {
		return err
	}
	if sift {
		if xs := s.sifter.Extents(); xs != nil {
			e.Extents, it.layout, it.chunkBits = xs, disk.ChunkBased, chunkBits(xs, e.Size, w.bs)
		}
	}
	if w.hash != nil {
		w.written[e] = written{w.sumUp(), it.layout == disk.ChunkBased, it.chunkBits}
	}
	if s.inline == 0 {
		return nil
	}
	return w.data.Zero(disk.RoundUp(w.data.Offset(), w.bs))
}

// chargeHoles counts against MaxHoleBytes the bytes that the holes of e cost with chunks of
// this size: the map, and zeros in chunks that are not all data. A line of the stream can
// ask for 24 MB.
func (w *Writer) chargeHoles(e *tree.Entry, chunk int64) error {
	w.holes += mapSize(e.Size, chunk) + runsLen(e.Extents, e.Size, chunk) - e.DataSize()
	if limit := w.opts.MaxHoleBytes; limit >= 0 && w.holes > limit {
		return &tree.LimitError{
			What:  fmt.Sprintf("%d bytes of maps and zeros for holes up to here", w.holes),
			Limit: limit, Which: tree.LimitHoleBytes,
		}
	}
	return nil
}

// inlines reports whether the end of e follows its inode. The writer has to decide this
// before it knows whether the inode is compact and its xattrs are shared.
func (w *Writer) inlines(e *tree.Entry) bool {
	if w.opts.Layer || e.Size%w.bs == 0 {
		return false
	}
	var none xattrTable
	return disk.ExtendedSize+none.bodySize(e.Xattrs)+e.Size%w.bs <= w.bs
}

// contentWriter takes the bytes of a file's extents and writes those of its runs,
// which hold the extents and zeros around them.
type contentWriter struct {
	w       *Writer
	scatter tree.Scatter
	size    int64
	runs    []tree.Extent // still to be written; part of the first one may have been
	inline  int64         // offset in the file from which on data goes to the tails
	buf     []tree.Extent

	dense   bool        // the file is not sparse
	sifter  tree.Sifter // of such a file
	sifting bool
}

func (s *contentWriter) init(w *Writer) {
	s.w = w
	s.scatter.Put, s.scatter.Memory = s.data, s.lend
	s.sifter = tree.Sifter{Data: s.put, Hole: s.leaveOut, Room: maxHoles}
}

func (s *contentWriter) begin(size int64, xs []tree.Extent, chunk int64) {
	s.buf = s.buf[:0]
	eachRun(xs, size, chunk, func(run tree.Extent) { s.buf = append(s.buf, run) })
	s.size, s.inline, s.runs = size, size, s.buf
}

// take writes e with the data of c. With sift it leaves out long runs of zeros.
func (s *contentWriter) take(c tree.Content, e *tree.Entry, sift bool) error {
	s.dense = e.Extents == nil
	if s.sifting = sift; sift {
		s.sifter.Begin(holeUnit(s.size, s.w.bs))
	}
	if err := s.scatter.Take(c, e.Size, e.Extents); err != nil {
		return err
	}
	if sift {
		if err := s.sifter.End(false); err != nil {
			return err
		}
	}
	return s.zero(s.size)
}

// data writes p, which lies at off in the file.
func (s *contentWriter) data(off int64, p []byte) error {
	if err := s.w.stopped(); err != nil {
		return err
	}
	if s.sifting {
		return s.sifter.Write(p)
	}
	if err := s.zero(off); err != nil {
		return err
	}
	return s.put(p)
}

// lend lends the memory of the image's writer for the next bytes, unless zeros may have to be
// written before them.
func (s *contentWriter) lend() []byte {
	if s.dense && !s.sifter.Pending() {
		return s.w.data.Lend()
	}
	return nil
}

var zeros [64 << 10]byte

// zero writes zeros to the parts of the runs before off.
func (s *contentWriter) zero(off int64) error {
	for len(s.runs) > 0 && s.runs[0].Off < off {
		n := min(off-s.runs[0].Off, s.runs[0].Len, int64(len(zeros)))
		if err := s.put(zeros[:n]); err != nil {
			return err
		}
	}
	return nil
}

// put writes p at the beginning of the first run, into which it fits.
func (s *contentWriter) put(p []byte) error {
	run := &s.runs[0]
	if s.w.hash != nil {
		s.w.hash.Write(p)
	}
	n := min(int64(len(p)), max(0, s.inline-run.Off))
	if _, err := s.w.data.Write(p[:n]); err != nil {
		return err
	}
	if err := s.w.tail.write(p[n:]); err != nil {
		return err
	}
	s.advance(int64(len(p)))
	return nil
}

// advance moves on by n bytes in the first run.
func (s *contentWriter) advance(n int64) {
	run := &s.runs[0]
	*run = tree.Extent{Off: run.Off + n, Len: run.Len - n}
	if run.Len == 0 {
		s.runs = s.runs[1:]
	}
}

// leaveOut makes the next n bytes of a file that was not sparse a hole. Such a file is not
// inline, because the hole comes before its last block.
func (s *contentWriter) leaveOut(n int64) {
	s.advance(n)
	s.inline = s.size
}

// sumUp returns the hash of the current content, and begins that of the next.
func (w *Writer) sumUp() (h hash) {
	h = w.hash.Sum128().Bytes()
	w.hash.Reset()
	return h
}
