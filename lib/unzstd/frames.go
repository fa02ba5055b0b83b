package unzstd

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
)

// Facts of RFC 8878, sections 3.1.1 and 3.1.2.
const (
	frameMagic     = 0xfd2fb528
	skippableMagic = 0x184d2a50 // to 0x184d2a5f

	magicSize           = 4
	skippableHeaderSize = 8 // the magic number, and the size of what follows
	descriptorSize      = 1 // of the frame header
	blockHeaderSize     = 3
	checksumSize        = 4
)

// The descriptor of a frame: which fields its header has.
const (
	hasChecksum   = 1 << 2
	isReserved    = 1 << 3
	singleSegment = 1 << 5 // no window but the content
)

// repeated is the type of a block that holds a single byte, whatever its size says.
const repeated = 1

// frames passes on a stream of zstd up to the first frame that needs a window of the
// other size class, ordinary or large, and continues there after turn. Anything that is
// not zstd passes too.
type frames struct {
	r      *bufio.Reader
	large  bool  // the decoder has a large window
	turned bool  // the next frame needs the other size class
	left   int64 // bytes until the next header
	at     int64 // bytes that have passed
	begin  int64 // of the last header
	within bool  // that header is of a block
	err    error // from r, after what it has buffered; of Peek, or not io.EOF

	inFrame  bool // the next header is a block header
	checksum bool // follows the last block of the frame
}

// turn continues with frames of the other size class.
func (f *frames) turn() {
	f.large, f.turned = !f.large, false
}

func (f *frames) Read(p []byte) (int, error) {
	if f.left == 0 {
		f.next()
	}
	switch {
	case f.turned:
		return 0, io.EOF
	case f.err != nil && f.r.Buffered() == 0:
		return 0, f.err
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	f.at += int64(n)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// next reads the next header, and lets everything pass up to the following one.
func (f *frames) next() {
	f.begin, f.within = f.at, f.inFrame
	if f.inFrame {
		f.block()
		return
	}
	head := f.peek(magicSize)
	if head == nil {
		return
	}
	switch magic := binary.LittleEndian.Uint32(head); {
	case magic == frameMagic:
		f.frame()
	case magic&^0xf == skippableMagic:
		if head = f.peek(skippableHeaderSize); head != nil {
			f.left = skippableHeaderSize + int64(binary.LittleEndian.Uint32(head[magicSize:]))
		}
	default:
		f.pass()
	}
}

func (f *frames) frame() {
	head := f.peek(magicSize + descriptorSize)
	if head == nil {
		return
	}
	descriptor := head[magicSize]
	if descriptor&isReserved != 0 {
		f.pass()
		return
	}
	fields := fieldsOf(descriptor)
	if head = f.peek(magicSize + descriptorSize + fields.size()); head == nil {
		return
	}
	if w := fields.windowSize(head[magicSize+descriptorSize:]); f.large != (w > ordinary && w <= MaxWindow) {
		f.turned = true
		return
	}
	f.left = int64(len(head))
	f.inFrame, f.checksum = true, descriptor&hasChecksum != 0
}

func (f *frames) block() {
	head := f.peek(blockHeaderSize)
	if head == nil {
		return
	}
	h := int64(head[0]) | int64(head[1])<<8 | int64(head[2])<<16
	last, kind, size := h&1 != 0, h>>1&3, h>>3
	if kind == repeated {
		size = 1
	}
	f.left = blockHeaderSize + size
	if !last {
		return
	}
	if f.inFrame = false; f.checksum {
		f.left += checksumSize
	}
}

// peek returns the next n bytes. If the stream ends earlier it returns nil, and the
// rest passes.
func (f *frames) peek(n int) []byte {
	b, err := f.r.Peek(n)
	if err != nil {
		f.err = err
		f.pass()
		return nil
	}
	return b
}

// pass lets everything pass from here on.
func (f *frames) pass() { f.left = math.MaxInt64 }

// fields are the sizes of the fields after the descriptor of a frame, in this order.
type fields struct{ window, dictionary, content int }

func fieldsOf(descriptor byte) (f fields) {
	f.dictionary = []int{0, 1, 2, 4}[descriptor&3]
	f.content = []int{0, 2, 4, 8}[descriptor>>6]
	switch {
	case descriptor&singleSegment == 0:
		f.window = 1
	case f.content == 0:
		f.content = 1
	}
	return f
}

func (f fields) size() int { return f.window + f.dictionary + f.content }

// windowSize is the window that a frame with these fields asks for.
func (f fields) windowSize(b []byte) uint64 {
	if f.window > 0 {
		base := uint64(1) << (10 + b[0]>>3)
		return base + base/8*uint64(b[0]&7)
	}
	var content [8]byte
	copy(content[:], b[f.dictionary:f.size()])
	n := binary.LittleEndian.Uint64(content[:])
	if f.content == 2 {
		n += 256
	}
	return n
}
