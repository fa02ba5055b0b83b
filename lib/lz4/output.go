package lz4

import "encoding/binary"

// A block is one in the making. Its methods see to the room that is left and to the rules
// of the end.
type block struct {
	dst []byte
	n   int // bytes of dst in use
}

// extra is how many bytes a length takes besides its nibble.
func extra(length int) int {
	if length < longNibble {
		return 0
	}
	return (length-longNibble)/255 + 1
}

// sequence appends literals and a match that follows them. If there is no room for all of
// it, and for what must follow a match, it shortens the match. It returns the length that is
// left: 0 if not even literals and a short match fit, in which case nothing was appended.
// After a match shorter than wanted, the block has room for the last literals alone.
//
// The literals are a part of the content: up to the capacity, what is behind them may be read.
func (b *block) sequence(literals []byte, offset, length int) int {
	if len(literals) < longNibble && length <= longestShort && b.n <= len(b.dst)-48 && cap(literals) >= 16 {
		out := b.dst[b.n:][:32] // what most sequences need, and the end of a block
		*(*[16]byte)(out[1:]) = *(*[16]byte)(literals[:16])
		out[0] = byte(len(literals)<<4 | (length - minMatch))
		binary.LittleEndian.PutUint16(out[1+len(literals):], uint16(offset))
		b.n += len(literals) + 3
		return length
	}
	need := 1 + extra(len(literals)) + len(literals) + 2
	for { // at most twice
		left := len(b.dst) - b.n - need - 1 - max(lastLiterals, lastMatch-length)
		if left >= extra(length-minMatch) {
			break
		}
		if left < 0 {
			return 0
		}
		// With left more bytes: the nibble's 15, then bytes of 255, the last of 254.
		length = minMatch + longNibble - 1 + 255*left
	}
	token := b.dst[b.n:]
	b.literals(literals)
	binary.LittleEndian.PutUint16(b.dst[b.n:], uint16(offset))
	b.n += 2
	token[0] |= byte(min(length-minMatch, longNibble))
	b.more(length - minMatch)
	return length
}

// last appends the last literals of the block, as many of the given ones as fit, and
// returns how many.
func (b *block) last(literals []byte) int {
	room := len(b.dst) - b.n - 1
	fit := min(len(literals), room)
	for fit+extra(fit) > room {
		fit--
	}
	b.literals(literals[:fit])
	return fit
}

// literals appends a token and the literals behind it.
func (b *block) literals(literals []byte) {
	b.dst[b.n] = byte(min(len(literals), longNibble) << 4)
	b.n++
	b.more(len(literals))
	b.n += copy(b.dst[b.n:], literals)
}

// more appends what a length takes besides its nibble.
func (b *block) more(length int) {
	if length < longNibble {
		return
	}
	for length -= longNibble; length >= 255; length -= 255 {
		b.dst[b.n] = 255
		b.n++
	}
	b.dst[b.n] = byte(length)
	b.n++
}
