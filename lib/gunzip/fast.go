package gunzip

import "encoding/binary"

// fast decodes symbols while there is input for a round and room for a match.
//
// Only the low six bits of nbits count here, which saves a mask for each symbol. A round
// begins with at least 56 bits and the entry of the next symbol. Whatever that is, it is
// dropped as if it were a literal, of no bits if it is none. So there is no branch to
// predict between a match and a literal with a match, which between them are most of what
// deflate makes. Each entry is looked up before bits are refilled, and that of a distance
// before it is known to be one: lookups are what the others wait for. No round takes more
// than the bits of two symbols and a distance from the first tables, 44, before the next
// lookup; others are refilled more often.
func (f *inflater) fast() error {
	var (
		in    = &f.in
		pos   = f.pos
		stop  = f.end - inRound
		bits  = f.bits
		nbits = f.nbits
		out   = f.out
		w     = uint(f.w)
		lit   = &f.lit
		what  = ""
	)
	bits, nbits, pos = refill(in, bits, nbits, pos)
	e := lit[bits&(1<<litBits-1)]
	for pos <= stop && w < outLimit {
		out[w] = byte(e >> 16)
		w += uint(e >> 31)
		bits, nbits = bits>>e.drop(), nbits-uint(e)
		e = lit[bits&(1<<litBits-1)]
		d := f.dist[bits>>e.middle()&(1<<distBits-1)]
		if e >= isLiteral {
			out[w] = byte(e >> 16)
			w++
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
				out[w] = byte(e >> 16)
				w++
				bits, nbits = bits>>e.drop(), nbits-uint(e)
				e = lit[bits&(1<<litBits-1)]
				bits, nbits, pos = refill(in, bits, nbits, pos)
				continue
			}
			if e&isBad != 0 {
				what = "symbol that does not exist"
				break
			}
			if e&isEnd != 0 {
				bits, nbits = bits>>e.total(), nbits-e.total()
				f.bits, f.nbits, f.pos, f.w = bits, nbits&63, pos, int(w)
				f.endBlock()
				return nil
			}
			length = e.length(bits)
			bits, nbits = bits>>e.total(), nbits-e.total()
			d = f.dist[bits&(1<<distBits-1)]
			bits, nbits, pos = refill(in, bits, nbits, pos)
		} else {
			bits, nbits = bits>>e.middle(), nbits-uint(e>>6)
		}
		if d&isOther != 0 {
			bits, nbits, pos = refill(in, bits, nbits, pos)
			if d&isSubtable != 0 {
				d = f.dist[d.second(bits, distBits)&(distSize-1)]
			}
			if d&isOther != 0 {
				what = "distance that does not exist"
				break
			}
		}
		distance := d.distance(bits)
		bits, nbits = bits>>d.drop(), nbits-uint(d)
		if distance > w-uint(f.base) {
			what = "distance to before the beginning"
			break
		}
		e = lit[bits&(1<<litBits-1)]
		bits, nbits, pos = refill(in, bits, nbits, pos)
		at, from := w, (w-distance)&(outSize-1)
		w += length
		if distance < 8 {
			out.repeat(at, distance, length)
			continue
		}
		// Most matches end within four words, without a loop to predict.
		binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(out[from:]))
		binary.LittleEndian.PutUint64(out[at+8:], binary.LittleEndian.Uint64(out[from+8:]))
		binary.LittleEndian.PutUint64(out[at+16:], binary.LittleEndian.Uint64(out[from+16:]))
		binary.LittleEndian.PutUint64(out[at+24:], binary.LittleEndian.Uint64(out[from+24:]))
		for n := uint(32); n < length; n += 16 {
			to, of := (at+n)&(outSize-1), (from+n)&(outSize-1)
			binary.LittleEndian.PutUint64(out[to:], binary.LittleEndian.Uint64(out[of:]))
			binary.LittleEndian.PutUint64(out[to+8:], binary.LittleEndian.Uint64(out[of+8:]))
		}
	}
	f.bits, f.nbits, f.pos, f.w = bits, nbits&63, pos, int(w)
	if what != "" {
		return f.corrupt(what)
	}
	return nil
}

// refill adds bytes of in, from pos on, to the nbits bits, so that they are at least 56, and
// returns all three. Only the low six bits of nbits count. The bits above are what follows
// in the input.
func refill(in *[inSize + word]byte, bits uint64, nbits uint, pos int) (uint64, uint, int) {
	bits |= binary.LittleEndian.Uint64(in[pos&(inSize-1):]) << (nbits & 63)
	return bits, nbits | 56, pos + int(^nbits>>3)&7
}

// stride is the largest multiple of each distance within a word.
var stride = [word]uint8{0, 8, 8, 6, 8, 5, 6, 7}

// repeat repeats the distance bytes before at, fewer than eight, until there are n, and
// less than a word more.
func (o *output) repeat(at, distance, n uint) {
	run := binary.LittleEndian.Uint64(o[(at-distance)&(outSize-1):]) & (1<<(8*distance&63) - 1)
	for k := distance * 8; k < 64; k *= 2 {
		run |= run << (k & 63)
	}
	for i := uint(0); i < n; i += uint(stride[distance&(word-1)]) {
		binary.LittleEndian.PutUint64(o[(at+i)&(outSize-1):], run)
	}
}
