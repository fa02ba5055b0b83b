package blockio

import "io"

const (
	writerBuf = 1 << 20 // what one write call takes at least, where there is so much
	directMin = writerBuf / 4
)

// Writer writes a file from an offset on, in large writes. The first error sticks:
// every later call does nothing and returns it.
type Writer struct {
	w   io.WriterAt
	buf []byte
	off int64 // where buf goes
	err error
}

// NewWriter makes a Writer that begins at off.
func NewWriter(w io.WriterAt, off int64) *Writer {
	return &Writer{w: w, off: off}
}

// Offset is where the next byte goes.
func (w *Writer) Offset() int64 { return w.off + int64(len(w.buf)) }

// Write appends p. Large pieces are not copied.
func (w *Writer) Write(p []byte) (int, error) {
	if w.buf == nil {
		w.buf = make([]byte, 0, writerBuf)
	}
	if len(p) >= directMin || len(w.buf)+len(p) > cap(w.buf) {
		w.flush()
	}
	if len(p) < directMin {
		w.buf = append(w.buf, p...)
	} else {
		w.write(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

var zeros [64 << 10]byte

// Zero writes zeros up to off, which is not below Offset.
func (w *Writer) Zero(off int64) error {
	for n := off - w.Offset(); n > 0 && w.err == nil; n = off - w.Offset() {
		w.Write(zeros[:min(n, int64(len(zeros)))])
	}
	return w.err
}

// Flush writes what is still in memory.
func (w *Writer) Flush() error {
	w.flush()
	return w.err
}

func (w *Writer) flush() {
	if len(w.buf) > 0 {
		w.write(w.buf)
		w.buf = w.buf[:0]
	}
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	if _, err := w.w.WriteAt(p, w.off); err != nil {
		w.err = err
		return
	}
	w.off += int64(len(p))
}
