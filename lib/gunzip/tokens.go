package gunzip

import (
	"encoding/binary"
	"io"
)

// A token stands for some literals and, unless noMatch is set, a match after them:
//
//	31     noMatch
//	23-30  number of literals
//	8-22   distance of the match less 1
//	0-7    its length less 3
//
// Finding tokens needs no knowledge of what was decompressed before.
type token uint32

const (
	noMatch token = 1 << 31
	maxRun        = 255 // literals of a token

	tokenCount = 32 << 10
	litCount   = 64 << 10

	// The last round of symbols may begin here. The rest has room for the literals of
	// a round, and for the tokens of all literals.
	tokenLimit = tokenCount - litCount/maxRun - 2
	litLimit   = litCount - 2*word
)

// tokens are a piece of a deflate stream. The sizes are powers of two, which saves
// bounds checks.
type tokens struct {
	tok [tokenCount]token
	lit [litCount + word]byte
	n   int // tokens in tok
	l   int // literals in lit
	at  int // index in lit of the first literal without a token
}

func (s *tokens) full() bool { return s.n > tokenLimit || s.l > litLimit }

// flush makes tokens of literals until at most rest of them have none.
func (s *tokens) flush(rest int) {
	for s.l-s.at > rest {
		run := min(s.l-s.at, maxRun)
		s.tok[s.n] = noMatch | token(run)<<23
		s.n++
		s.at += run
	}
}

// place is a position in tokens.
type place struct{ n, l int }

// execute decompresses from p on until s ends or the buffer of f is full. The bytes
// that a match may refer to must be in the buffer. It returns the new position.
func (s *tokens) execute(f *inflater, p place) place {
	var (
		out = f.out
		w   = f.w
		tok = s.tok[:s.n]
		l   = p.l
		n   = p.n
	)
	for ; n < len(tok) && w < outLimit; n++ {
		t := tok[n]
		run := int(t >> 23 & maxRun)
		binary.LittleEndian.PutUint64(out[w&(outSize-1):], binary.LittleEndian.Uint64(s.lit[l&(litCount-1):]))
		for i := 8; i < run; i += 8 {
			binary.LittleEndian.PutUint64(out[(w+i)&(outSize-1):], binary.LittleEndian.Uint64(s.lit[(l+i)&(litCount-1):]))
		}
		w, l = w+run, l+run
		if t&noMatch != 0 {
			continue
		}
		length, distance := int(t&0xff)+3, int(t>>8&(windowSize-1))+1
		at, from := w&(outSize-1), (w-distance)&(outSize-1)
		w += length
		if distance < 8 {
			out.repeat(uint(at), uint(distance), uint(length))
			continue
		}
		binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(out[from:]))
		binary.LittleEndian.PutUint64(out[at+8:], binary.LittleEndian.Uint64(out[from+8:]))
		binary.LittleEndian.PutUint64(out[at+16:], binary.LittleEndian.Uint64(out[from+16:]))
		binary.LittleEndian.PutUint64(out[at+24:], binary.LittleEndian.Uint64(out[from+24:]))
		for i := 32; i < length; i += 16 {
			to, of := (at+i)&(outSize-1), (from+i)&(outSize-1)
			binary.LittleEndian.PutUint64(out[to:], binary.LittleEndian.Uint64(out[of:]))
			binary.LittleEndian.PutUint64(out[to+8:], binary.LittleEndian.Uint64(out[of+8:]))
		}
	}
	f.w = w
	return place{n, l}
}

// tokenizer decodes a deflate stream to tokens.
type tokenizer struct {
	inflater
	to *tokens
}

// step decodes until the state changes or the tokens are full.
func (t *tokenizer) step() error {
	switch t.state {
	case atHeader:
		return t.header()
	case inStored:
		return t.stored()
	}
	for t.state == inCodes && !t.to.full() {
		for t.end-t.pos < inRound {
			if err := t.fill(); err != nil {
				return err // the rest is not worth a slow loop
			}
		}
		if err := t.symbols(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tokenizer) stored() error {
	if t.left == 0 {
		t.endBlock()
		return nil
	}
	if t.pos == t.end {
		if err := t.fill(); err != nil {
			return err
		}
	}
	s := t.to
	n := min(t.left, t.end-t.pos, litCount-s.l)
	copy(s.lit[s.l:s.l+n], t.in[t.pos:])
	s.l, t.pos, t.left = s.l+n, t.pos+n, t.left-n
	return nil
}

// symbols is [inflater.fast] that makes tokens instead of bytes. What the two loops, and the
// copies of matches in fast and execute, have in common stands in both, because Go inlines no
// function of this size: a call for each match alone takes a tenth more processor time, and to
// decompress by way of tokens takes a third more.
func (t *tokenizer) symbols() error {
	var (
		in    = &t.in
		pos   = t.pos
		stop  = t.end - inRound
		bits  = t.bits
		nbits = t.nbits
		s     = t.to
		l     = s.l
		n     = s.n
		lit   = &t.lit
		bad   = false
	)
	bits, nbits, pos = refill(in, bits, nbits, pos)
	e := lit[bits&(1<<litBits-1)]
	for pos <= stop && n <= tokenLimit && l <= litLimit {
		s.lit[l&(litCount-1)] = byte(e >> 16)
		l += int(e >> 31)
		bits, nbits = bits>>e.drop(), nbits-uint(e)
		e = lit[bits&(1<<litBits-1)]
		d := t.dist[bits>>e.middle()&(1<<distBits-1)]
		if e >= isLiteral {
			s.lit[l&(litCount-1)] = byte(e >> 16)
			l++
			bits, nbits = bits>>e.drop(), nbits-uint(e)
			e = lit[bits&(1<<litBits-1)]
			bits, nbits, pos = refill(in, bits, nbits, pos)
			continue
		}
		length := uint(e >> 16)
		if e&isOther != 0 {
			if e&isSubtable != 0 {
				e = lit[e.second(bits, litBits)&(litSize-1)]
			}
			if e >= isLiteral {
				s.lit[l&(litCount-1)] = byte(e >> 16)
				l++
				bits, nbits = bits>>e.drop(), nbits-uint(e)
				e = lit[bits&(1<<litBits-1)]
				bits, nbits, pos = refill(in, bits, nbits, pos)
				continue
			}
			if e&isBad != 0 {
				bad = true
				break
			}
			if e&isEnd != 0 {
				bits, nbits = bits>>e.total(), nbits-e.total()
				t.bits, t.nbits, t.pos, s.l, s.n = bits, nbits&63, pos, l, n
				t.endBlock()
				return nil
			}
			length = e.length(bits)
			bits, nbits = bits>>e.total(), nbits-e.total()
			d = t.dist[bits&(1<<distBits-1)]
			bits, nbits, pos = refill(in, bits, nbits, pos)
		} else {
			bits, nbits = bits>>e.middle(), nbits-uint(e>>6)
		}
		if d&isOther != 0 {
			bits, nbits, pos = refill(in, bits, nbits, pos)
			if d&isSubtable != 0 {
				d = t.dist[d.second(bits, distBits)&(distSize-1)]
			}
			if d&isOther != 0 {
				bad = true
				break
			}
		}
		distance := d.distance(bits)
		bits, nbits = bits>>d.drop(), nbits-uint(d)
		e = lit[bits&(1<<litBits-1)]
		bits, nbits, pos = refill(in, bits, nbits, pos)
		if l-s.at > maxRun {
			s.l, s.n = l, n
			s.flush(maxRun)
			n = s.n
		}
		s.tok[n&(tokenCount-1)] = token(l-s.at)<<23 | token(distance-1)<<8 | token(length-3)
		n++
		s.at = l
	}
	t.bits, t.nbits, t.pos, s.l, s.n = bits, nbits&63, pos, l, n
	if bad {
		return io.ErrUnexpectedEOF // the inflater finds it again and reports it
	}
	return nil
}
