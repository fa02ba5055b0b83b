package tree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// sift passes b through s in pieces of up to so many bytes, and returns what is left.
func sift(t *testing.T, s *Sifter, unit int64, b []byte, piece int, short bool) (data []byte, holes int64) {
	t.Helper()
	s.Data = func(p []byte) error { data = append(data, p...); return nil }
	s.Hole = func(n int64) { holes += n }
	s.Begin(unit)
	for rest := b; len(rest) > 0; {
		n := min(len(rest), piece)
		if err := s.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := s.End(short); err != nil {
		t.Fatal(err)
	}
	return data, holes
}

// What is left, put where the extents say, is the file, whatever the pieces; the holes
// are its units of zeros.
func TestSifter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, unit := range []int64{4, 16} {
		for range 500 {
			b := make([]byte, r.IntN(200))
			for i := range b {
				if r.IntN(20) == 0 {
					b[i] = 1
				}
			}
			short := r.IntN(2) == 0
			var want []byte
			holes := false
			for at := 0; at < len(b); at += int(unit) {
				part := b[at:min(len(b), at+int(unit))]
				if len(bytes.Trim(part, "\x00")) == 0 && (len(part) == int(unit) || short || holes) {
					holes = true
				} else {
					want = append(want, part...)
				}
			}
			for _, piece := range []int{1, 3, 7, 1000} {
				s := &Sifter{Room: 1000}
				data, left := sift(t, s, unit, b, piece, short)
				if !bytes.Equal(data, want) || int64(len(data))+left != int64(len(b)) || (s.Extents() != nil) != holes {
					t.Fatalf("unit %d, pieces of %d, %v: %v stays of %v, %d left out", unit, piece, short, data, b, left)
				}
				if !holes {
					continue
				}
				again := make([]byte, len(b))
				end, rest := int64(-1), data
				for _, x := range s.Extents() {
					if x.Len <= 0 || x.Off <= end {
						t.Fatalf("extents %v", s.Extents())
					}
					end = x.End()
					rest = rest[copy(again[x.Off:end], rest):]
				}
				if len(rest) > 0 || !bytes.Equal(again, b) {
					t.Fatalf("extents %v of %v", s.Extents(), b)
				}
			}
		}
	}
}

// Without room for more extents everything stays, from the same place on for any
// pieces; a file that is one hole takes none.
func TestSifterRoom(t *testing.T) {
	b := bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 10)
	for _, piece := range []int{1, 5, 100} {
		s := &Sifter{Room: 3}
		data, holes := sift(t, s, 4, b, piece, true)
		if have := fmt.Sprint(s.Extents(), s.Room, len(data), holes); have != "[{0 4} {8 4} {16 4} {24 56}] 0 68 12" {
			t.Errorf("pieces of %d: %s", piece, have)
		}
		if data, holes := sift(t, s, 4, make([]byte, 8), piece, true); len(data) != 8 || holes != 0 {
			t.Errorf("pieces of %d: %d bytes stay, %d do not", piece, len(data), holes)
		}
	}
	s := &Sifter{Room: 1}
	if data, holes := sift(t, s, 4, make([]byte, 1000), 100, false); len(data) != 0 || holes != 1000 || s.Room != 1 || s.Extents() == nil {
		t.Errorf("%d bytes stay, %d do not, room for %d", len(data), holes, s.Room)
	}
}

// With zeros in holes, wherever they begin, a file has the extents that it has without.
func TestSifterSkip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		b := make([]byte, r.IntN(300))
		for at := 0; at < len(b); at += 1 + r.IntN(60) {
			b[at] = 1
		}
		short := r.IntN(2) == 0
		plain, holey := &Sifter{Room: 1000}, &Sifter{Room: 1000}
		want, left := sift(t, plain, 16, b, 1000, short)
		var have []byte
		holes := int64(0)
		holey.Data = func(p []byte) error { have = append(have, p...); return nil }
		holey.Hole = func(n int64) { holes += n }
		holey.Begin(16)
		for at := 0; at < len(b); {
			end := at + 1
			for end < len(b) && b[end] == 0 && b[at] == 0 {
				end++
			}
			if skip := r.IntN(2) == 0 && b[at] == 0; skip {
				end = at + 1 + r.IntN(end-at)
				if err := holey.Skip(int64(end - at)); err != nil {
					t.Fatal(err)
				}
			} else if err := holey.Write(b[at:end]); err != nil {
				t.Fatal(err)
			}
			if at = end; holey.Taken() != int64(at) {
				t.Fatalf("%d bytes taken of %d", holey.Taken(), at)
			}
		}
		if err := holey.End(short); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) || holes != left || fmt.Sprint(holey.Extents()) != fmt.Sprint(plain.Extents()) {
			t.Fatalf("%v: %v, and with holes %v", b, plain.Extents(), holey.Extents())
		}
	}
}

// A hole stays one where there is no room for more, in no time and whatever its length.
func TestSifterSkipRoom(t *testing.T) {
	s := new(Sifter)
	data, holes := 0, int64(0)
	s.Data = func(p []byte) error { data += len(p); return nil }
	s.Hole = func(n int64) { holes += n }
	s.Begin(16)
	for range 3 {
		if err := s.Write([]byte("data and more of it")); err != nil {
			t.Fatal(err)
		}
		if err := s.Skip(1<<40 + 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.End(true); err != nil {
		t.Fatal(err)
	}
	if s.Room != 0 || holes+int64(data) != 3*(19+1<<40+5) || data > 3*48 || len(s.Extents()) != 4 { // the last one is the zeros behind the last unit
		t.Errorf("room for %d, %d bytes of data, %d of holes, extents %v", s.Room, data, holes, s.Extents())
	}
}
