package list

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"ocipipe/lib/tree"
)

// share is the part of the whole that is worth a line of its own in Sizes: one in 20.
const share = 20

// SizesLayer is a layer, or an image that is a whole tree.
type SizesLayer struct {
	Name   string // for people
	Bytes  int64  // that it takes: the length of its image, or of the compressed archive; Unknown
	Stored Stored // what a content of it takes in Bytes; nil if that is not known
}

// Unknown is the length of a layer that comes through a pipe.
const Unknown = -1

// Sizes reports what takes the space in an image: by layer, and by directory and large file.
// The caller counts all entries of all layers, then shows it the merged tree, and writes the
// report. Layers may be counted at the same time.
//
// The weight of a file is what it takes where it is stored, if that is known of all layers, or
// else its size. Bytes that the layers above hide are there all the same.
type Sizes struct {
	layers []*sizesLayer
	stored bool // known of all layers
}

type sizesLayer struct {
	SizesLayer
	places
	weight int64 // of what has been counted
}

// NewSizes returns a report of layers, given from bottom to top, in which nothing has been
// counted.
func NewSizes(layers ...SizesLayer) *Sizes {
	s := &Sizes{stored: true}
	for _, l := range layers {
		s.layers = append(s.layers, &sizesLayer{SizesLayer: l})
		s.stored = s.stored && l.Stored != nil
	}
	return s
}

// weight is what u counts for.
func (s *Sizes) weight(u *usage) int64 {
	if s.stored {
		return u.stored
	}
	return u.size
}

// Count counts e, an entry of a layer. In place of its content, e gets one that cannot be
// read: by this one Show knows it again.
func (s *Sizes) Count(layer int, e *tree.Entry) error {
	l := s.layers[layer]
	u, err := usageOf(e, l.Stored)
	if err != nil {
		return err
	}
	if e.Type == tree.Dir {
		l.dir(e.Path).own.add(u)
		return nil
	}
	dir, name := split(e.Path)
	at := l.dir(dir)
	weight := s.weight(&u)
	l.weight = saturate(l.weight, weight)
	if weight > 0 && weight >= l.weight/share {
		at = at.enter(name) // it may be worth a line of its own
		at.isFile = true
	}
	at.own.add(u)
	if e.Content != nil || weight > 0 { // a file that is one hole has none
		e.Content = &counted{at, weight}
	}
	return nil
}

// counted is in place of the content of a file that was counted.
type counted struct {
	at     *place
	weight int64
}

var errCounted = errors.New("the content was only counted")

func (c *counted) WriteTo(io.Writer) (int64, error) { return 0, errCounted }

func (c *counted) ReadAt([]byte, int64) (int, error) { return 0, errCounted }

// Counting returns a source that counts the entries of src, a layer, as they are read. Their
// contents are those of Count.
func (s *Sizes) Counting(layer int, src tree.Source) tree.Source {
	return &countedSource{src, s, layer}
}

type countedSource struct {
	tree.Source
	sizes *Sizes
	layer int
}

func (c *countedSource) Next() (*tree.Entry, error) {
	e, err := c.Source.Next()
	if err == nil {
		err = c.sizes.Count(c.layer, e)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Show reads the tree that the layers make. What is not in it counts as hidden. A content of
// Count may be that of several files.
func (s *Sizes) Show(ctx context.Context, merged tree.Source) error {
	return each(ctx, merged, "", func(e *tree.Entry) error {
		if c, ok := e.Content.(*counted); ok {
			c.at.own.shown = saturate(c.at.own.shown, c.weight)
			c.weight = 0 // several files may have it
		}
		return nil
	})
}

// row is a line of the report.
type row struct {
	layer int
	path  string // for people; of a directory with a slash at the end
	usage
}

// Write writes the report: a line for each layer, and, with the heaviest first, a line for each
// directory and file of one that has a twentieth of the whole weight, without those below it
// that have lines of their own. The last line has the rest. bytes asks for sizes that are not
// rounded.
func (s *Sizes) Write(w io.Writer, bytes bool) error {
	var total usage
	for _, l := range s.layers {
		total.add(l.root.sum())
	}
	least := (s.weight(&total)-1)/share + 1 // rounded up, and not 0
	var rows []row
	rest := row{layer: -1}
	for i, l := range s.layers {
		rest.add(s.collect(&l.root, least, func(p *place, u usage) { rows = append(rows, row{i, shownPath(p), u}) }))
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(s.weight(&b.usage), s.weight(&a.usage)), cmp.Compare(a.layer, b.layer), cmp.Compare(a.path, b.path))
	})
	t := table{w: bufio.NewWriter(w), sizes: s, bytes: bytes}
	t.layers(total)
	t.places(append(rows, rest))
	return t.w.Flush()
}

func shownPath(p *place) string {
	path := Path(p.path())
	if !p.isFile && p.parent != nil {
		path += "/"
	}
	return path
}

// collect calls found for each place from p down that weighs at least so much without those
// below that it was called for, in no order, and returns what is left of p.
func (s *Sizes) collect(p *place, least int64, found func(*place, usage)) usage {
	left := p.own
	for _, c := range p.below {
		left.add(s.collect(c, least, found))
	}
	if s.weight(&left) < least {
		return left
	}
	found(p, left)
	return usage{}
}

// bytes is what all layers take.
func (s *Sizes) bytes() (n int64) {
	for _, l := range s.layers {
		if l.Bytes < 0 {
			return Unknown
		}
		n = saturate(n, l.Bytes)
	}
	return n
}

// table writes the lines of a report.
type table struct {
	w     *bufio.Writer
	sizes *Sizes
	bytes bool
	line  []byte
}

func (t *table) cell(s string) { t.line = appendRight(t.line, figureWidth(t.bytes), s) }

func (t *table) figure(n int64) { t.cell(figure(n, t.bytes)) }

// takes writes what a layer takes, or all.
func (t *table) takes(n int64) {
	if n < 0 {
		t.cell("-")
		return
	}
	t.figure(n)
}

// end ends a line with text. The first column has no space before it.
func (t *table) end(text string) {
	t.w.Write(t.line[1:])
	t.w.WriteString(" " + text + "\n")
	t.line = t.line[:0]
}

func (t *table) layers(total usage) {
	t.layer("layer")
	t.cell("takes")
	t.columns("name")
	for i, l := range t.sizes.layers {
		t.layer(strconv.Itoa(i))
		t.takes(l.Bytes)
		t.usage(&l.root.total)
		t.end(escape(l.Name))
	}
	if t.several() {
		t.layer("all")
		t.takes(t.sizes.bytes())
		t.usage(&total)
		t.end("all layers")
	}
	t.w.WriteString("\n")
}

func (t *table) places(rows []row) {
	t.layer("layer")
	t.columns("path, without what has a line of its own")
	for _, r := range rows {
		switch {
		case r.layer >= 0:
			t.layer(strconv.Itoa(r.layer))
			t.usage(&r.usage)
			t.end(r.path)
		case r.entries > 0:
			t.layer("all")
			t.usage(&r.usage)
			t.end("all that is smaller")
		}
	}
}

func (t *table) several() bool { return len(t.sizes.layers) > 1 }

// layer writes the number of a layer, if there are several.
func (t *table) layer(s string) {
	if t.several() {
		t.line = appendRight(t.line, len("layer"), s)
	}
}

// columns writes the headings of what usage writes.
func (t *table) columns(last string) {
	t.cell("size")
	if t.sizes.stored {
		t.cell("stored")
	}
	if t.several() {
		t.cell("hidden")
	}
	t.cell("names")
	t.end(last)
}

func (t *table) usage(u *usage) {
	t.figure(u.size)
	if t.sizes.stored {
		t.figure(u.stored)
	}
	if t.several() {
		t.figure(t.sizes.weight(u) - u.shown)
	}
	t.cell(strconv.FormatInt(u.entries, 10))
}
