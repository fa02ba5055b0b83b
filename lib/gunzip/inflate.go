package gunzip

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// The sizes of the buffers are powers of two, plus some words: a masked index needs no
// bounds check, and a whole word can be read or written at any index.
const (
	inSize  = 256 << 10
	outSize = 256 << 10
	word    = 8

	// outLimit is where in the output buffer the last symbol or token may begin. The
	// rest of the buffer has room for its literals, a match, and the words that a copy
	// may write past the end of the match.
	outLimit = outSize - (maxRun + 258 + slack)
	slack    = 4 * word

	// inRound is how much input a round of the fast loop reads at most, in bytes.
	inRound = 3 * word
)

// ErrCorrupt is wrapped by every error about the form of a gzip stream.
var ErrCorrupt = errors.New("corrupt gzip stream")

// state is what comes next in a deflate stream.
type state int

const (
	atHeader state = iota // of a block
	inStored
	inCodes
	atEnd // of the stream
)

// inflater decompresses deflate streams, one after another.
type inflater struct {
	r   io.Reader
	in  [inSize + word]byte
	pos int   // index in in of the next byte that is not in bits yet
	end int   // of the input in in
	off int64 // offset of in[0] in the input
	eof bool  // r has ended

	bits  uint64 // the next nbits bits; those above are zeros, or what comes at pos
	nbits uint

	out  *output
	w    int // index in out of the next byte
	base int // index in out where the current stream begins, 0 if it is no longer there

	state state
	last  bool // the current block is the stream's last
	left  int  // bytes still to come of a stored block

	lit   [litSize]entry
	dist  [distSize]entry
	fixed bool // lit and dist hold the fixed codes; a block that uses them can be of ten bits
}

// output is a buffer of decompressed bytes. It begins with the last window of the
// previous buffer.
type output [outSize + slack]byte

// begin makes f ready for a stream at the current position.
func (f *inflater) begin() {
	f.state, f.base = atHeader, f.w
}

// room continues in next, which may be the current buffer, if that one is full.
func (f *inflater) room(next *output) {
	if f.w < outLimit {
		return
	}
	f.switchTo(next)
}

// switchTo continues in next, which receives the last window of the current buffer.
func (f *inflater) switchTo(next *output) {
	shift := max(0, f.w-windowSize)
	copy(next[:], f.out[shift:f.w])
	f.out = next
	f.w -= shift
	f.base = max(0, f.base-shift)
}

// run decompresses until the buffer is full or the stream ends.
func (f *inflater) run() error {
	for f.w < outLimit && f.state != atEnd {
		if err := f.step(); err != nil {
			return err
		}
	}
	return nil
}

// step decompresses until the state changes or the buffer is full.
func (f *inflater) step() error {
	switch f.state {
	case atHeader:
		return f.header()
	case inStored:
		return f.stored()
	}
	return f.codes()
}

// endBlock leaves a block.
func (f *inflater) endBlock() {
	f.state = atHeader
	if f.last {
		f.state = atEnd
		f.align()
	}
}

// bit is the current position in the input, in bits.
func (f *inflater) bit() int64 { return (f.off+int64(f.pos))*8 - int64(f.nbits) }

// reset makes f continue with the next bytes of its reader, which lie at off.
func (f *inflater) reset(off int64) {
	f.pos, f.end, f.off, f.eof, f.bits, f.nbits = 0, 0, off, false, 0, 0
}

// jump seeks to a bit of the input in in.
func (f *inflater) jump(bit int) {
	f.pos, f.bits, f.nbits = bit/8, 0, 0
	if bit%8 > 0 {
		f.bits, f.nbits = uint64(f.in[f.pos]>>(bit%8)), uint(8-bit%8)
		f.pos++
	}
}

// offset is the current position in the input, in bytes, rounded up.
func (f *inflater) offset() int64 {
	return f.off + int64(f.pos) - int64(f.nbits/8)
}

func (f *inflater) corrupt(what string) error {
	return fmt.Errorf("%w: byte %d: %s", ErrCorrupt, f.offset(), what)
}

// fill reads more input. It returns io.ErrUnexpectedEOF if there is none.
func (f *inflater) fill() error {
	if f.eof {
		return io.ErrUnexpectedEOF
	}
	if from := f.pos - word; from > 0 { // align may go back by the bytes in bits
		copy(f.in[:], f.in[from:f.end])
		f.off += int64(from)
		f.pos, f.end = f.pos-from, f.end-from
	}
	for range 100 {
		n, err := f.r.Read(f.in[f.end:inSize])
		f.end += n
		f.eof = err == io.EOF
		if n > 0 || f.eof {
			if n == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil // the next Read returns the error again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need makes sure that at least n bits, up to 56, are in bits.
func (f *inflater) need(n uint) error {
	for f.nbits < n {
		if f.end-f.pos >= word {
			f.bits, f.nbits, f.pos = refill(&f.in, f.bits, f.nbits, f.pos)
			return nil
		}
		if f.pos == f.end {
			if err := f.fill(); err != nil {
				return err
			}
		}
		f.bits |= uint64(f.in[f.pos]) << f.nbits
		f.pos++
		f.nbits += 8
	}
	return nil
}

// take removes n bits, which must be in bits.
func (f *inflater) take(n uint) uint {
	v := uint(f.bits & (1<<n - 1))
	f.bits >>= n
	f.nbits -= n
	return v
}

// align drops the rest of the current byte and returns whole bytes to in.
func (f *inflater) align() {
	f.pos -= int(f.nbits / 8)
	f.bits, f.nbits = 0, 0
}

// header reads the header of a block (RFC 1951, 3.2.3).
func (f *inflater) header() error {
	if err := f.need(3); err != nil {
		return err
	}
	f.last = f.take(1) == 1
	switch f.take(2) {
	case 0:
		return f.storedHeader()
	case 1:
		return f.fixedCodes()
	case 2:
		return f.dynamicCodes()
	}
	return f.corrupt("block of a type that does not exist")
}

func (f *inflater) storedHeader() error {
	f.align()
	if err := f.need(32); err != nil {
		return err
	}
	n, inverse := f.take(16), f.take(16)
	if n != ^inverse&0xffff {
		return f.corrupt("stored block whose length does not match its complement")
	}
	f.left, f.state = int(n), inStored
	f.align()
	return nil
}

func (f *inflater) stored() error {
	if f.left == 0 {
		f.endBlock()
		return nil
	}
	if f.pos == f.end {
		if err := f.fill(); err != nil {
			return err
		}
	}
	n := min(f.left, f.end-f.pos, outSize-f.w)
	copy(f.out[f.w:f.w+n], f.in[f.pos:])
	f.w, f.pos, f.left = f.w+n, f.pos+n, f.left-n
	return nil
}

// tables are the first tables of two codes.
type tables struct {
	lit  [1 << litBits]entry
	dist [1 << distBits]entry
}

// fixedTables are those of RFC 1951, 3.2.6, which need no second tables. They are made once:
// an empty block that uses them, between others that do not, has ten bits.
var fixedTables = sync.OnceValue(func() *tables {
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	t := new(tables)
	build(t.lit[:], litBits, lens[:], litEntries[:])
	for i := range 32 {
		lens[i] = 5
	}
	build(t.dist[:], distBits, lens[:32], distEntries[:])
	return t
})

// fixedCodes sets the codes of RFC 1951, 3.2.6.
func (f *inflater) fixedCodes() error {
	f.state = inCodes
	if !f.fixed {
		f.fixed = true
		t := fixedTables()
		copy(f.lit[:], t.lit[:])
		copy(f.dist[:], t.dist[:])
	}
	return nil
}

// lengthOrder is the order in which the lengths of the code-length code are stored.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// lengthEntries are the symbols of that code, as literals.
var lengthEntries = func() (e [19]entry) {
	for i := range e {
		e[i] = isLiteral | entry(i)<<16
	}
	return
}()

// dynamicCodes reads the codes of a block (RFC 1951, 3.2.7).
func (f *inflater) dynamicCodes() error {
	if err := f.need(14); err != nil {
		return err
	}
	nlit, ndist, nlen := int(f.take(5))+257, int(f.take(5))+1, int(f.take(4))+4
	if nlit > maxLitCodes || ndist > maxDistCodes {
		return f.corrupt("more symbols than there are")
	}
	var lens [19]uint8
	for _, sym := range lengthOrder[:nlen] {
		if err := f.need(3); err != nil {
			return err
		}
		lens[sym] = uint8(f.take(3))
	}
	var table [1 << lengthBits]entry
	if !build(table[:], lengthBits, lens[:], lengthEntries[:]) {
		return f.corrupt("impossible code for the lengths of codes")
	}
	var both [maxLitCodes + maxDistCodes]uint8
	if err := f.readLengths(both[:nlit+ndist], &table); err != nil {
		return err
	}
	f.fixed = false
	if !build(f.lit[:], litBits, both[:nlit], litEntries[:]) ||
		!build(f.dist[:], distBits, both[nlit:nlit+ndist], distEntries[:]) {
		return f.corrupt("impossible code")
	}
	f.state = inCodes
	return nil
}

// readLengths decodes the lengths of both codes.
func (f *inflater) readLengths(lens []uint8, table *[1 << lengthBits]entry) error {
	for i := 0; i < len(lens); {
		e := table[f.bits&(1<<lengthBits-1)]
		if n := e.drop(); n > 0 && n <= f.nbits {
			f.take(n)
		} else {
			var err error
			if e, err = f.symbol(table[:], lengthBits); err != nil {
				return err
			}
		}
		sym := uint8(e >> 16)
		if sym < 16 {
			lens[i] = sym
			i++
			continue
		}
		var bits, repeat uint
		var value uint8
		switch sym {
		case 16:
			if i == 0 {
				return f.corrupt("repeated length without one before it")
			}
			bits, repeat, value = 2, 3, lens[i-1]
		case 17:
			bits, repeat = 3, 3
		default:
			bits, repeat = 7, 11
		}
		if err := f.need(bits); err != nil {
			return err
		}
		n := int(repeat + f.take(bits))
		if n > len(lens)-i {
			return f.corrupt("more lengths than symbols")
		}
		for range n {
			lens[i] = value
			i++
		}
	}
	return nil
}

// symbol decodes one symbol, asks for no more input than it needs, drops the code
// and returns its entry.
func (f *inflater) symbol(table []entry, root uint) (entry, error) {
	for {
		e := table[f.bits&(1<<root-1)]
		if e.is(isSubtable) {
			e = table[e.second(f.bits, root)]
		}
		n := e.codeLen()
		if n <= f.nbits && (n > 0 || f.nbits >= maxCodeLen) {
			if n == 0 {
				return 0, f.corrupt("bits that are no code")
			}
			f.take(n)
			return e, nil
		}
		if err := f.need(f.nbits + 1); err != nil {
			return 0, err
		}
	}
}

// codes decodes symbols until the buffer is full or the block ends.
func (f *inflater) codes() error {
	for f.w < outLimit && f.state == inCodes {
		for f.end-f.pos < inRound && !f.eof {
			if err := f.fill(); err != nil && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		var err error
		if f.end-f.pos >= inRound {
			err = f.fast()
		} else {
			err = f.slow()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// slow decodes one symbol, and the distance that follows a length.
func (f *inflater) slow() error {
	e, err := f.symbol(f.lit[:], litBits)
	if err != nil {
		return err
	}
	switch {
	case e&isLiteral != 0:
		f.out[f.w] = byte(e >> 16)
		f.w++
		return nil
	case e.is(isEnd):
		f.endBlock()
		return nil
	case e.is(isBad):
		return f.corrupt("symbol that does not exist")
	}
	length, err := f.extra(e)
	if err != nil {
		return err
	}
	if e, err = f.symbol(f.dist[:], distBits); err != nil {
		return err
	}
	if e&isOther != 0 {
		return f.corrupt("distance that does not exist")
	}
	distance, err := f.extra(e)
	if err != nil {
		return err
	}
	if distance > f.w-f.base {
		return f.corrupt("distance to before the beginning")
	}
	for range length {
		f.out[f.w] = f.out[f.w-distance]
		f.w++
	}
	return nil
}

// extra removes the extra bits of e, whose code has been dropped, and returns its value.
func (f *inflater) extra(e entry) (int, error) {
	n := e.total() - e.codeLen()
	if err := f.need(n); err != nil {
		return 0, err
	}
	return int(e>>16) + int(f.take(n)), nil
}
