package integrity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Hasher computes the integrity of a content that arrives in order.
type Hasher interface {
	// Add adds the bytes at off, which must not be before the end of those that were added
	// last. What lies between is zeros. It keeps no part of p.
	Add(off int64, p []byte) error
	// Digest returns the digest, in the form of Sum.Digest, once all was added.
	Digest() (string, error)
	// Close stops the work, whether or not Digest was called. Closing twice is harmless.
	Close() error
}

// NewHasher returns a Hasher of a content of size bytes. The algorithm must be known.
func NewHasher(ctx context.Context, algorithm string, size int64) Hasher {
	switch algorithm {
	case Merkle:
		return NewBuilder(ctx, size)
	case SparseSHA256:
		h := &linear{ctx: ctx, hash: sha256.New(), size: size}
		h.hash.Write([]byte(SparseSHA256 + "\x00"))
		h.hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
		return h
	case SHA256:
		return &linear{ctx: ctx, hash: sha256.New(), size: size}
	}
	panic("unknown algorithm " + algorithm)
}

// Compute returns the digest of the first size bytes of src. It reads no holes, but all
// algorithms other than Merkle take the time for as many zeros.
func Compute(ctx context.Context, src Source, size int64, algorithm string) (string, error) {
	if algorithm == Merkle {
		return Root(ctx, src, size)
	}
	h := NewHasher(ctx, algorithm, size)
	defer h.Close()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		from, end, err := src.NextData(off)
		if err != nil {
			return "", err
		}
		for off = end; from < end; {
			p := buf[:min(end-from, int64(len(buf)))]
			if err := readFull(src, p, from); err != nil {
				return "", err
			}
			if err := h.Add(from, p); err != nil {
				return "", err
			}
			from += int64(len(p))
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
		}
	}
	return h.Digest()
}

// linear hashes all bytes, holes as zeros.
type linear struct {
	ctx  context.Context
	hash hash.Hash
	size int64
	done int64
}

func (l *linear) Add(off int64, p []byte) error {
	if err := checkAdd(off, l.done, l.size, p); err != nil {
		return err
	}
	for l.done < off {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		n := min(off-l.done, LeafSize)
		l.hash.Write(zeroLeaf[:n])
		l.done += n
	}
	l.hash.Write(p)
	l.done += int64(len(p))
	return nil
}

func (l *linear) Digest() (string, error) {
	err := l.Add(l.size, nil)
	return fmt.Sprintf("sha256:%x", l.hash.Sum(nil)), err
}

func (l *linear) Close() error { return nil }

func checkAdd(off, done, size int64, p []byte) error {
	if off < done || off > size || int64(len(p)) > size-off {
		return fmt.Errorf("%d bytes at %d of a content of %d, of which %d are hashed", len(p), off, size, done)
	}
	return nil
}

// Builder computes the root of a content that arrives in order, on all processors.
type Builder struct {
	size   int64
	done   int64
	number int64     // of the leaf that is being filled
	leaf   *numbered // nil if nothing of it is there

	group  *errgroup.Group
	ctx    context.Context
	stop   context.CancelFunc
	free   chan *numbered
	todo   chan *numbered
	order  chan *numbered
	closed bool
	all    stack
}

// numbered is a leaf on its way.
type numbered struct {
	*leaf
	number int64
	used   int // where its data ends
	done   chan digest
}

// NewBuilder returns a Builder for a content of size bytes.
func NewBuilder(ctx context.Context, size int64) *Builder {
	workers := runtime.GOMAXPROCS(0)
	b := &Builder{size: size,
		free: make(chan *numbered, 4*workers), todo: make(chan *numbered, 4*workers), order: make(chan *numbered, 4*workers),
	}
	ctx, b.stop = context.WithCancel(ctx)
	b.group, b.ctx = errgroup.WithContext(ctx)
	for range cap(b.free) {
		b.free <- nil // made when needed
	}
	for range workers {
		b.group.Go(func() error {
			for l := range b.todo {
				if bytes.Equal(l.data(), zeroLeaf[:]) {
					l.done <- zeroNodes()[0]
				} else {
					l.done <- l.hash()
				}
			}
			return nil
		})
	}
	b.group.Go(func() error {
		for l := range b.order {
			b.all.add(uint64(l.number), 0, <-l.done)
			b.free <- l
		}
		return nil
	})
	return b
}

// Add implements Hasher.
func (b *Builder) Add(off int64, p []byte) error {
	if err := checkAdd(off, b.done, b.size, p); err != nil {
		return err
	}
	for b.done = off; len(p) > 0; {
		if number := off / LeafSize; b.leaf == nil || number != b.number {
			if err := b.begin(number); err != nil {
				return err
			}
		}
		at := int(off - b.number*LeafSize)
		n := copy(b.leaf.data()[at:], p)
		b.leaf.used = at + n
		p, off = p[n:], off+int64(n)
		b.done = off
	}
	return nil
}

// begin passes the leaf on that has been filled, and begins another.
func (b *Builder) begin(number int64) error {
	b.flush()
	select {
	case l := <-b.free:
		if l == nil {
			l = &numbered{leaf: newLeaf(), done: make(chan digest, 1)}
		}
		clear(l.data()[:l.used])
		l.number, l.used = number, 0
		b.leaf, b.number = l, number
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

func (b *Builder) flush() {
	if b.leaf != nil { // the channels have room for all leaves
		b.order <- b.leaf
		b.todo <- b.leaf
		b.leaf = nil
	}
}

// Digest implements Hasher.
func (b *Builder) Digest() (string, error) {
	if b.closed {
		return "", context.Canceled
	}
	b.flush()
	b.end()
	return rootOf(b.size, b.all.top(heightOf(b.size))), nil
}

// Close implements Hasher.
func (b *Builder) Close() error {
	b.end()
	return nil
}

func (b *Builder) end() {
	if !b.closed {
		b.closed = true
		close(b.todo)
		close(b.order)
		b.group.Wait() // hashes what is under way, some leaves
		b.stop()
	}
}
