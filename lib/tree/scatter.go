package tree

import (
	"errors"
	"fmt"
	"io"
)

// Scatter takes the data of a file as its content writes it, the extents one after the
// other, and tells where in the file each piece lies. A Scatter serves one file after the
// other.
type Scatter struct {
	Put func(off int64, p []byte) error // takes the pieces, which are not empty, in order

	// Memory lends memory for the next bytes, as blockio.Lender has it; nil lends none. The
	// bytes that are written into it may come as several pieces.
	Memory func() []byte

	left []Extent // still to come, the first one maybe in part
	buf  []Extent
}

var errTooLong = errors.New("content is longer than its size says")

// Take passes on c, the content of a file of size bytes with the given extents, as an
// Entry has them. It is an error if c has more or less than the extents hold; c may be nil
// if they hold nothing.
func (s *Scatter) Take(c Content, size int64, extents []Extent) error {
	s.buf = append(s.buf[:0], extents...)
	if extents == nil {
		s.buf = append(s.buf, Extent{Len: size})
	}
	s.left = s.buf
	if c != nil {
		if _, err := c.WriteTo(s); err != nil {
			return err
		}
	}
	if len(s.left) > 0 {
		return fmt.Errorf("content ends %d bytes early: %w", (&Entry{Type: File, Extents: s.left}).DataSize(), io.ErrUnexpectedEOF)
	}
	return nil
}

// Lend makes a Scatter a blockio.Lender.
func (s *Scatter) Lend() []byte {
	if s.Memory == nil {
		return nil
	}
	return s.Memory()
}

// Write takes the next bytes of the content.
func (s *Scatter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(s.left) == 0 {
			return n, errTooLong
		}
		x := &s.left[0]
		k := min(int64(len(p)), x.Len)
		if err := s.Put(x.Off, p[:k]); err != nil {
			return n, err
		}
		p, n = p[k:], n+int(k)
		*x = Extent{Off: x.Off + k, Len: x.Len - k}
		if x.Len == 0 {
			s.left = s.left[1:]
		}
	}
	return n, nil
}
