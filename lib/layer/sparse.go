package layer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ocipipe/lib/tree"
)

// maxSparse is the greatest number of extents of one file.
const maxSparse = 1 << 20

var errSparse = errors.New("malformed map of a sparse file")

// paxSparse collects the records of GNU tar's pax formats for sparse files: 0.0
// repeats offset and numbytes, 0.1 has them in map, 1.0 before the data.
type paxSparse struct {
	major, minor string
	name         string
	size         int64 // of the file
	hasSize      bool
	pairs        []int64 // offset, length, ...
	hasPairs     bool
}

func (s *paxSparse) record(word, value string) (err error) {
	switch word {
	case "major":
		s.major = value
	case "minor":
		s.minor = value
	case "name":
		s.name, err = noNUL(value)
	case "size", "realsize":
		s.size, err = parseDecimal(value)
		s.hasSize = true
	case "offset", "numbytes":
		s.hasPairs = true
		if offset := word == "offset"; offset != (len(s.pairs)%2 == 0) {
			return errSparse
		}
		err = s.add(value)
	case "map":
		s.hasPairs = true
		s.pairs = s.pairs[:0]
		for more := value != ""; more && err == nil; {
			var v string
			v, value, more = strings.Cut(value, ",")
			err = s.add(v)
		}
	}
	return err
}

func (s *paxSparse) add(v string) error {
	n, err := parseDecimal(v)
	if err != nil {
		return err
	}
	if len(s.pairs) >= 2*maxSparse {
		return fmt.Errorf("sparse file in more than %d pieces", maxSparse)
	}
	s.pairs = append(s.pairs, n)
	return nil
}

// finish makes h a sparse file if the records say so. In format 1.0 it sets h.mapInData,
// and leaves h.sparse empty: the map must still be read.
func (s *paxSparse) finish(h *header) (err error) {
	mapInData := s.major == "1" && s.minor == "0"
	switch {
	case s.major != "" && s.major != "0" && !mapInData:
		return fmt.Errorf("sparse format %s.%s", s.major, s.minor)
	case !mapInData && !s.hasPairs:
		return nil
	case !s.hasSize:
		return errSparse
	}
	if s.name != "" {
		h.name = s.name
	}
	h.realSize, h.mapInData = s.size, mapInData
	if !mapInData {
		h.sparse, err = extents(s.pairs, s.size)
	}
	return err
}

// gnuSparse reads the map in an old GNU header; more says that extension blocks
// follow.
func (h *header) gnuSparse(b []byte) (pairs []int64, more bool, err error) {
	if err := parseNumber(b[offRealSize:offRealSize+12], &h.realSize); err != nil {
		return nil, false, fmt.Errorf("real size: %w", err)
	}
	pairs, err = gnuPairs(b[offSparse:], headerPairs)
	return pairs, b[offSparseMore] != 0, err
}

// gnuPairs reads up to n pairs of numbers; an empty pair ends them.
func gnuPairs(b []byte, n int) ([]int64, error) {
	var pairs []int64
	for i := range n {
		p := b[24*i : 24*i+24]
		if p[0] == 0 || p[12] == 0 {
			break
		}
		var off, size int64
		if err := errors.Join(parseNumber(p[:12], &off), parseNumber(p[12:], &size)); err != nil {
			return nil, errSparse
		}
		pairs = append(pairs, off, size)
	}
	return pairs, nil
}

// sparseMap reads the map of format 1.0 at the beginning of a file's data: decimal numbers,
// one a line, the count of pairs first, padded to a block. read returns the next block.
func sparseMap(read func() ([]byte, error)) (pairs []int64, err error) {
	var text []byte
	want := int64(1) // numbers, the count included
	for numbers := int64(0); ; {
		b, err := read()
		if err != nil {
			return nil, err
		}
		text = append(text, b...)
		for numbers < want {
			i := bytes.IndexByte(text, '\n')
			if i < 0 {
				break
			}
			n, err := strconv.ParseUint(string(text[:i]), 10, 63)
			if err != nil || numbers == 0 && n > maxSparse {
				return nil, errSparse
			}
			if text = text[i+1:]; numbers == 0 {
				want += 2 * int64(n)
			} else {
				pairs = append(pairs, int64(n))
			}
			numbers++
		}
		if numbers == want {
			return pairs, nil
		}
		if len(text) >= 2*blockSize {
			return nil, errSparse // a number without end
		}
	}
}

// extents turns pairs of offset and length into extents. The pairs must be ascending and
// within size. It joins runs that touch and drops empty ones.
func extents(pairs []int64, size int64) ([]tree.Extent, error) {
	if len(pairs)%2 != 0 || size < 0 {
		return nil, errSparse
	}
	xs := make([]tree.Extent, 0, len(pairs)/2)
	end := int64(0)
	for i := 0; i < len(pairs); i += 2 {
		x := tree.Extent{Off: pairs[i], Len: pairs[i+1]}
		if x.Off < end || x.Len < 0 || x.Off > size || x.Len > size-x.Off {
			return nil, errSparse
		}
		end = x.End()
		switch last := len(xs) - 1; {
		case x.Len == 0:
		case last >= 0 && xs[last].End() == x.Off:
			xs[last].Len += x.Len
		default:
			xs = append(xs, x)
		}
	}
	return xs, nil
}
