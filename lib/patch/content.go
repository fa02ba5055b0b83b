package patch

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// appended is the content of a file that was appended to.
type appended struct {
	by     *applier   // the only one that may add tails
	before tree.Entry // the file as it was
	tails  []string   // appended to it, in order
}

// WriteTo writes the data of the file, then the tails.
func (a *appended) WriteTo(w io.Writer) (total int64, err error) {
	if a.before.DataSize() > 0 {
		if total, err = a.before.Content.WriteTo(w); err != nil {
			return total, err
		}
	}
	for _, tail := range a.tails {
		n, err := io.WriteString(w, tail)
		if total += int64(n); err != nil {
			return total, err
		}
	}
	return total, nil
}

var errNotRandom = errors.New("content of a stream cannot be read at random")

// ReadAt reads the file, holes as zeros.
func (a *appended) ReadAt(p []byte, off int64) (n int, err error) {
	before, ok := a.before.ReaderAt()
	if !ok {
		return 0, errNotRandom
	}
	if n, err = readPart(p, before, off, a.before.Size); err != nil {
		return n, err
	}
	begin := a.before.Size
	for _, tail := range a.tails {
		m, err := readPart(p[n:], strings.NewReader(tail), off+int64(n)-begin, int64(len(tail)))
		if n += m; err != nil {
			return n, err
		}
		begin += int64(len(tail))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readPart reads from r, which has size bytes, from off on: as much as there is and fits
// into p. It reads nothing if off is outside of r.
func readPart(p []byte, r io.ReaderAt, off, size int64) (int, error) {
	if off < 0 || off >= size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), size-off)]
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		err = nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// appendTo appends tail, which is not empty, to the file e.
func (a *applier) appendTo(e *tree.Entry, tail string) error {
	n := int64(len(tail))
	if e.Size > math.MaxInt64-n {
		return invalid("file of more than %d bytes", int64(math.MaxInt64))
	}
	if e.Content == nil && e.DataSize() > 0 {
		return invalid("the tree has no contents of files")
	}
	c, ok := e.Content.(*appended)
	if !ok || c.by != a {
		c = &appended{by: a, before: *e}
		e.Content = c
		e.Extents = slices.Clone(e.Extents) // another entry may share them
	}
	c.tails = append(c.tails, tail)
	if e.Extents != nil {
		e.Extents = appendExtent(e.Extents, tree.Extent{Off: e.Size, Len: n})
	}
	e.Size += n
	e.Extra = withoutDigest(e.Extra)
	return nil
}

func appendExtent(xs []tree.Extent, x tree.Extent) []tree.Extent {
	if last := len(xs) - 1; last >= 0 && xs[last].End() == x.Off {
		xs[last].Len += x.Len
		return xs
	}
	return append(xs, x)
}

// withoutDigest returns k without digests, which do not match the new content.
func withoutDigest(k *tree.Keywords) *tree.Keywords {
	if k == nil {
		return nil
	}
	kept := slices.DeleteFunc(slices.Clone(*k), func(w tree.Keyword) bool { return w.Name == "sha256digest" })
	if len(kept) == 0 {
		return nil
	}
	return &kept
}
