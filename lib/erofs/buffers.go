package erofs

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

// buffers keeps buffers for the next use: those that came last, so that they have the lengths of
// what is compressed at the time. Several goroutines may use it.
type buffers struct {
	mu   sync.Mutex
	free [][]byte // in the order in which they came
	size int64    // bytes of all of them
}

const (
	minFree = 64 << 10 // smaller buffers are not kept, bytes
	maxFree = 16 << 20 // most bytes that are kept
)

// take returns an empty buffer with room for n bytes or more.
func (b *buffers) take(n int64) []byte {
	room := int64(1) << log2(2*max(n, minBuffer)-1)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.free) - 1; i >= 0; i-- {
		if p := b.free[i]; int64(cap(p)) == room {
			b.free = slices.Delete(b.free, i, i+1)
			b.size -= room
			return p[:0]
		}
	}
	return make([]byte, 0, room)
}

const minBuffer = 4 << 10

// give gives back a buffer that is not used any more.
func (b *buffers) give(p []byte) {
	n := int64(cap(p))
	if n < minFree || n > maxFree || n&(n-1) != 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, p)
	for b.size += n; b.size > maxFree; b.free = slices.Delete(b.free, 0, 1) {
		b.size -= int64(cap(b.free[0]))
	}
}

// zeroContent is a content of so many zeros.
type zeroContent int64

func (n zeroContent) WriteTo(w io.Writer) (total int64, err error) {
	for total < int64(n) && err == nil {
		var k int
		k, err = w.Write(zeros[:min(int64(n)-total, int64(len(zeros)))])
		total += int64(k)
	}
	return total, err
}

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}
