package integrity

import (
	"bytes"
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// groupHeight is the height of the trees that workers compute: 64 leaves, 4 MiB.
const groupHeight = 6

// Root returns the root of the first size bytes of src, as "blake3:" and hex digits. It
// reads the data in parallel and the holes not at all. Its memory is about 100 KiB for each
// processor. It ends with the cause of ctx once that is done.
func Root(ctx context.Context, src Source, size int64) (string, error) {
	r := &rooting{src: src, size: size, height: heightOf(size)}
	return r.run(ctx)
}

// rooting is a call of Root.
type rooting struct {
	src    Source
	size   int64
	height int // of the whole tree
}

// group is a subtree that has data.
type group struct {
	number uint64 // in units of its size
	data   []span // ascending
	done   chan digest
}

type span struct{ from, end int64 }

func (r *rooting) groupHeight() int { return min(groupHeight, r.height) }

func (r *rooting) run(ctx context.Context) (string, error) {
	workers := runtime.GOMAXPROCS(0)
	todo, order := make(chan *group), make(chan *group, 4*workers)
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error {
		defer close(todo)
		defer close(order)
		return r.split(func(g *group) error {
			for _, to := range []chan *group{order, todo} {
				select {
				case to <- g:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	})
	for range workers {
		eg.Go(func() error {
			l := &worker{leaf: newLeaf()}
			for g := range todo {
				h, err := r.hash(l, g)
				if err != nil {
					return err
				}
				g.done <- h
			}
			return nil
		})
	}
	var all stack
	for g := range order {
		select {
		case h := <-g.done:
			all.add(g.number<<r.groupHeight(), r.groupHeight(), h)
		case <-ctx.Done(): // what is left in order is not needed
		}
	}
	if err := eg.Wait(); err != nil {
		return "", err
	}
	return rootOf(r.size, all.top(r.height)), nil
}

// split calls put for each group that has data, in order.
func (r *rooting) split(put func(*group) error) error {
	size := int64(LeafSize) << r.groupHeight()
	var g *group
	for off := int64(0); off < r.size; {
		from, end, err := r.src.NextData(off)
		if err != nil {
			return err
		}
		for off = end; from < end; {
			number := from / size
			if g != nil && g.number != uint64(number) {
				if err := put(g); err != nil {
					return err
				}
				g = nil
			}
			if g == nil {
				g = &group{number: uint64(number), done: make(chan digest, 1)}
			}
			part := span{from, min(end, (number+1)*size)}
			g.data = append(g.data, part)
			from = part.end
		}
	}
	if g != nil {
		return put(g)
	}
	return nil
}

// hash returns the node of g.
func (r *rooting) hash(w *worker, g *group) (digest, error) {
	var nodes [1 << groupHeight]*digest // nil above zeros
	first := int64(g.number << r.groupHeight())
	for rest := g.data; len(rest) > 0; {
		number := rest[0].from / LeafSize
		var err error
		if rest, err = w.fill(r.src, number*LeafSize, rest); err != nil {
			return digest{}, err
		}
		if w.isZero() {
			continue
		}
		h := w.leaf.hash()
		nodes[number-first] = &h
	}
	zeros := zeroNodes()
	for h, n := 0, 1<<r.groupHeight(); n > 1; h, n = h+1, n/2 {
		for i := range n / 2 {
			nodes[i] = join(nodes[2*i], nodes[2*i+1], &zeros[h])
		}
	}
	if nodes[0] == nil {
		nodes[0] = &zeros[r.groupHeight()]
	}
	return *nodes[0], nil
}

// join returns the node above left and right; nil stands for zeros.
func join(left, right, zeros *digest) *digest {
	if left == nil && right == nil {
		return nil
	}
	if left == nil {
		left = zeros
	}
	if right == nil {
		right = zeros
	}
	h := node(left, right)
	return &h
}

// worker holds the leaf that a goroutine works on.
type worker struct {
	leaf *leaf
	used span // what may be other than zero in it
}

// fill reads the leaf at off: the spans that lie in it, others are zeros. It returns the
// rest of the spans.
func (w *worker) fill(src io.ReaderAt, off int64, data []span) ([]span, error) {
	b := w.leaf.data()
	if data[0] != (span{off, off + LeafSize}) {
		clear(b[w.used.from:w.used.end])
	}
	w.used = span{LeafSize, 0}
	for len(data) > 0 && data[0].from < off+LeafSize {
		part := span{data[0].from - off, min(data[0].end-off, LeafSize)}
		if err := readFull(src, b[part.from:part.end], off+part.from); err != nil {
			return nil, err
		}
		w.used = span{min(w.used.from, part.from), part.end}
		if data[0].end > off+LeafSize {
			data[0].from = off + LeafSize
			break
		}
		data = data[1:]
	}
	return data, nil
}

var zeroLeaf [LeafSize]byte

func (w *worker) isZero() bool { return bytes.Equal(w.leaf.data(), zeroLeaf[:]) }
