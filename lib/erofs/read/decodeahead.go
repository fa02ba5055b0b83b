package read

import (
	"fmt"
	"io"
	"iter"
	"sync"

	"ocipipe/lib/erofs/z"
)

const (
	batchSize  = copyBuf // decoded bytes that are written at once
	largeBatch = 1 << 20 // a longer extent is decoded alone, when its turn comes
	ahead      = 2       // batches that are decoded before they are written
)

// batch is some extents of a file that are decoded, and written, together.
type batch struct {
	extents []z.Extent // without holes
	size    int64      // decoded
	buf     *[]byte
	done    chan error // nil: not decoded yet
}

// batchBuffers are *[]byte.
var batchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// free gives the buffer of b back, if it has one: the batch of an error has none.
func (b *batch) free() {
	if b.buf != nil {
		batchBuffers.Put(b.buf)
		b.buf = nil
	}
}

// decodeTo is WriteTo for a compressed file. Each extent is decoded once. Batches after the
// one that is being written are decoded by other goroutines, which have ended when decodeTo
// returns.
func (c *Content) decodeTo(w io.Writer) (total int64, err error) {
	if c.size <= batchSize {
		var all batch
		if err := c.collect(&all); err != nil {
			return 0, err
		}
		return c.write(w, &all)
	}
	order, stop := make(chan *batch, ahead), make(chan struct{})
	go c.produce(order, stop)
	for b := range order {
		var n int64
		if err == nil {
			n, err = c.write(w, b)
			if total += n; err != nil {
				close(stop)
			}
		} else if b.done != nil {
			<-b.done
			b.free()
		}
	}
	return total, err
}

// collect makes one batch of all extents.
func (c *Content) collect(b *batch) error {
	for x, err := range c.pieces() {
		if err != nil {
			return c.indexError(b, err)
		}
		b.add(&x)
	}
	return nil
}

// pieces yields the extents of the file, those that are parts of the packed inode, which may
// be large, in pieces.
func (c *Content) pieces() iter.Seq2[z.Extent, error] {
	return func(yield func(z.Extent, error) bool) {
		for x, err := range c.z.file.All() {
			for x.Fragment && x.Len > batchSize {
				first := x
				first.Len = batchSize
				if !yield(first, nil) {
					return
				}
				x.Off, x.Pos, x.Len = x.Off+batchSize, x.Pos+batchSize, x.Len-batchSize
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

func (c *Content) indexError(b *batch, err error) error {
	off := int64(0)
	if k := len(b.extents); k > 0 {
		off = b.extents[k-1].End()
	}
	return fmt.Errorf("byte %d of the file: %w", off, err)
}

// add adds x to the batch, unless it is a hole.
func (b *batch) add(x *z.Extent) {
	if !isHole(x) {
		b.extents = append(b.extents, *x)
		b.size += x.Len
	}
}

// produce sends the batches of the file to order, and closes it, until stop is closed.
func (c *Content) produce(order chan<- *batch, stop <-chan struct{}) {
	defer close(order)
	send := func(b *batch) bool {
		if b.size <= largeBatch && b.done == nil {
			b.done = make(chan error, 1)
			go func() { b.done <- c.decodeBatch(b) }()
		}
		select {
		case order <- b:
			return true
		case <-stop:
			if b.done != nil {
				<-b.done
			}
			return false
		}
	}
	b := &batch{}
	for x, err := range c.pieces() {
		if err != nil {
			failed := &batch{done: make(chan error, 1)}
			failed.done <- c.indexError(b, err)
			if send(b) {
				send(failed)
			}
			return
		}
		if b.size > 0 && b.size+x.Len > batchSize {
			if !send(b) {
				return
			}
			b = &batch{}
		}
		b.add(&x)
	}
	send(b)
}

// write writes b when it is decoded, and decodes it if nobody else does.
func (c *Content) write(w io.Writer, b *batch) (int64, error) {
	var err error
	if b.done != nil {
		err = <-b.done
	} else {
		err = c.decodeBatch(b)
	}
	defer b.free()
	if err != nil || b.size == 0 {
		return 0, err
	}
	n, err := w.Write((*b.buf)[:b.size])
	return int64(n), err
}

// decodeBatch decodes the extents of b to its buffer.
func (c *Content) decodeBatch(b *batch) error {
	b.buf = batchBuffers.Get().(*[]byte)
	if int64(cap(*b.buf)) < b.size {
		*b.buf = make([]byte, max(b.size, batchSize))
	}
	tools := c.img.z.benches.Get().(*bench)
	defer c.img.z.benches.Put(tools)
	in := input{c: c, tools: tools}
	p := (*b.buf)[:b.size]
	for i := range b.extents {
		x := &b.extents[i]
		if err := in.decode(p[:x.Len], b.extents[i:]); err != nil {
			return err
		}
		p = p[x.Len:]
	}
	return nil
}

// input is the clusters of several extents that were read together.
type input struct {
	c      *Content
	tools  *bench
	first  int64 // position of the first of them, as in extents
	data   []byte
	device int
	pos    int64 // on the device
}

// decode fills p with the first of extents. It reads the clusters of those that follow, too,
// if they are stored behind it.
func (in *input) decode(p []byte, extents []z.Extent) error {
	x := &extents[0]
	if x.Fragment {
		return in.c.readFragment(p, x, 0)
	}
	if x.Pos < in.first || x.Pos+x.Size > in.first+int64(len(in.data)) {
		if err := in.read(extents); err != nil {
			return err
		}
	}
	skip := x.Pos - in.first
	return in.c.decodeInput(in.tools, p, x, in.data[skip:skip+x.Size], in.device, in.pos+skip)
}

func (in *input) read(extents []z.Extent) (err error) {
	in.data = nil
	all := extents[0]
	for _, x := range extents[1:] {
		if x.Fragment || x.Pos != all.Pos+all.Size || x.Exact != all.Exact || all.Size+x.Size > z.MaxEncoded {
			break
		}
		all.Size += x.Size
	}
	if in.device, in.pos, err = in.c.locateCluster(&all); err != nil && all.Size > extents[0].Size {
		all.Size = extents[0].Size
		in.device, in.pos, err = in.c.locateCluster(&all)
	}
	if err != nil {
		return err
	}
	data := in.tools.take(all.Size)
	if err := in.c.read(data, in.device, in.pos); err != nil {
		return err
	}
	in.first, in.data = all.Pos, data
	return nil
}
