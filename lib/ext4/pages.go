package ext4

import (
	"io"
	"sync"
)

const (
	pageSize = 64 << 10
	numPages = 64
)

// pages reads small pieces through a cache of what lies around them: inodes are
// 256 bytes, mostly in ascending order, and so are small files.
type pages struct {
	r  io.ReaderAt
	mu sync.Mutex
	// A page is only ever at its number modulo numPages. The one in slot i is
	// valid for len(data[i]) bytes.
	number [numPages]int64
	data   [numPages][]byte
}

func newPages(r io.ReaderAt) *pages { return &pages{r: r} }

// ReadAt fills p. It is an error, io.ErrUnexpectedEOF, if there is less.
func (c *pages) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(p) {
		page, err := c.page(off / pageSize)
		if err != nil {
			return n, err
		}
		at := int(off % pageSize)
		if at >= len(page) {
			return n, io.ErrUnexpectedEOF
		}
		k := copy(p[n:], page[at:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

func (c *pages) page(number int64) ([]byte, error) {
	slot := number % numPages
	page := c.data[slot]
	if len(page) > 0 && c.number[slot] == number {
		return page, nil
	}
	if cap(page) == 0 {
		page = make([]byte, pageSize)
	}
	n, err := c.r.ReadAt(page[:pageSize], number*pageSize)
	if err != nil && err != io.EOF {
		c.data[slot] = page[:0]
		return nil, err
	}
	c.number[slot], c.data[slot] = number, page[:n]
	return page[:n], nil
}
