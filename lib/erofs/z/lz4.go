package z

import "ocipipe/lib/lz4"

// filler fills clusters with LZ4.
type filler struct {
	enc   *lz4.Encoder
	bs    int
	limit int // most bytes of a cluster
	piece int // content of an extent, if that has to be exact
	buf   []byte
}

// longestExact is how long an exact cluster is at most, in bytes: wherever it begins, it has no
// more pages than Linux makes room for. A longer one mounts, but cannot be read.
const longestExact = MaxEncoded - (pageSize - 1)

func newLZ4(p *Encoding) *filler {
	return &filler{lz4.NewEncoder(p.Level), int(p.BlockSize), int(p.PCluster), int(p.Piece()), make([]byte, p.Piece())}
}

func (f *filler) fill(src []byte, exact bool, _ Cut) ([]byte, int) {
	if exact {
		src = src[:min(f.piece, len(src))]
		n, taken := f.enc.Fill(f.buf[:min(len(src), longestExact)], src)
		if taken < len(src) {
			return nil, len(src)
		}
		return f.buf[:n], taken
	}
	if len(src) <= f.bs {
		return nil, len(src)
	}
	n, taken := f.enc.Fill(f.buf[:f.limit], src[:min(len(src), MaxDecoded)])
	if taken <= n {
		return nil, f.limit
	}
	return f.buf[:n], taken
}

func (f *filler) promises(src []byte) bool {
	n, taken := f.enc.Fill(f.buf[:min(len(f.buf), probe)], src[:min(len(src), probe)])
	return n < taken-taken/16
}
