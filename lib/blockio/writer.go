package blockio

import (
	"io"
	"sync"
)

const (
	writerBuf   = 1 << 20       // bytes of a buffer
	writerCount = 4             // buffers
	directMin   = writerBuf / 4 // bytes from which Write does not copy
)

// Lender is a writer that lends its own memory for what is written to it next, so that it
// need not copy that.
type Lender interface {
	io.Writer
	// Lend returns memory, or nothing. The caller may fill its beginning and pass just that
	// to the next call of Write, which then does not copy it. Until Lend is called again,
	// only the writer may change the memory.
	Lend() []byte
}

// Lend calls w.Lend. A writer that is not a Lender lends nothing.
func Lend(w io.Writer) []byte {
	if l, ok := w.(Lender); ok {
		return l.Lend()
	}
	return nil
}

// Writer writes a file from an offset on, in large writes. It gathers pieces in buffers, which
// goroutines write while the caller goes on. The first error sticks: every call after it does
// nothing and returns it.
type Writer struct {
	w      io.WriterAt
	buf    []byte
	lent   bool           // what is written may lie in buf, behind its length
	off    int64          // of buf in the file
	free   chan []byte    // buffers, at first without memory
	busy   sync.WaitGroup // goroutines that write other buffers
	tap    io.Writer
	tapped chan struct{} // closed once the tap has got every byte before buf

	mu  sync.Mutex
	err error
}

// NewWriter makes a Writer that begins at off.
func NewWriter(w io.WriterAt, off int64) *Writer {
	n := &Writer{w: w, off: off, free: make(chan []byte, writerCount), tapped: make(chan struct{})}
	for range writerCount {
		n.free <- nil
	}
	close(n.tapped)
	return n
}

// Tap makes the Writer pass every byte from now on to tap as well, in the order of the calls:
// to a hash, say. Errors of tap are ignored. Flush waits for it. Call Flush before another
// Tap; nil ends it.
func (w *Writer) Tap(tap io.Writer) { w.tap = tap }

// Offset returns the position of the next byte.
func (w *Writer) Offset() int64 { return w.off + int64(len(w.buf)) }

// Move makes the next byte go to off.
func (w *Writer) Move(off int64) error {
	if off != w.Offset() {
		w.flush()
		w.off = off
	}
	return w.firstError()
}

// Write writes p at Offset. It does not copy large pieces, nor what it has lent.
func (w *Writer) Write(p []byte) (int, error) {
	if len(p) >= directMin && !w.lent {
		w.flush()
		w.direct(p)
	} else {
		w.gather(p)
	}
	if err := w.firstError(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// gather appends p to the buffer. If p lies in lent memory, it is at or behind the place that
// it goes to, so the buffer does not get full before its end.
func (w *Writer) gather(p []byte) {
	for len(p) > 0 {
		if w.buf == nil {
			w.takeBuffer()
		}
		at := len(w.buf)
		n := min(len(p), cap(w.buf)-at)
		w.buf = w.buf[:at+n]
		if &w.buf[at] != &p[0] {
			copy(w.buf[at:], p)
		}
		if p = p[n:]; len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
}

// Lend returns the memory that the next bytes go to; see Lender. They may also be written in
// several pieces, with some of them left out, or other bytes in place of as many of them.
func (w *Writer) Lend() []byte {
	if w.buf == nil {
		w.takeBuffer()
	}
	w.lent = true
	return w.buf[len(w.buf):cap(w.buf)]
}

var zeros [64 << 10]byte

// Zero writes zeros up to off, which is not below Offset.
func (w *Writer) Zero(off int64) (err error) {
	for n := off - w.Offset(); n > 0 && err == nil; n = off - w.Offset() {
		_, err = w.Write(zeros[:min(n, int64(len(zeros)))])
	}
	return err
}

// Flush writes what is still in memory, and waits until everything is written.
func (w *Writer) Flush() error {
	w.flush()
	w.busy.Wait()
	return w.firstError()
}

// takeBuffer waits for a free buffer.
func (w *Writer) takeBuffer() {
	if w.buf = <-w.free; w.buf == nil {
		w.buf = make([]byte, 0, writerBuf)
	}
}

// flush makes a goroutine write the buffer.
func (w *Writer) flush() {
	b, off := w.buf, w.off
	if w.buf, w.lent = nil, false; len(b) == 0 {
		if b != nil {
			w.free <- b
		}
		return
	}
	tap := w.nextTap(b)
	w.busy.Add(1)
	go func() {
		defer w.busy.Done()
		tap()
		w.write(b, off)
		w.free <- b[:0]
	}()
}

// direct writes p, and passes it to the tap at the same time.
func (w *Writer) direct(p []byte) {
	off := w.off
	tap := w.nextTap(p)
	tapped := make(chan struct{})
	go func() {
		tap()
		close(tapped)
	}()
	w.write(p, off)
	<-tapped
}

// nextTap counts p, the next bytes, as written. It returns a function that waits for
// its turn and passes p to the tap.
func (w *Writer) nextTap(p []byte) (tap func()) {
	w.off += int64(len(p))
	if w.tap == nil {
		return func() {}
	}
	before, after := w.tapped, make(chan struct{})
	w.tapped = after
	return func() {
		<-before
		w.tap.Write(p)
		close(after)
	}
}

func (w *Writer) write(p []byte, off int64) {
	if w.firstError() != nil {
		return
	}
	if _, err := w.w.WriteAt(p, off); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err == nil {
			w.err = err
		}
	}
}

func (w *Writer) firstError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
