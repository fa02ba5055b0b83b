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
	return ReadExtents(p, off, c.size, len(c.extents), func(i int) Extent { return c.extents[i] }, func(p []byte, i int, skip int64) (int, error) {
		n, err := c.data.ReadAt(p, c.at[i]+skip)
		if n == len(p) {
			return n, nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	})
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

// ReadExtents is the ReadAt of a file of size bytes that has data in some ascending
// extents and holes, which are zeros, elsewhere. Of its extents, extent tells where the
// one with the index i lies, and read fills p with the data that is skip bytes into it, or
// returns an error and how many bytes it had.
func ReadExtents(p []byte, off, size int64, extents int, extent func(i int) Extent, read func(p []byte, i int, skip int64) (int, error)) (n int, err error) {
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	if rest := size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	i := sort.Search(extents, func(i int) bool { return extent(i).End() > off })
	for n < len(p) {
		at, x := off+int64(n), Extent{Off: size}
		if i < extents {
			x = extent(i)
		}
		if at < x.Off {
			k := int(min(int64(len(p)-n), x.Off-at))
			clear(p[n : n+k])
			n += k
			continue
		}
		k := int(min(int64(len(p)-n), x.End()-at))
		if m, err := read(p[n:n+k], i, at-x.Off); err != nil {
			return n + m, err
		}
		n += k
		i++
	}
	return n, err
}
