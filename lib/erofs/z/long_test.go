package z

import (
	"encoding/binary"
	"errors"
	"testing"
)

// countReader counts the bytes that are read of it.
type countReader struct {
	b []byte
	n int
}

func (r *countReader) ReadAt(p []byte, off int64) (int, error) {
	r.n += len(p)
	return copy(p, r.b[off:]), nil
}

// Of the index of an extent that is too long to be decoded, no more is read than one could have
// that is not: back to its head, and from there on.
func TestTooLongExtent(t *testing.T) {
	const entries, block = 1 << 17, 4096
	b := (&Header{Index: Full, Head1: LZ4}).Append(nil)
	b = append(b, make([]byte, fullReserved)...)
	for i := range entries {
		var e [fullSize]byte
		e[0] = head1
		if i > 0 {
			e[0] = nonhead
			binary.LittleEndian.PutUint16(e[4:], 1)
			binary.LittleEndian.PutUint16(e[6:], 1)
		}
		b = append(b, e[:]...)
	}
	r := &countReader{b: b}
	f, err := Open(&Params{R: r, End: int64(len(b)), BlockSize: block, Config: Config{Algorithms: 1 << LZ4}}, 0, entries*block, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, MaxDecoded, entries / 2 * block, entries*block - 1} {
		r.n = 0
		if _, err := f.At(off); !errors.Is(err, ErrUnsupported) || r.n > 2*MaxDecoded/block*fullSize+4*windowSize {
			t.Errorf("byte %d: read %d bytes, %v", off, r.n, err)
		}
	}
}
