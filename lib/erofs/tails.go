package erofs

import (
	"cmp"
	"errors"
	"slices"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

const tailBuf = 2 << 20

// tails keeps the ends of files until the metadata is written: in memory, or in a spool
// file if they are too many.
type tails struct {
	dir     string
	buf     []byte // bytes that have not been spooled
	base    int64  // offset at which buf begins
	spool   *blockio.Spool
	writing chan error // result of the goroutine that spools a buffer; nil: none runs
	spare   []byte     // that buffer, or an empty one
}

// offset is the offset of the next tail.
func (t *tails) offset() int64 { return t.base + int64(len(t.buf)) }

func (t *tails) write(p []byte) (err error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) < tailBuf {
		return nil
	}
	if t.spool == nil {
		if t.spool, err = blockio.NewSpool(t.dir); err != nil {
			return err
		}
	}
	if err := t.wait(); err != nil {
		return err
	}
	full, spool, done := t.buf, t.spool, make(chan error, 1)
	go func() {
		_, err := spool.Write(full)
		done <- err
	}()
	t.base += int64(len(full))
	t.buf, t.spare, t.writing = t.spare[:0], full, done
	return nil
}

// wait waits until all full buffers are spooled. It must be called before read.
func (t *tails) wait() (err error) {
	if t.writing != nil {
		err = <-t.writing
		t.writing = nil
	}
	return err
}

// read fills p with the bytes at off. After the first read nothing may be written.
func (t *tails) read(p []byte, off int64) error {
	if off < t.base {
		n := min(int64(len(p)), t.base-off)
		if _, err := t.spool.ReadAt(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	if len(p) > 0 {
		copy(p, t.buf[off-t.base:])
	}
	return nil
}

// free waits for the goroutine, and frees the spool file.
func (t *tails) free() error {
	err := t.wait()
	t.buf, t.spare = nil, nil
	if t.spool == nil {
		return err
	}
	s := t.spool
	t.spool = nil
	return errors.Join(err, s.Close())
}

// tailSize is the number of bytes that it has in tails.
func (it *item) tailSize(bs int64) int64 {
	if it.layout != disk.FlatInline || it.dir != nil || it.entry.Type == tree.Link {
		return 0
	}
	return it.inlineSize(bs)
}

// tailLot has the tails of items that are written one after the other. They mostly lie
// together in tails, in another order.
type tailLot struct {
	from  *tails
	buf   []byte
	files []*item // that have a tail, in the order of tails
}

const (
	maxTailLot = 8 << 20 // bytes after which no more tails are added to a lot
	maxTailGap = 2 << 10 // bytes between two tails that are read with them
)

// load reads the tails of items, which it then has until the next call.
func (l *tailLot) load(items []placedItem, bs int64) error {
	l.files, l.buf = l.files[:0], l.buf[:0]
	for _, it := range items {
		if it.tailSize(bs) > 0 {
			l.files = append(l.files, it.item)
		}
	}
	slices.SortFunc(l.files, func(a, b *item) int { return cmp.Compare(a.tail, b.tail) })
	for rest := l.files; len(rest) > 0; {
		begin, end := rest[0].tail, rest[0].tail
		for len(rest) > 0 && rest[0].tail-end <= maxTailGap {
			it := rest[0]
			end = it.tail + it.tailSize(bs)
			it.tail += int64(len(l.buf)) - begin
			rest = rest[1:]
		}
		at := len(l.buf)
		l.buf = slices.Grow(l.buf, int(end-begin))[:at+int(end-begin)]
		if err := l.from.read(l.buf[at:], begin); err != nil {
			return err
		}
	}
	return nil
}

// of returns the tail of it, one of the items that were loaded last.
func (l *tailLot) of(it *item, bs int64) []byte {
	return l.buf[it.tail:][:it.tailSize(bs)]
}
