package blockio

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// counted fails as long as err is set, and counts what it was asked.
type counted struct {
	*bytes.Reader
	err   error
	calls int
}

func (f *counted) ReadAt(p []byte, off int64) (int, error) {
	if f.calls++; f.err != nil {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, off)
}

func TestPages(t *testing.T) {
	data := make([]byte, (numPages+2)*PageSize+100)
	for i := range data {
		data[i] = byte(i/PageSize + i)
	}
	r := &counted{Reader: bytes.NewReader(data)}
	c := NewPages(r)
	read := func(off int64, n int, calls int) {
		t.Helper()
		p := make([]byte, n)
		r.calls = 0
		if k, err := c.ReadAt(p, off); k != n || err != nil || !bytes.Equal(p, data[off:][:n]) || r.calls != calls {
			t.Errorf("%d bytes at %d: %d, %v, %d reads", n, off, k, err, r.calls)
		}
	}
	read(10, 32, 1) // the head alone
	if c.data[0] != nil {
		t.Error("a page was read for what the head has")
	}
	read(headSize-32, 32, 0)
	read(headSize-5, 10, 1)          // beyond it
	read(PageSize-5, 10, 1)          // the end of one page, the beginning of the next
	read(numPages*PageSize, 32, 1)   // in place of the first
	read(PageSize-32, 32, 1)         // which comes back
	read(int64(len(data))-50, 50, 1) // the last one is short
	read(PageSize/2, 3*PageSize, 2)  // two of four are there
	if n, err := c.ReadAt(make([]byte, 60), int64(len(data))-50); n != 50 || err != io.ErrUnexpectedEOF {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	r.err = errors.New("broken")
	if _, err := c.ReadAt(make([]byte, 1), 9*PageSize); err != r.err {
		t.Errorf("broken: %v", err)
	}
	for _, short := range []int{0, 10, headSize - 1} {
		c := NewPages(bytes.NewReader(data[:short]))
		if n, err := c.ReadAt(make([]byte, 8), int64(max(short-4, 0))); n != min(short, 4) || err != io.ErrUnexpectedEOF {
			t.Errorf("of %d bytes: %d, %v", short, n, err)
		}
	}
	broken := NewPages(&counted{Reader: r.Reader, err: r.err})
	if _, err := broken.ReadAt(make([]byte, 1), 0); err != r.err {
		t.Errorf("broken: %v", err)
	}
	r.err = nil
	read(9*PageSize, 1, 1) // nothing was kept of that
}
