package gunzip

import (
	"io"
	"sync/atomic"
)

const (
	// blockSize is how much input is read at a time and decoded ahead by one
	// goroutine, in bytes. Finding the start of a deflate block takes a quarter of a
	// millisecond, decoding three.
	blockSize = 512 << 10

	// maxPieces bounds the tokens of a block: 16 times 192 KiB.
	maxPieces = 16

	// maxTries bounds how much a goroutine decodes in vain, as a multiple of its
	// block: hostile input may look like the start of a block at every bit.
	maxTries = 4

	// maxPause is how many blocks at most are skipped after repeated failures.
	maxPause = 64
)

// ahead decodes a stream on several cores. Goroutines take later blocks of the
// input, search them for what looks like the header of a deflate block, and decode
// from there to tokens. The inflater works in order. Where it reaches the very bit at
// which a goroutine began, it uses the tokens, which end between two deflate blocks,
// and continues there. A goroutine that began at a wrong place, or ended early, does
// no harm: the inflater alone reports errors and ends of streams.
type ahead struct {
	f       *inflater
	r       io.Reader
	err     error // from r
	workers int
	size    int // of blocks

	blocks []*block // of the input that are still needed
	spare  []*block
	read   int64 // bytes of input read so far
	next   int64 // offset in the input where f reads next

	cur   *block // the block whose tokens are being executed
	piece int    // the current one of cur.pieces
	at    place
	bit   int64 // where f has to seek before it reads; -1 if it is there already

	pause, skip int // blocks to skip after a failure, and how many of them are left
	used        int // blocks whose tokens were used
}

// block is a piece of the input and the tokens decoded from it.
type block struct {
	off  int64
	data []byte
	next []byte // the input behind it

	decoding bool // a goroutine is at work; done tells when the tokens are ready
	done     chan struct{}
	stop     atomic.Bool

	t          *tokenizer
	start, end int64 // the bits of the input that the tokens cover; equal if there are none
	pieces     []*tokens
	n          int // of pieces
}

// Ahead sets how many goroutines may decode later parts of the stream from now on;
// initially none. Bytes and errors do not depend on the number. Decoding ahead costs
// 40 % more processor time in all, and up to 4 MiB of memory for each goroutine and
// two more. The goroutines end on their own.
func (z *Reader) Ahead(workers int) {
	if z.ahead == nil {
		if workers == 0 {
			return
		}
		read := z.f.off + int64(z.f.end)
		z.ahead = &ahead{f: &z.f, r: z.f.r, size: blockSize, read: read, next: read, bit: -1}
		z.f.r = z.ahead
	}
	z.ahead.workers = workers
}

// run is inflater.run that uses the tokens decoded ahead.
func (a *ahead) run() error {
	f := a.f
	for f.w < outLimit && f.state != atEnd {
		switch {
		case a.cur != nil:
			a.execute()
			continue
		case f.state == atHeader:
			bit := a.bit
			if bit < 0 {
				bit = f.bit()
			}
			a.release(bit)
			a.launch()
			if a.take(bit) {
				continue
			}
			if err := a.arrive(); err != nil {
				return err
			}
		}
		if err := f.step(); err != nil {
			return err
		}
	}
	return nil
}

// execute fills the buffer from the current tokens.
func (a *ahead) execute() {
	b := a.cur
	s := b.pieces[a.piece]
	if a.at = s.execute(a.f, a.at); a.at.n < s.n {
		return
	}
	a.piece, a.at = a.piece+1, place{}
	if a.piece == b.n {
		a.bit, a.cur = b.end, nil
	}
}

// take makes the tokens that begin at bit the current ones, and waits for them if
// they are still being decoded. It reports whether there are any.
func (a *ahead) take(bit int64) bool {
	for _, b := range a.blocks {
		if b.off*8 > bit {
			break
		}
		a.wait(b)
		// With a full window, no match can reach back before the stream began.
		if b.start == bit && b.end > bit && a.f.w-a.f.base >= windowSize {
			a.cur, a.piece, a.at = b, 0, place{}
			b.start = b.end // they are used once
			a.used++
			if b.end < b.limit() {
				a.failed()
			} else {
				a.pause = 0
			}
			return true
		}
	}
	return false
}

func (a *ahead) wait(b *block) {
	if b.decoding {
		<-b.done
		b.decoding = false
		if b.start == b.end {
			a.failed()
		}
	}
}

// failed skips some of the next blocks: more of them after each failure in a row.
func (a *ahead) failed() {
	a.pause = min(2*a.pause+1, maxPause)
	a.skip = a.pause
}

// arrive makes f continue where the tokens ended.
func (a *ahead) arrive() error {
	if a.bit < 0 {
		return nil
	}
	f, bit := a.f, a.bit
	a.bit, a.next = -1, bit/8
	f.reset(a.next)
	if err := f.need(uint(bit % 8)); err != nil {
		return err
	}
	f.take(uint(bit % 8))
	return nil
}

// release drops the blocks that end before bit.
func (a *ahead) release(bit int64) {
	for len(a.blocks) > 0 && a.blocks[0].limit() <= bit {
		b := a.blocks[0]
		b.stop.Store(true)
		if a.wait(b); b.start < b.end {
			a.failed() // never used
		}
		a.blocks = a.blocks[1:]
		a.spare = append(a.spare, b)
	}
}

// close stops the goroutines and waits for them.
func (a *ahead) close() {
	for _, b := range a.blocks {
		b.stop.Store(true)
	}
	for _, b := range a.blocks {
		a.wait(b)
	}
	a.blocks, a.cur = nil, nil
}

// launch reads ahead and starts goroutines. A block is decoded once the following one
// was read, unless f has already begun to read it.
func (a *ahead) launch() {
	for a.workers > 0 && len(a.blocks) < a.workers+2 && a.err == nil {
		b := a.more()
		i := len(a.blocks) - 2
		switch {
		case i < 0 || a.blocks[i].off < a.next:
		case a.skip > 0:
			a.skip--
		default:
			last := a.blocks[i]
			last.next, last.decoding = b.data, true
			last.stop.Store(false)
			go last.decode()
		}
	}
}

// more reads a block.
func (a *ahead) more() *block {
	var b *block
	if n := len(a.spare); n > 0 {
		b, a.spare = a.spare[n-1], a.spare[:n-1]
	} else {
		b = &block{data: make([]byte, a.size), done: make(chan struct{}, 1)}
	}
	b.off, b.data, b.start, b.end = a.read, b.data[:a.size], 0, 0
	n := 0
	for idle := 0; n < a.size && a.err == nil; {
		var m int
		m, a.err = a.r.Read(b.data[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		} else if idle == 100 && a.err == nil {
			a.err = io.ErrNoProgress
		}
	}
	b.data = b.data[:n]
	a.read += int64(n)
	a.blocks = append(a.blocks, b)
	return b
}

// Read gives f the input.
func (a *ahead) Read(p []byte) (int, error) {
	a.release(a.f.bit()) // a deflate block may have any length
	for {
		for _, b := range a.blocks {
			if at := a.next - b.off; at < int64(len(b.data)) {
				n := copy(p, b.data[at:])
				a.next += int64(n)
				return n, nil
			}
		}
		if a.err != nil {
			return 0, a.err
		}
		a.more()
	}
}

// limit is the bit after the end of b.
func (b *block) limit() int64 { return (b.off + int64(len(b.data))) * 8 }

// decode finds a deflate block in b and decodes it and its successors, up to the
// first one that decode would find in the next block of the input.
func (b *block) decode() {
	defer func() { b.done <- struct{}{} }()
	if b.t == nil {
		b.t = new(tokenizer)
	}
	t := b.t
	t.off = -1
	tries := maxTries * 8 * len(b.data) // bits
	for bit := 0; tries > 0 && !b.stop.Load(); bit++ {
		if t.off != b.off { // initially, and after a wrong start that was decoded far
			t.r = &both{b.data, b.next}
			t.reset(b.off)
			for t.end < inSize && t.fill() == nil {
			}
		}
		if bit = findHeader(t.in[:t.end], bit); bit < 0 || bit >= len(b.data)*8 {
			return
		}
		tries -= 8 * headerRoom // about what the tables of its codes take
		t.jump(bit)
		if t.header() != nil {
			continue
		}
		t.jump(bit)
		start := b.off*8 + int64(bit)
		if b.from(start) {
			return
		}
		tries -= int(t.bit() - start)
	}
}

// from decodes deflate blocks from the position of t, and reports whether more than
// one was valid.
func (b *block) from(start int64) bool {
	t := b.t
	t.state, b.n = atHeader, 0
	b.grow()
	end, pieces, last := start, 1, 0 // after the last whole deflate block
	for blocks := 0; ; blocks++ {
		t.to.flush(0)
		end, pieces, last = t.bit(), b.n, t.to.n
		over := t.need(3) != nil || t.bits&1 == 1 || end >= b.limit() && t.bits&7 == 4
		if !over && !b.decodeOne() {
			if blocks < 2 {
				return false
			}
			over = true
		}
		if over {
			b.n, b.pieces[pieces-1].n = pieces, last
			b.start, b.end = start, end
			return true
		}
	}
}

// decodeOne decodes one deflate block, and reports whether it was valid.
func (b *block) decodeOne() bool {
	for !b.stop.Load() {
		if b.t.to.full() {
			if b.n == maxPieces {
				return false
			}
			b.grow()
		}
		if b.t.step() != nil {
			return false
		}
		if b.t.state == atHeader {
			return true
		}
	}
	return false
}

// grow starts another piece.
func (b *block) grow() {
	if b.n > 0 {
		b.t.to.flush(0)
	}
	if b.n == len(b.pieces) {
		b.pieces = append(b.pieces, new(tokens))
	}
	s := b.pieces[b.n]
	b.n++
	s.n, s.l, s.at = 0, 0, 0
	b.t.to = s
}

// both reads two slices one after the other.
type both struct{ a, b []byte }

func (r *both) Read(p []byte) (int, error) {
	if len(r.a) == 0 {
		if r.a, r.b = r.b, nil; len(r.a) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, r.a)
	r.a = r.a[n:]
	return n, nil
}
