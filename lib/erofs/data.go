package erofs

import (
	"errors"
	"fmt"
	"io"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// writeContent puts the data of it, a file that is not empty, where it stays:
// whole blocks into the image, an inline tail into the spool.
func (w *Writer) writeContent(it *item, c tree.Content) error {
	e := it.entry
	it.start = w.data.Offset() / w.bs
	xs := e.Extents
	if xs == nil {
		w.whole[0].Len = e.Size
		xs = w.whole[:]
	}
	chunk := w.bs
	if runsLen(xs, e.Size, w.bs) < e.Size {
		it.layout, it.chunkBits = chunkBased, chunkBits(xs, e.Size, w.bs)
		chunk <<= it.chunkBits
	}
	s := &w.content
	s.begin(w, e.Size, xs, chunk)
	if it.layout == flatPlain && w.inlines(e) {
		it.layout, it.tail = flatInline, w.tail.offset()
		s.inline = e.Size / w.bs * w.bs
	}
	if need := blocks(runsLen(xs, e.Size, chunk), w.bs); need > maxBlocks-it.start {
		return fmt.Errorf("%d blocks of data do not fit: over the 2^32 blocks of the format", need)
	}
	if w.hash != nil {
		w.hash.Reset()
	}
	if err := s.copy(c); err != nil {
		return err
	}
	if w.hash != nil {
		it.hash = w.sumUp()
	}
	return w.data.Zero(roundUp(w.data.Offset(), w.bs))
}

// inlines reports whether the end of e goes behind its inode. It has to be decided
// before it is known whether the inode is compact and its xattrs are shared.
func (w *Writer) inlines(e *tree.Entry) bool {
	if w.opts.Layer || e.Size%w.bs == 0 {
		return false
	}
	var none xattrTable
	return extendedSize+none.bodySize(e.Xattrs)+e.Size%w.bs <= w.bs
}

// contentWriter takes the bytes of a file's extents and writes those of its runs,
// which hold the extents and zeros around them.
type contentWriter struct {
	w       *Writer
	size    int64
	extents []tree.Extent // still to come, the first one maybe in part
	runs    []tree.Extent // still to be written, likewise
	inline  int64         // from here on the data goes to the tails
	buf     [2][]tree.Extent
}

func (s *contentWriter) begin(w *Writer, size int64, xs []tree.Extent, chunk int64) {
	s.buf[0] = append(s.buf[0][:0], xs...)
	s.buf[1] = s.buf[1][:0]
	eachRun(xs, size, chunk, func(run tree.Extent) { s.buf[1] = append(s.buf[1], run) })
	s.w, s.size, s.inline = w, size, size
	s.extents, s.runs = s.buf[0], s.buf[1]
}

func (s *contentWriter) copy(c tree.Content) error {
	if c != nil {
		if _, err := c.WriteTo(s); err != nil {
			return err
		}
	}
	if len(s.extents) > 0 {
		return fmt.Errorf("content ends %d bytes early: %w", (&tree.Entry{Type: tree.File, Extents: s.extents}).DataSize(), io.ErrUnexpectedEOF)
	}
	return s.zero(s.size)
}

var errTooLong = errors.New("content is longer than its size says")

func (s *contentWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(s.extents) == 0 {
			return n, errTooLong
		}
		x := &s.extents[0]
		if err := s.zero(x.Off); err != nil {
			return n, err
		}
		k := min(int64(len(p)), x.Len)
		if err := s.put(p[:k]); err != nil {
			return n, err
		}
		p, n = p[k:], n+int(k)
		*x = tree.Extent{Off: x.Off + k, Len: x.Len - k}
		if x.Len == 0 {
			s.extents = s.extents[1:]
		}
	}
	return n, nil
}

var zeros [64 << 10]byte

// zero writes what the runs hold before off.
func (s *contentWriter) zero(off int64) error {
	for len(s.runs) > 0 && s.runs[0].Off < off {
		n := min(off-s.runs[0].Off, s.runs[0].Len, int64(len(zeros)))
		if err := s.put(zeros[:n]); err != nil {
			return err
		}
	}
	return nil
}

// put writes p at the beginning of the first run, which holds all of it.
func (s *contentWriter) put(p []byte) error {
	run := &s.runs[0]
	defer s.w.sum(p)()
	n := min(int64(len(p)), max(0, s.inline-run.Off))
	if _, err := s.w.data.Write(p[:n]); err != nil {
		return err
	}
	if err := s.w.tail.write(p[n:]); err != nil {
		return err
	}
	*run = tree.Extent{Off: run.Off + int64(len(p)), Len: run.Len - int64(len(p))}
	if run.Len == 0 {
		s.runs = s.runs[1:]
	}
	return nil
}

// hashAside is from which length on a piece is hashed while it is written.
const hashAside = 128 << 10

// sum adds p to the hash of the current content. The caller writes p and then
// calls done.
func (w *Writer) sum(p []byte) (done func()) {
	if w.hash == nil {
		return func() {}
	}
	if len(p) < hashAside {
		w.hash.Write(p)
		return func() {}
	}
	summed := make(chan struct{})
	go func() {
		w.hash.Write(p)
		close(summed)
	}()
	return func() { <-summed }
}

// sumUp is the hash of what was given to sum since the last Reset.
func (w *Writer) sumUp() hash {
	var b [2 * len(hash{})]byte
	w.hash.Sum(b[:0])
	return hash(b[:])
}

const tailBuf = 4 << 20

// tails keeps the ends of files until the metadata is written: in memory while
// they are few, in a spool file otherwise.
type tails struct {
	dir   string
	buf   []byte // what has not been spooled yet
	spool *blockio.Spool
	base  int64 // length of the spool
	pages *pages
}

// offset is where the next tail goes.
func (t *tails) offset() int64 { return t.base + int64(len(t.buf)) }

func (t *tails) write(p []byte) (err error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) < tailBuf {
		return nil
	}
	if t.spool == nil {
		if t.spool, err = blockio.NewSpool(t.dir); err != nil {
			return err
		}
		t.pages = newPages(t.spool)
	}
	_, err = t.spool.Write(t.buf)
	t.base += int64(len(t.buf))
	t.buf = t.buf[:0]
	return err
}

// read fills p with what was written at off. Nothing is written afterwards.
func (t *tails) read(p []byte, off int64) error {
	if off < t.base {
		n := min(int64(len(p)), t.base-off)
		if _, err := t.pages.ReadAt(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	if len(p) > 0 {
		copy(p, t.buf[off-t.base:])
	}
	return nil
}

func (t *tails) close() error {
	t.buf = nil
	if t.spool == nil {
		return nil
	}
	s := t.spool
	t.spool = nil
	return s.Close()
}
