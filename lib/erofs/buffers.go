package erofs

import (
	"bytes"
	"io"
	"sync"
)

// memory has buffers by log2 of their length.
var memory [64]sync.Pool

// takeBuffer returns an empty buffer with room for n bytes or more.
func takeBuffer(n int64) []byte {
	class := log2(2*max(n, minBuffer) - 1)
	if b, ok := memory[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<class)
}

const minBuffer = 4 << 10

// giveBuffer gives back a buffer that is not used any more.
func giveBuffer(b []byte) {
	if n := int64(cap(b)); n >= minBuffer && n&(n-1) == 0 {
		memory[log2(n)].Put(&b)
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
