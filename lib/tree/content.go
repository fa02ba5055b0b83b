package tree

import (
	"bytes"
	"io"
	"sort"
	"sync"
)

// RandomContent is content that can be read at random. [Content] says which contents can.
type RandomContent interface {
	Content
	io.ReaderAt
}

// ReaderAt returns a reader of the file e, holes as zeros; ok is false if e is not a regular
// file or is a hard link, or if its content comes from a stream.
func (e *Entry) ReaderAt() (r io.ReaderAt, ok bool) {
	switch {
	case e.Type != File || e.Hardlink != "" || e.IsLower():
		return nil, false
	case e.DataSize() == 0:
		return WithHoles(Bytes(nil), e.Size, nil), true
	}
	r, ok = e.Content.(RandomContent)
	return r, ok
}

// Bytes is the content of a file without holes, in memory.
type Bytes []byte

// WriteTo writes b.
func (b Bytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// ReadAt reads b.
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off)
}

// WithHoles returns the content of a file of size bytes that has data in extents and holes
// elsewhere. data is the bytes of the extents, one extent after the other.
func WithHoles(data RandomContent, size int64, extents []Extent) RandomContent {
	return &sparseContent{data: data, size: size, extents: extents}
}

type sparseContent struct {
	data    RandomContent
	size    int64
	extents []Extent

	once sync.Once
	at   []int64 // where the bytes of each extent begin in data
}

func (c *sparseContent) WriteTo(w io.Writer) (int64, error) { return c.data.WriteTo(w) }

func (c *sparseContent) ReadAt(p []byte, off int64) (n int, err error) {
	c.once.Do(c.locate)
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	if rest := c.size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	i := sort.Search(len(c.extents), func(i int) bool { return c.extents[i].End() > off })
	for n < len(p) {
		pos, hole := off+int64(n), c.size
		if i < len(c.extents) {
			hole = c.extents[i].Off
		}
		if pos < hole {
			k := int(min(int64(len(p)-n), hole-pos))
			clear(p[n : n+k])
			n += k
			continue
		}
		x := c.extents[i]
		k := int(min(int64(len(p)-n), x.End()-pos))
		m, err := c.data.ReadAt(p[n:n+k], c.at[i]+pos-x.Off)
		if m < k {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n + m, err
		}
		n += k
		i++
	}
	return n, err
}

// locate fills c.at.
func (c *sparseContent) locate() {
	c.at = make([]int64, len(c.extents))
	var n int64
	for i, x := range c.extents {
		c.at[i] = n
		n += x.Len
	}
}
