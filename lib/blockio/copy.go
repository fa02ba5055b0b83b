package blockio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/osfile"
)

// FileWriter is a writer that can take bytes from the file that holds them, without a copy.
type FileWriter interface {
	// WriteFrom writes p, which f holds at off too. f must keep it.
	WriteFrom(f *os.File, off int64, p []byte) (int, error)
}

// FileTaker is a writer that can take bytes of a file without reading them into memory.
type FileTaker interface {
	io.Writer
	// TakeFrom writes as many as it can of the n bytes that f holds at off, and
	// returns how many. f must keep them. If it returns less than n, the caller writes
	// the rest with Write, which succeeds or returns the error.
	TakeFrom(f *os.File, off, n int64) int64
}

// TakeFrom calls w.TakeFrom. A writer that is not a FileTaker takes nothing.
func TakeFrom(w io.Writer, f *os.File, off, n int64) int64 {
	if t, ok := w.(FileTaker); ok {
		return t.TakeFrom(f, off, n)
	}
	return 0
}

// WriteFrom writes p to w. A FileWriter learns that f holds p at off. f is nil if no file
// holds p.
func WriteFrom(w io.Writer, f *os.File, off int64, p []byte) (int, error) {
	if fw, ok := w.(FileWriter); ok && f != nil {
		return fw.WriteFrom(f, off, p)
	}
	return w.Write(p)
}

// NextData returns where the first data of f at or after off begins and ends, at most size.
// If there is no more data, both are size. If the file system does not report holes, all of
// f is data. It is an error if f is shorter than size. NextData moves the offset of f.
func NextData(f *os.File, off, size int64) (from, end int64, err error) {
	if off >= size {
		return size, size, nil
	}
	switch from, err = osfile.SeekData(f, off); {
	case err == io.EOF:
		return size, size, reaches(f, size)
	case errors.Is(err, errors.ErrUnsupported):
		return off, size, nil // all of it is data
	case err != nil:
		return 0, 0, err
	case from >= size:
		return size, size, nil
	}
	end, err = dataEnd(f, from, size)
	return from, end, err
}

// dataEnd returns where the data of f at from ends, at most size.
func dataEnd(f *os.File, from, size int64) (int64, error) {
	switch end, err := osfile.SeekHole(f, from); {
	case err == io.EOF: // f has become shorter meanwhile
		return 0, endsAt(f, from)
	case errors.Is(err, errors.ErrUnsupported):
		return size, nil
	case err != nil:
		return 0, err
	default:
		return min(end, size), nil
	}
}

// reaches returns an error if f ends before size.
func reaches(f *os.File, size int64) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end < size {
		err = endsAt(f, end)
	}
	return err
}

// endsAt is the error about f, which has no byte at off.
func endsAt(f *os.File, off int64) error {
	return &os.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("byte %d: %w", off, io.ErrUnexpectedEOF)}
}

// CopySparse copies the first n bytes of src to the offset to of dst, which must have no
// data there. The files share blocks if the file system can do that and the positions allow
// it. Otherwise the kernel copies the data of src, or else this process does. Holes stay
// holes; a hole at the end does not lengthen dst. It ends with the cause of ctx once that is
// done.
func CopySparse(ctx context.Context, dst *os.File, to int64, src *os.File, n int64) error {
	if osfile.Clone(dst, to, src, n) == nil {
		return nil
	}
	// The reason does not matter: copying returns the real errors.
	for off := int64(0); off < n; {
		from, end, err := NextData(src, off, n)
		if err != nil {
			return err
		}
		if err := copyRange(ctx, dst, to+from, src, from, end-from); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// CopyExpanded writes the first n bytes of src to w, in large pieces, its holes as
// zeros. It does not read the holes. It is an error if src is shorter. It ends with the cause
// of ctx once that is done.
func CopyExpanded(ctx context.Context, w io.Writer, src *os.File, n int64) error {
	w = stoppable{ctx, w}
	buf := make([]byte, min(n, writerBuf))
	for off := int64(0); off < n; {
		from, end, err := NextData(src, off, n)
		if err != nil {
			return err
		}
		if err := writeZeros(w, buf, from-off); err != nil {
			return err
		}
		if err := copyTo(w, buf, src, from, end-from); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// writeZeros writes n zeros in pieces of the size of buf, which it overwrites.
func writeZeros(w io.Writer, buf []byte, n int64) error {
	if n > 0 {
		clear(buf)
	}
	for n > 0 {
		m, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// copyTo writes the n bytes of r at off to w, in pieces of the size of buf, which it
// overwrites. It is an error if r is shorter.
func copyTo(w io.Writer, buf []byte, r io.ReaderAt, off, n int64) error {
	if n == 0 {
		return nil
	}
	in := struct{ io.Reader }{io.NewSectionReader(r, off, n)} // without its WriterTo, which would not use buf
	done, err := io.CopyBuffer(struct{ io.Writer }{w}, in, buf)
	if err == nil && done < n {
		err = fmt.Errorf("byte %d: %w", off+done, io.ErrUnexpectedEOF)
	}
	return err
}

// copyPiece is how much the kernel copies between two looks at a context.
const copyPiece = 256 << 20

// copyRange lets the kernel copy as much as it can, and copies the rest itself.
func copyRange(ctx context.Context, dst *os.File, to int64, src *os.File, from, n int64) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece := min(n, copyPiece)
		done := osfile.CopyRange(dst, to, src, from, piece)
		from, to, n = from+done, to+done, n-done
		if done < piece { // also if src is shorter than it claims, as in /proc
			break
		}
	}
	if n == 0 {
		return nil
	}
	return CopyAt(ctx, dst, to, src, from, n)
}

// CopyAt copies n bytes of r at from to w at to, through memory. It is an error if r is
// shorter. It ends with the cause of ctx once that is done.
func CopyAt(ctx context.Context, w io.WriterAt, to int64, r io.ReaderAt, from, n int64) error {
	out := NewWriter(w, to)
	err := copyTo(stoppable{ctx, out}, make([]byte, min(n, writerBuf)), r, from, n)
	if ferr := out.Flush(); err == nil { // Flush waits for the goroutines, so it is called after an error too
		err = ferr
	}
	return err
}

// stoppable is a writer until ctx is done.
type stoppable struct {
	ctx context.Context
	io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.Writer.Write(p)
}

// Stoppable returns a reader of r that fails with the cause of ctx once ctx is done, even if
// it never has to wait.
func Stoppable(ctx context.Context, r io.Reader) io.Reader { return stoppableReader{ctx, r} }

type stoppableReader struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppableReader) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
