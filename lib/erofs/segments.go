package erofs

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// compressor takes contents in segments, has them compressed by several goroutines at a time,
// and writes them in the order in which they came. All but the compression itself happens in
// the goroutine that adds entries.
type compressor struct {
	w       *Writer
	opts    Compression
	methods []z.Encoding // those that files may have; the first one is that of the options
	idle    chan []*z.Cutter
	packed  packedFiles
	buffers buffers

	queue  []*segment // in the order of the contents
	held   int64      // bytes of memory in the queue
	ending atomic.Bool

	scatter tree.Scatter
	file    *packing // that is being added
	buf     []byte   // its bytes that are in no segment yet
	room    int      // how long buf may become
	left    int64    // its bytes that have not come
	zeros   int64    // its bytes before buf, if all of them are zeros, and in no segment

	hash *xxh3.Hasher // of its bytes; nil without Options.Check
}

// packing is a file on its way through the compressor.
type packing struct {
	entry  *tree.Entry
	method int  // in compressor.methods, or -1
	zeros  bool // so far it has only zeros, which can be a hole
	sum    hash // with Options.Check

	begun      bool  // a part is written
	pos        int64 // where it begins in the image, bytes
	from       int   // number of its first cut
	compressed bool  // a part is
}

// segment is a part of a file.
type segment struct {
	file *packing
	src  []byte            // nil once out is there
	size int64             // bytes of src
	held int64             // of memory, until it is written
	more bool              // further segments follow
	out  []byte            // nil: src is to be stored as it is
	sum  [sha256.Size]byte // of out and cuts, if that is the whole file
	cuts []z.Cut           // of out
	done chan struct{}     // closed once out and cuts are there
}

func newCompressor(w *Writer, opts Compression) *compressor {
	c := &compressor{w: w, opts: opts, idle: make(chan []*z.Cutter, opts.Workers)}
	c.addMethod(opts.Method)
	for _, h := range opts.Hints {
		c.addMethod(h.Method)
	}
	for range opts.Workers {
		c.idle <- make([]*z.Cutter, len(c.methods))
	}
	c.packed = packedFiles{bs: w.bs, methods: c.methods, zFeatures: zFeatures{exact: opts.Encoded}, known: make(map[contentKey]packedFile)}
	c.scatter.Put, c.scatter.Memory = c.data, c.lend
	if w.opts.Check {
		c.hash = xxh3.New()
	}
	return c
}

func (c *compressor) addMethod(m Method) {
	if p := c.opts.params(m, c.w.bs); m.Algorithm != z.Raw && !slices.Contains(c.methods, p) {
		c.methods = append(c.methods, p)
	}
}

// methodOf is the number of the method for the file at path, or -1.
func (c *compressor) methodOf(path string) int {
	m := c.opts.Method
	if i := slices.IndexFunc(c.opts.Hints, func(h Hint) bool { return h.matches(path) }); i >= 0 {
		m = c.opts.Hints[i].Method
	}
	if m.Algorithm == z.Raw {
		return -1
	}
	return slices.Index(c.methods, c.opts.params(m, c.w.bs))
}

// writeContent is Writer.writePlain for an image that may be compressed: the content is read,
// but written later.
func (c *compressor) writeContent(path string, e *tree.Entry, content tree.Content) error {
	if e.Size < c.w.bs && e.Extents == nil && c.w.inlines(e) {
		return c.w.writePlain(e, content) // it has no blocks, whose order matters
	}
	f := &packing{entry: e, method: c.methodOf(path), zeros: !c.w.opts.KeepZeros && e.Size >= holeUnit(e.Size, c.w.bs)}
	if e.Extents != nil || f.method < 0 && e.Size > c.opts.Segment {
		if err := c.drain(); err != nil {
			return err
		}
		return c.plain(e, content)
	}
	c.file, c.left, c.zeros = f, e.Size, 0
	c.beginSegment()
	if err := c.scatter.Take(content, e.Size, nil); err != nil {
		return err
	}
	if c.hash != nil {
		f.sum = c.hash.Sum128().Bytes()
		c.hash.Reset()
	}
	return c.endSegment(true)
}

// data takes the next bytes of the current file.
func (c *compressor) data(_ int64, p []byte) error {
	if err := c.w.stopped(); err != nil {
		return err
	}
	if c.hash != nil {
		c.hash.Write(p)
	}
	for len(p) > 0 {
		if len(c.buf) == c.room {
			if err := c.endSegment(false); err != nil {
				return err
			}
			c.beginSegment()
		}
		at := len(c.buf)
		n := min(len(p), c.room-at)
		c.buf = c.buf[:at+n]
		if &c.buf[at] != &p[0] {
			copy(c.buf[at:], p)
		}
		p = p[n:]
		c.left -= int64(n)
	}
	return nil
}

func (c *compressor) beginSegment() {
	n := min(c.left, c.opts.Segment)
	c.buf, c.room = c.buffers.take(n), int(n)
}

// lend lends the memory of the current segment for the next bytes.
func (c *compressor) lend() []byte { return c.buf[len(c.buf):c.room] }

// endSegment ends the current segment. Zeros at the beginning of a file wait until other bytes
// come: if none come, the file is a hole.
func (c *compressor) endSegment(last bool) error {
	f := c.file
	if f.zeros && isZero(c.buf) {
		c.zeros += int64(len(c.buf))
		c.buffers.give(c.buf)
		if !last {
			return nil
		}
		if err := c.drain(); err != nil {
			return err
		}
		return c.plain(f.entry, zeroContent(f.entry.Size))
	}
	f.zeros = false
	for ; c.zeros > 0; c.zeros -= c.opts.Segment {
		if err := c.w.stopped(); err != nil {
			return err
		}
		zero := c.buffers.take(c.opts.Segment)[:c.opts.Segment]
		clear(zero)
		if err := c.submit(&segment{file: f, src: zero, more: true}); err != nil {
			return err
		}
	}
	return c.submit(&segment{file: f, src: c.buf, more: !last})
}

// submit has s compressed. As long as too much waits it writes what came first.
func (c *compressor) submit(s *segment) error {
	s.done, s.size, s.held = make(chan struct{}), int64(len(s.src)), int64(cap(s.src))
	c.queue = append(c.queue, s)
	c.held += s.held
	if s.file.method < 0 {
		close(s.done)
	} else {
		go c.compress(s)
	}
	limit := min(int64(c.opts.Workers+1)*c.opts.Segment, max(maxHeld, c.opts.Segment))
	for len(c.queue) > 0 && (c.held > limit || len(c.queue) > maxQueue || c.queue[0].ready()) {
		if err := c.writeFirst(); err != nil {
			return err
		}
	}
	return nil
}

// maxHeld is how many bytes of segments may wait, unless a single one has more.
const maxHeld = 16 << 20

// maxQueue is how many segments may wait: enough small files that no worker is idle while a
// segment of full length is compressed.
const maxQueue = 1024

func (s *segment) ready() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// compress compresses s as soon as one of the workers is idle. What does not save at least its
// part of an index is stored as it is.
func (c *compressor) compress(s *segment) {
	cutters := <-c.idle
	defer func() {
		c.idle <- cutters
		close(s.done)
	}()
	if c.ending.Load() {
		return
	}
	m := s.file.method
	if cutters[m] == nil {
		cutters[m] = z.NewCutter(c.methods[m])
		cutters[m].Stopped = c.ending.Load
	}
	out, cuts := cutters[m].Cut(c.buffers.take(disk.RoundUp(s.size, c.w.bs)), nil, s.src)
	if c.ending.Load() { // and the end of the content may be missing
		c.buffers.give(out)
		return
	}
	if int64(len(out))+c.packed.indexSize(m, s.size, cuts) >= c.plainSize(s) {
		c.buffers.give(out)
		return
	}
	c.buffers.give(s.src)
	if s.src, s.out, s.cuts = nil, out, cuts; s.whole() {
		s.sum = sumOf(out, cuts)
	}
}

// whole reports whether s is the whole file.
func (s *segment) whole() bool { return s.size == s.file.entry.Size }

// plainSize is how many bytes s takes without compression.
func (c *compressor) plainSize(s *segment) int64 {
	if s.more || c.w.inlines(s.file.entry) {
		return s.size
	}
	return disk.RoundUp(s.size, c.w.bs)
}

// drain writes all that waits.
func (c *compressor) drain() error {
	for len(c.queue) > 0 {
		if err := c.writeFirst(); err != nil {
			return err
		}
	}
	return nil
}

// complete writes all that waits, up to the end of a block.
func (c *compressor) complete() error {
	if err := c.drain(); err != nil {
		return err
	}
	return c.align(c.w.bs)
}

// end waits for the goroutines, and gives up what waits.
func (c *compressor) end() {
	c.ending.Store(true)
	for _, s := range c.queue {
		<-s.done
	}
	c.queue = nil
}

// writeFirst writes the segment that came first.
func (c *compressor) writeFirst() error {
	s := c.queue[0]
	<-s.done
	c.queue = c.queue[1:]
	c.held -= s.held
	if err := c.write(s); err != nil {
		return err
	}
	c.buffers.give(s.src)
	c.buffers.give(s.out)
	return nil
}

// write writes s, whose file may be complete then.
func (c *compressor) write(s *segment) error {
	f, data := s.file, s.out
	if s.whole() {
		if data == nil {
			return c.plain(f.entry, tree.Bytes(s.src))
		}
		if same, ok := c.packed.find(f.method, s); ok {
			c.note(f, same)
			return nil
		}
	}
	if !f.begun {
		if err := c.begin(f, s.more); err != nil {
			return err
		}
	}
	if f.compressed = f.compressed || data != nil; data == nil {
		data, s.cuts = s.src, c.packed.rawCuts(f.method, s.size)
	}
	if end := c.w.data.Offset() + int64(len(data)); end/c.w.bs >= disk.MaxBlocks {
		return fmt.Errorf("data up to byte %d does not fit: over the 2^32 blocks of the format", end)
	}
	if _, err := c.w.data.Write(data); err != nil {
		return err
	}
	c.packed.cuts = append(c.packed.cuts, s.cuts...)
	if !c.opts.Encoded {
		if err := c.align(c.w.bs); err != nil { // after the end of a file that is stored as it is
			return err
		}
	}
	if s.more {
		return nil
	}
	return c.finish(f, s)
}

// begin places f. With several segments it may turn out that f is stored as it is, in blocks.
func (c *compressor) begin(f *packing, several bool) error {
	unit := c.w.bs
	if c.opts.Encoded && !several {
		unit = z.ExactAlign
	}
	if err := c.align(unit); err != nil {
		return err
	}
	f.begun, f.pos, f.from = true, c.w.data.Offset(), len(c.packed.cuts)
	return nil
}

// finish notes how f is stored, which is completely written.
func (c *compressor) finish(f *packing, last *segment) error {
	if f.compressed {
		at := packedFile{pos: f.pos, from: f.from, to: len(c.packed.cuts), method: f.method}
		c.packed.remember(at, last)
		c.note(f, at)
		return nil
	}
	it := c.w.items.Of(f.entry)
	it.layout, it.start = disk.FlatPlain, uint32(f.pos/c.w.bs)
	c.packed.cuts = c.packed.cuts[:f.from]
	c.written(f)
	return c.align(c.w.bs)
}

// note notes where the extents of f are.
func (c *compressor) note(f *packing, at packedFile) {
	c.packed.add(c.w.items.Of(f.entry), at)
	c.written(f)
}

// written tells the check of f.
func (c *compressor) written(f *packing) {
	if c.hash != nil {
		c.w.written[f.entry] = written{hash: f.sum}
	}
}

// plain writes a file without compression.
func (c *compressor) plain(e *tree.Entry, content tree.Content) error {
	if err := c.align(c.w.bs); err != nil {
		return err
	}
	return c.w.writePlain(e, content)
}

// align writes zeros up to a multiple of unit.
func (c *compressor) align(unit int64) error {
	return c.w.data.Zero(disk.RoundUp(c.w.data.Offset(), unit))
}
