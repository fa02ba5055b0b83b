package tree

import "bytes"

// Sifter finds holes in a file that is said to have none: units of it, counted from its
// beginning, with nothing but zeros in them. What it finds does not depend on the
// pieces in which the file comes.
type Sifter struct {
	Data func(p []byte) error // takes the bytes that stay, in their order
	Hole func(n int64)        // is told that so many do not
	Room int                  // extents that may still be found, of all files; at 0 everything stays

	unit    int64
	off     int64 // in the file, of what has been passed on
	zeros   int64 // that came behind it, less than a unit
	data    int64 // where the last extent begins
	extents []Extent
	found   bool
}

// Begin begins a file.
func (s *Sifter) Begin(unit int64) {
	*s = Sifter{Data: s.Data, Hole: s.Hole, Room: s.Room, unit: unit, extents: s.extents[:0]}
}

// Write takes the next bytes.
func (s *Sifter) Write(p []byte) error {
	for len(p) > 0 {
		if n := s.dense(p); n > 0 {
			if err := s.fill(); err != nil {
				return err
			}
			if err := s.Data(p[:n]); err != nil {
				return err
			}
			s.off += int64(n)
			p = p[n:]
			continue
		}
		n := min(int64(len(p)), s.unit-s.zeros)
		s.zeros += n
		p = p[n:]
		if s.zeros == s.unit {
			s.leaveOut()
		}
	}
	return nil
}

// End ends the file. What is left of it, zeros that are no whole unit, becomes a hole
// where short is true or there is one already.
func (s *Sifter) End(short bool) error {
	if s.zeros > 0 && (s.found || short) && s.Room > 0 {
		s.leaveOut()
	}
	if err := s.fill(); err != nil {
		return err
	}
	if s.found && s.off > s.data {
		s.extents = append(s.extents, Extent{s.data, s.off - s.data})
	}
	return nil
}

// Extents are those of the file; nil if no hole was found.
func (s *Sifter) Extents() []Extent {
	if !s.found {
		return nil
	}
	return append(make([]Extent, 0, len(s.extents)), s.extents...)
}

// dense is how much of p is not the beginning of a hole, nor goes on with one.
func (s *Sifter) dense(p []byte) (n int) {
	if s.Room == 0 {
		return len(p)
	}
	in := s.off%s.unit + s.zeros // of the unit
	begun := s.off%s.unit > 0
	for n < len(p) {
		piece := p[n:]
		if left := s.unit - in; int64(len(piece)) > left {
			piece = piece[:left]
		}
		if !begun && allZero(piece) {
			break
		}
		n, in, begun = n+len(piece), 0, false
	}
	return n
}

// leaveOut makes the zeros that came a hole.
func (s *Sifter) leaveOut() {
	if s.off > s.data {
		s.extents = append(s.extents, Extent{s.data, s.off - s.data})
		s.Room--
	}
	s.found = true
	s.Hole(s.zeros)
	s.off += s.zeros
	s.data, s.zeros = s.off, 0
}

// fill passes the zeros on.
func (s *Sifter) fill() error {
	for s.zeros > 0 {
		n := min(s.zeros, int64(len(zeroBlock)))
		if err := s.Data(zeroBlock[:n]); err != nil {
			return err
		}
		s.off, s.zeros = s.off+n, s.zeros-n
	}
	return nil
}

func allZero(p []byte) bool {
	for len(p) > len(zeroBlock) {
		if !bytes.Equal(p[:len(zeroBlock)], zeroBlock[:]) {
			return false
		}
		p = p[len(zeroBlock):]
	}
	return bytes.Equal(p, zeroBlock[:len(p)])
}
