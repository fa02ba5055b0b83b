package blockio

import (
	"io"
	"sync"
)

// PageSize is how many bytes Pages reads at once.
const PageSize = 64 << 10

const (
	numPages = 64
	headSize = 4 << 10
)

// Pages reads small pieces of an image through a cache of the pages around them: inodes
// have 32 to 256 bytes, and they and small files are mostly read in ascending order.
// Several goroutines may use it.
type Pages struct {
	r    io.ReaderAt
	mu   sync.Mutex
	head []byte // the first bytes, read alone: who only looks at a superblock needs no page
	// The slot of a page is its number modulo numPages. The page in slot i is valid for
	// len(data[i]) bytes.
	number [numPages]int64
	data   [numPages][]byte
}

// NewPages returns an empty cache of r.
func NewPages(r io.ReaderAt) *Pages { return &Pages{r: r} }

// ReadAt fills p. If the image ends before that the error is io.ErrUnexpectedEOF.
func (c *Pages) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := off + int64(len(p)); end <= headSize {
		if err := c.readHead(); err == nil && end <= int64(len(c.head)) {
			return copy(p, c.head[off:end]), nil
		}
	}
	n := 0
	for n < len(p) {
		page, err := c.page(off / PageSize)
		if err != nil {
			return n, err
		}
		at := int(off % PageSize)
		if at >= len(page) {
			return n, io.ErrUnexpectedEOF
		}
		k := copy(p[n:], page[at:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

func (c *Pages) readHead() error {
	if c.head != nil {
		return nil
	}
	head := make([]byte, headSize)
	n, err := c.r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	c.head = head[:n]
	return nil
}

func (c *Pages) page(number int64) ([]byte, error) {
	slot := number % numPages
	page := c.data[slot]
	if len(page) > 0 && c.number[slot] == number {
		return page, nil
	}
	if cap(page) == 0 {
		page = make([]byte, PageSize)
	}
	n, err := c.r.ReadAt(page[:PageSize], number*PageSize)
	if err != nil && err != io.EOF {
		c.data[slot] = page[:0]
		return nil, err
	}
	c.number[slot], c.data[slot] = number, page[:n]
	return page[:n], nil
}
