package archive

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The parts of a block of zstd that matter here (RFC 8878, 3.1.1.2): a header of 3 bytes,
// little endian, with the bit that marks the last block, 2 bits of type, and the size.
const (
	blockHead = 3
	lastBit   = 1

	blockRaw        = 0
	blockRLE        = 1
	blockCompressed = 2
)

func putBlockHead(b []byte, kind, size int) []byte {
	v := kind<<1 | size<<3
	return append(b, byte(v), byte(v>>8), byte(v>>16))
}

// lastBlock is an empty raw block, the last of a frame.
var lastBlock = []byte{lastBit, 0, 0}

// resetLen is the number of equal bytes that reset stands for.
const resetLen = 32

// reset returns three blocks for resetLen bytes c, after which a decoder has 1, 4 and 8 as
// the last offsets, as at the beginning of a frame: matches at the distances 8, 4 and 1, of
// 8 bytes each. The first has 8 literals before it. Each block has one sequence, whose
// three codes are given as the only ones (RLE mode), so that nothing but extra bits is left
// of its bit stream.
func reset(c byte) []byte {
	const (
		literalsRLE = 1 | 8<<3 // 8 of them
		noLiterals  = 0
		oneSequence = 1
		modesRLE    = 1<<6 | 1<<4 | 1<<2
		match8      = 8 - 3 // code of the length of a match
	)
	var b []byte
	// The value of an offset is 3 more: 11 is code 3 and the extra bits 011, 7 is code 2 and
	// 11, 4 is code 2 and 00. A 1 marks the end of the bits.
	b = append(putBlockHead(b, blockCompressed, 8), literalsRLE, c, oneSequence, modesRLE, 8, 3, match8, 0b1011)
	b = append(putBlockHead(b, blockCompressed, 7), noLiterals, oneSequence, modesRLE, 0, 2, match8, 0b111)
	return append(putBlockHead(b, blockCompressed, 7), noLiterals, oneSequence, modesRLE, 0, 2, match8, 0b100)
}

// splice takes a frame of zstd, and writes its blocks without the header of the frame, none
// of them marked as the last. It keeps them until it is the segment's turn.
type splice struct {
	*segment
	out  io.Writer
	head bool   // whether the header of the frame has passed
	left int    // of the block that is passing
	part []byte // of a header
	wait []byte // blocks that wait
}

// Write implements io.Writer.
func (s *splice) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if s.left > 0 {
			k := min(s.left, len(p))
			if err := s.put(p[:k]); err != nil {
				return 0, err
			}
			p, s.left = p[k:], s.left-k
			continue
		}
		s.part = append(s.part, p[0])
		p = p[1:]
		if err := s.header(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// header looks whether part is complete: the header of the frame, or that of a block.
func (s *splice) header() error {
	if !s.head {
		var h zstd.Header
		if len(s.part) > zstd.HeaderMaxSize {
			return fmt.Errorf("no header of a frame in %x", s.part)
		}
		if err := h.Decode(s.part); err != nil || !h.FirstBlock.OK {
			return nil // more is needed
		}
		first := s.part[h.HeaderSize:]
		s.head, s.part = true, nil
		_, err := s.Write(append([]byte(nil), first...))
		return err
	}
	if len(s.part) < blockHead {
		return nil
	}
	v := int(s.part[0]) | int(s.part[1])<<8 | int(s.part[2])<<16
	kind, size := v>>1&3, v>>3
	s.part = s.part[:0]
	if kind == blockRaw && size == 0 {
		return nil
	}
	if s.left = size; kind == blockRLE {
		s.left = 1
	}
	return s.put(putBlockHead(nil, kind, size))
}

// put writes p, or keeps it if it is not the segment's turn.
func (s *splice) put(p []byte) error {
	select {
	case <-s.turn:
		if err := s.flush(); err != nil {
			return err
		}
		_, err := s.out.Write(p)
		return err
	default:
		s.wait = append(s.wait, p...)
		return nil
	}
}

// flush writes what has waited. It is the segment's turn.
func (s *splice) flush() error {
	if len(s.wait) == 0 {
		return nil
	}
	_, err := s.out.Write(s.wait)
	s.wait = nil
	return err
}
