package lz4

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by all errors about blocks.
var ErrCorrupt = errors.New("corrupt LZ4 block")

// What the format fixes.
const (
	minMatch     = 4
	maxOffset    = 1<<16 - 1
	lastLiterals = 5  // the content ends with at least that many literals
	lastMatch    = 12 // the last match begins at least that far before the end
	longNibble   = 15 // a nibble that is followed by more of its length

	// tailBytes is what follows the literals of any sequence but the last: an offset, a
	// token and the last literals.
	tailBytes = 2 + 1 + lastLiterals
)

// Decode decodes the block src, which must be used up and yield exactly len(dst) bytes. It
// refuses, with an error that wraps [ErrCorrupt], all that LZ4_decompress_safe refuses for
// an output of len(dst) bytes, blocks that break the rules of the end among them. Besides that
// it refuses the offset 0, which has no meaning, and ends against the rules that wide copies of
// liblz4 let pass. After an error the content of dst is undefined. Decode writes nowhere else
// and allocates nothing unless it fails.
func Decode(dst, src []byte) error {
	if len(dst) == 0 {
		if len(src) != 1 || src[0] != 0 {
			return corrupt(0, "an empty content is one zero byte")
		}
		return nil
	}
	return decode(dst, src, false)
}

// DecodePrefix decodes the first len(dst) bytes of the content of the block src. The block
// may hold more, and what lies behind the sequence that completes dst is not looked at. A
// block that holds less is refused, as is what LZ4_decompress_safe_partial of Linux refuses,
// which is a little more than what that of later liblz4 does, with an error that wraps
// [ErrCorrupt]. After an error the content of dst is undefined.
// DecodePrefix writes nowhere else and allocates nothing unless it fails.
func DecodePrefix(dst, src []byte) error {
	if len(dst) == 0 {
		return nil
	}
	return decode(dst, src, true)
}

func corrupt(at int, what string) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrCorrupt, at, what)
}

// decode decodes src to dst, which is not empty, and stops when dst is full if prefix is
// set. Its loop does the frequent case, short literals and a short match far from both
// ends, and leaves the rest to two functions.
func decode(dst, src []byte, prefix bool) error {
	s, d := 0, 0
	for {
		if s >= len(src) {
			return corrupt(s, "ends within a sequence")
		}
		token := int(src[s])
		literals, length := token>>4, token&15
		s++
		if literals < longNibble && s <= len(src)-32 && d <= len(dst)-64 {
			*(*[16]byte)(dst[d:]) = *(*[16]byte)(src[s:])
			s, d = s+literals, d+literals
		} else {
			var done bool
			var err error
			if s, d, done, err = decodeLiterals(dst, src, s, d, literals, prefix); done {
				return err
			}
		}

		// A match follows: decodeLiterals makes sure of 2 bytes.
		offset := int(binary.LittleEndian.Uint16(src[s:]))
		s += 2
		if length == longNibble {
			more, n := longer(src[s:], len(dst))
			s, length = s+n, length+more
			if s > len(src)-lastLiterals {
				return corrupt(s, "ends within a sequence")
			}
		}
		length += minMatch
		if offset == 0 || offset > d {
			return corrupt(s, "match begins before the content")
		}
		if offset >= 8 && length <= 16 && d <= len(dst)-48 {
			from := dst[d-offset:]
			to := dst[d:]
			*(*[8]byte)(to) = *(*[8]byte)(from)
			*(*[8]byte)(to[8:]) = *(*[8]byte)(from[8:])
			d += length
			continue
		}
		if d+length > len(dst)-lastLiterals {
			if !prefix {
				return corrupt(s, "match reaches into the last literals")
			}
			length = min(length, len(dst)-d)
		}
		copyMatch(dst, d, offset, length)
		d += length
		if d == len(dst) {
			return nil // only a prefix comes here
		}
	}
}

// longer adds up the n bytes in which a length goes on. A sum beyond limit may be any
// number beyond limit.
func longer(src []byte, limit int) (length, n int) {
	for n < len(src) {
		b := src[n]
		n++
		length = min(length+int(b), limit+1)
		if b != 255 {
			break
		}
	}
	return length, n
}

// decodeLiterals copies the literals of a sequence whose token ended before src[s] to
// dst[d:], and reports whether the block is done, well or not. If it is not done, src holds
// at least the 2 bytes of an offset.
func decodeLiterals(dst, src []byte, s, d, literals int, prefix bool) (int, int, bool, error) {
	if literals == longNibble {
		more, n := longer(src[s:], len(dst))
		s, literals = s+n, literals+more
		if s > len(src)-longNibble {
			return s, d, true, corrupt(s, "ends within literals")
		}
	}
	room, left := len(dst)-d, len(src)-s
	if literals > room {
		if !prefix {
			return s, d, true, corrupt(s, "literals reach beyond the content")
		}
		literals = room
	}
	if literals > left {
		return s, d, true, corrupt(s, "ends within literals")
	}
	copy(dst[d:], src[s:s+literals])
	s, d = s+literals, d+literals
	if room-literals >= lastMatch && left-literals >= tailBytes {
		return s, d, false, nil
	}
	if prefix {
		if d == len(dst) {
			return s, d, true, nil
		}
		if left-literals > 2 {
			return s, d, false, nil
		}
		return s, d, true, corrupt(s, "content is shorter")
	}
	switch {
	case literals != left:
		return s, d, true, corrupt(s, "sequence too near to the end")
	case d != len(dst):
		return s, d, true, corrupt(s, "content is shorter")
	}
	return s, d, true, nil
}

// copyMatch copies length bytes from offset before dst[d:], which may overlap.
func copyMatch(dst []byte, d, offset, length int) {
	from, to := dst[d-offset:], dst[d:d+length]
	if offset >= 16 && length <= 64 && len(dst)-d >= 80 {
		wide := dst[d : d+80]
		for i := 0; i < length; i += 16 {
			*(*[16]byte)(wide[i:]) = *(*[16]byte)(from[i:])
		}
		return
	}
	for n := copy(to, from[:min(offset, length)]); n < length; {
		n += copy(to[n:], to[:n])
	}
}
