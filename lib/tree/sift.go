package tree

import "bytes"

// Sifter finds holes in a file: it divides the file into units, and makes those that hold
// only zeros holes. The result does not depend on the pieces in which the file is written,
// or, as long as there is Room, on the holes that it had before.
type Sifter struct {
	Data func(p []byte) error // called with the data, in order
	Hole func(n int64)        // called with the length of each hole
	Room int                  // how many more extents may be found, in all files; at 0 everything is data

	unit    int64
	off     int64 // in the file: everything before it has been passed on
	zeros   int64 // number of zeros after off that have not been passed on, less than a unit
	data    int64 // where the last extent begins
	extents []Extent
	found   bool
}

// Begin begins a file with units of the given number of bytes.
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

// Skip takes n zeros that are in a hole already. Whole units of them are one again even
// without Room.
func (s *Sifter) Skip(n int64) error {
	for n > 0 {
		in := s.off%s.unit + s.zeros
		if whole := n - n%s.unit; in == 0 && whole > 0 {
			if s.off > s.data {
				s.Room++ // the extent that ends here is not one more than there were
			}
			s.zeros = whole
			s.leaveOut()
			n -= whole
			continue
		}
		k := min(n, s.unit-in, int64(len(zeroBlock)))
		if err := s.Write(zeroBlock[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// Taken returns how many bytes of the file have been taken.
func (s *Sifter) Taken() int64 { return s.off + s.zeros }

// Pending reports whether zeros have been taken and not been passed on yet.
func (s *Sifter) Pending() bool { return s.zeros > 0 }

// End ends the file. Zeros at its end that do not fill a unit become a hole if short is
// true or a hole was found before.
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

// Extents returns the extents of the file, or nil if it has no hole.
func (s *Sifter) Extents() []Extent {
	if !s.found {
		return nil
	}
	return append(make([]Extent, 0, len(s.extents)), s.extents...)
}

// dense returns how many bytes at the beginning of p are data for certain.
func (s *Sifter) dense(p []byte) (n int) {
	if s.Room == 0 {
		return len(p)
	}
	in := s.off%s.unit + s.zeros // bytes of the current unit before p
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

// leaveOut makes a hole of the pending zeros.
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

// fill passes on the pending zeros as data.
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
