package z

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// searcher fills clusters with an algorithm that has no way to do that itself: it compresses
// again with more or less content.
type searcher struct {
	encode func(dst, src []byte) []byte
	bs     int
	limit  int // most bytes of a cluster
	piece  int // content of the first try
	most   int // content of an extent
	out    [2][]byte

	searches int // tries to fill the last block of a cluster
	slack    int // bytes of it that may stay empty
	patience int // how many more before each further try
}

const (
	mostContent = 1 << 20 // of an extent that compresses very well, bytes
	mostGuess   = 4       // content of a first try, in clusters: reading the end of an extent decodes all of it
	probe       = 8 << 10 // looked at to see whether content compresses
)

func newSearcher(p *Encoding) *searcher {
	s := &searcher{bs: int(p.BlockSize), limit: int(p.PCluster), piece: int(p.Piece()), most: max(mostContent, int(p.Piece()))}
	s.searches, s.slack, s.patience = 2, s.bs/8, s.bs/8
	if p.PCluster <= 32<<10 { // a larger part of the cluster would stay empty
		s.searches, s.slack, s.patience = 3, s.bs/32, 0
	}
	if p.Algorithm == Zstd {
		s.encode = zstdEncoder(p)
		if !p.Exact && p.PCluster > 32<<10 {
			s.piece -= s.piece / 8 // with what is added it mostly is one block of zstd still
		}
	} else {
		s.encode = deflateEncoder(p)
	}
	return s
}

// try compresses src into one of the two buffers.
func (s *searcher) try(i int, src []byte) []byte {
	s.out[i] = s.encode(s.out[i][:0], src)
	return s.out[i]
}

func (s *searcher) promises(src []byte) bool {
	src = src[:min(len(src), probe)]
	return len(s.try(0, src)) < len(src)-len(src)/16
}

func (s *searcher) fill(src []byte, exact bool, last Cut) ([]byte, int) {
	n := min(s.piece, len(src))
	if exact {
		return s.try(0, src[:n]), n
	}
	if len(src) <= s.bs {
		return nil, len(src)
	}
	if last.Len > 0 {
		n = s.guess(last, len(src))
	}
	if len(src) < n+n/4 {
		n = len(src)
	}
	stored := s.try(0, src[:n])
	for len(stored) > s.limit {
		less := int(int64(n) * int64(s.limit) / int64(len(stored)))
		if n = less - less/16; n <= s.limit {
			return nil, s.limit
		}
		stored = s.try(0, src[:n])
	}
	room := (len(stored) + s.bs - 1) / s.bs * s.bs
	if n == len(src) || room >= n {
		return stored, n
	}
	return s.extend(src, stored, n, room)
}

// guess is how much of the next most bytes of content to try behind the extent last: what fills
// a cluster if it compresses equally well, and a little less.
func (s *searcher) guess(last Cut, most int) int {
	n := int(int64(last.Len) * int64(s.limit) / last.Stored())
	return min(max(n-n/16, s.piece/2), mostGuess*s.limit, most)
}

// extend fills room, the blocks of the first n bytes of src, which stored holds, with more of
// src. It returns what fill does.
func (s *searcher) extend(src, stored []byte, n, room int) ([]byte, int) {
	high, highSize := 0, 0 // content that has taken too much
	buf := 1
	for i := range s.searches {
		rate, cost := n, len(stored) // bytes of content, and what they take
		if high > 0 {
			rate, cost = high-n, highSize-len(stored)
		}
		more := int(int64(room-len(stored)) * int64(rate) / int64(max(cost, 1)))
		more -= more / 16
		next := min(n+more, s.most, len(src))
		if room-len(stored) < s.slack+i*s.patience || next <= n || high > 0 && next >= high {
			break
		}
		if got := s.try(buf, src[:next]); len(got) <= room {
			n, stored, buf = next, got, 1-buf
		} else {
			high, highSize = next, len(got)
		}
	}
	return stored, n
}

// zstdEncoder returns a function that appends src as one frame of zstd.
func zstdEncoder(p *Encoding) func(dst, src []byte) []byte {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(p.Level)), zstd.WithWindowSize(1<<p.WindowLog()),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithAllLitEntropyCompression(true)) // pieces of text have no matches
	if err != nil {
		panic(fmt.Sprintf("zstd: %v", err)) // the options are valid
	}
	return func(dst, src []byte) []byte { return e.EncodeAll(src, dst) }
}

// deflateEncoder returns a function that appends src as a raw stream of deflate. If that began
// with a zero byte, it would be taken for one more zero before the stream; such a byte is the
// header of a stored block, of which five bits are not used.
func deflateEncoder(p *Encoding) func(dst, src []byte) []byte {
	e, err := flate.NewWriter(nil, p.Level)
	if err != nil {
		panic(fmt.Sprintf("deflate: %v", err)) // the level is valid
	}
	return func(dst, src []byte) []byte {
		at := len(dst)
		b := bytes.NewBuffer(dst)
		e.Reset(b)
		e.Write(src)
		e.Close()
		if dst = b.Bytes(); dst[at] == 0 {
			dst[at] = unusedBit
		}
		return dst
	}
}

const unusedBit = 0x08
