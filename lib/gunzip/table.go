package gunzip

import "math/bits"

// Limits of RFC 1951.
const (
	maxCodeLen   = 15
	maxLitCodes  = 286 // only the fixed codes have more, which are invalid in data
	maxDistCodes = 30
	windowSize   = 32 << 10
)

const (
	litBits  = 11 // looked up at a time for a literal or a length
	distBits = 9  // the same for a distance

	lengthBits = 7 // the longest code for the lengths of codes

	// The second tables need at most 2342 and 594 entries in all (zlib's enough.c, for
	// 288 codes by 11 bits and 32 by 9). Powers of two save bounds checks.
	litSize  = 4096
	distSize = 1024
)

// An entry of a table tells what the next bits mean:
//
//	31     it is a literal
//	16-30  the literal; the length, or the base of a length or a distance; the index of
//	       a second table
//	12-15  bits of the code, 0 if no code has these bits; of the index of a second table
//	11     it is none of the usual, see below
//	6-10   of a length: bits to drop, those of the code and its extra bits; of others,
//	       those of the code
//	0-5    of a literal or a distance: bits to drop; of others 0
//
// So a literal can be dropped without asking whether it is one. With bit 11, it is the base
// of a length, to which its extra bits have to be added, or, with one of these:
//
//	30     a second table has to be consulted
//	29     end of block
//	28     no code, or a symbol that does not exist
type entry uint32

const (
	isLiteral  entry = 1 << 31
	isOther    entry = 1 << 11
	isSubtable entry = 1 << 30
	isEnd      entry = 1 << 29
	isBad      entry = 1 << 28
	noCode           = isOther | isBad
)

// drop is the number of bits of a literal or a distance, otherwise 0.
func (e entry) drop() uint { return uint(e) & 63 }

// middle is the number of bits of a length, or of the code of a distance. It is wrong with
// isOther.
func (e entry) middle() uint { return uint(e>>6) & 63 }

// total is the number of bits that any e stands for.
func (e entry) total() uint { return max(uint(e)&63, uint(e>>6)&31) }

// codeLen is the number of bits of the code itself, 0 if e is not a code.
func (e entry) codeLen() uint { return uint(e>>12) & 15 }

// is reports whether e has isOther and kind.
func (e entry) is(kind entry) bool { return e&(isOther|kind) == isOther|kind }

// length is the base of a length plus its extra bits, taken from b, which begins with the
// code.
func (e entry) length(b uint64) uint {
	return uint(e>>16) + uint(b&(1<<e.total()-1)>>e.codeLen())
}

// distance is the same for a distance.
func (e entry) distance(b uint64) uint {
	return uint(e>>16) + uint(b&(1<<e.drop()-1)>>e.middle())
}

// second is the index of the entry in the second table, for the bits of b after the
// first root ones.
func (e entry) second(b uint64, root uint) uint64 {
	return uint64(e>>16&0xfff) + b>>root&(1<<e.codeLen()-1)
}

// RFC 1951, 3.2.5: the base and the extra bits of each symbol.
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// litEntries and distEntries are the entries of the symbols, without the bits of
// the code.
var litEntries, distEntries = func() (lit [288]entry, dist [32]entry) {
	for i := range lit {
		switch {
		case i < 256:
			lit[i] = isLiteral | entry(i)<<16
		case i == 256:
			lit[i] = isOther | isEnd
		case i < maxLitCodes:
			lit[i] = isOther | entry(lengthBase[i-257])<<16 | entry(lengthExtra[i-257])<<6
		default:
			lit[i] = noCode
		}
	}
	for i := range dist {
		dist[i] = noCode
		if i < maxDistCodes {
			dist[i] = entry(distBase[i])<<16 | entry(distExtra[i])
		}
	}
	return
}()

// code is a Huffman code, described by the lengths of its symbols' codes.
type code struct {
	count   [maxCodeLen + 1]int // codes of each length
	sorted  [288]uint16         // symbols in order of their codes: by length, then by number
	symbols int                 // in sorted
	maxLen  int
}

// describe counts and sorts lens, a length for each symbol. It returns false if the
// lengths are over-subscribed or leave codes unused, except for a single code of one
// bit or no code at all.
func (c *code) describe(lens []uint8) bool {
	*c = code{}
	for _, n := range lens {
		c.count[n]++
	}
	c.count[0] = 0
	var at [maxCodeLen + 1]int
	left := 1 // unused codes of the current length
	for n := 1; n <= maxCodeLen; n++ {
		at[n] = c.symbols
		if left = left<<1 - c.count[n]; left < 0 {
			return false
		}
		if c.symbols += c.count[n]; c.count[n] > 0 {
			c.maxLen = n
		}
	}
	for sym, n := range lens {
		if n > 0 {
			c.sorted[at[n]] = uint16(sym)
			at[n]++
		}
	}
	return left == 0 || c.symbols == 0 || c.symbols == 1 && c.maxLen == 1
}

// build fills table, which is indexed by root bits, from the code lengths of symbols.
// It returns false if no code has those lengths.
func build(table []entry, root uint, lens []uint8, symbols []entry) bool {
	var c code
	if !c.describe(lens) {
		return false
	}
	if c.maxLen <= 1 { // some entries get no code
		table[0], table[1] = noCode, noCode
	}
	var (
		huff    uint // the next code, its first bit the highest
		rest    = c.sorted[:c.symbols]
		lengths [len(lengthBase)]uint16 // codes of lengths with extra bits
		extra   int                     // in lengths
	)
	// A table for codes up to n bits, twice, is one for codes up to n+1 bits.
	for n := uint(1); n <= root; n++ {
		huff <<= 1
		for _, sym := range rest[:c.count[n]] {
			at := reverse(huff, n)
			huff++
			e := symbols[sym].coded(n)
			switch {
			case e&isOther == 0 || e&(isEnd|isBad) != 0:
			case e.total() == n:
				e -= isOther
			default:
				lengths[extra] = uint16(at)
				extra++
			}
			table[at] = e
		}
		rest = rest[c.count[n]:]
		if n < root {
			copy(table[1<<n:2<<n], table[:1<<n])
		}
	}
	for _, at := range lengths[:extra] {
		addExtra(table, root, uint(at))
	}
	if len(rest) > 0 {
		c.seconds(table, root, huff, lens, symbols, rest)
	}
	return true
}

// coded is the entry of a symbol whose code has n bits, from e, which has none.
func (e entry) coded(n uint) entry {
	e += entry(n) * (1<<12 + 1<<6)
	if e&isOther == 0 {
		e += entry(n)
	}
	return e
}

// reverse is the code huff of n bits, first bit lowest: deflate sends the highest first.
func reverse(huff, n uint) uint { return uint(bits.Reverse16(uint16(huff))) >> (16 - n) }

// seconds adds the second tables, for the symbols in rest, whose codes are longer than
// root. The last shorter code is the one before huff.
func (c *code) seconds(table []entry, root, huff uint, lens []uint8, symbols []entry, rest []uint16) {
	var (
		prefix = uint(1) << root // of the current second table; none yet
		start  uint
		size   uint              // bits of its index
		next   = uint(1) << root // index of the next second table
		length = root
	)
	for _, sym := range rest {
		n := uint(lens[sym])
		huff <<= n - length
		length = n
		first := reverse(huff, n)
		huff++
		if p := first & (1<<root - 1); p != prefix {
			prefix, start, size = p, next, c.secondBits(n, root)
			next += 1 << size
			table[p] = isOther | isSubtable | entry(start)<<16 | entry(size)<<12 | entry(root)<<6
		}
		e := symbols[sym].coded(n)
		for i := first >> root; i < 1<<size; i += 1 << (n - root) {
			table[start+i] = e
		}
		c.count[n]--
	}
}

// addExtra puts the value of its extra bits into the entries of a length whose code, n bits
// at huff, and extra bits fit in an index of root bits.
func addExtra(table []entry, root, huff uint) {
	e := table[huff]
	n, all := e.codeLen(), e.total()
	if all > root {
		return
	}
	e += entry(all-n)<<12 - isOther
	for v := huff; v < 1<<all; v += 1 << n {
		for i := v; i < 1<<root; i += 1 << all {
			table[i] = e
		}
		e += 1 << 16
	}
}

// secondBits is the size, in bits, of the second table whose first code has n bits:
// large enough for the following codes that share its first root bits. c.count holds
// only the codes still to come.
func (c *code) secondBits(n, root uint) uint {
	size := n - root
	for left := 1<<size - c.count[n]; left > 0 && int(root+size) < c.maxLen; {
		size++
		left = left<<1 - c.count[root+size]
	}
	return size
}
