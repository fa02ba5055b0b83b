package patch

import (
	"io"
	"math"
	"slices"

	"ocipipe/lib/tree"
)

// text is content that the list itself has.
type text string

func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(t))
	return int64(n), err
}

// ReadAt reads the file at random.
func (t text) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(t)) {
		return 0, io.EOF
	}
	n := copy(p, t[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// appended is what a file has had, nil if it had no data, and what was written behind.
type appended struct {
	by     *applier // who may go on
	before tree.Content
	tails  []string
}

func (a *appended) WriteTo(w io.Writer) (total int64, err error) {
	if a.before != nil {
		if total, err = a.before.WriteTo(w); err != nil {
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

// appendTo writes tail, which is not empty, to the end of the file e.
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
		c = &appended{by: a}
		if e.DataSize() > 0 {
			c.before = e.Content
		}
		e.Content = c
		e.Extents = slices.Clone(e.Extents) // of another entry
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

// withoutDigest are the keywords but for digests, which are those of another content.
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
