package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"ocipipe/lib/snapshot/fault"
)

// Entry is a member that was written.
type Entry struct {
	Member
	Kind      string // what the form calls it
	Transport string // hash
}

// WriterOptions say how an archive is written.
type WriterOptions struct {
	Plain bool // do not compress
	Level int  // of zstd, 1 to 22; 0 stands for 3
	Jobs  int  // that compress at a time; 0 is one for each processor, 8 at most
}

// Writer writes an archive. After an error every call returns it.
type Writer struct {
	ctx context.Context
	out io.Writer
	z   *compressor // nil for a plain tar
	err error
}

// NewWriter returns a Writer to w. The caller ends it with Close or Abort, neither of which
// closes w.
func NewWriter(ctx context.Context, w io.Writer, o WriterOptions) (*Writer, error) {
	aw := &Writer{ctx: ctx, out: w}
	if !o.Plain {
		z, err := newCompressor(ctx, w, o)
		if err != nil {
			return nil, err
		}
		aw.z, aw.out = z, z
	}
	return aw, nil
}

// AddBytes adds a file with the content data.
func (w *Writer) AddBytes(name, kind string, data []byte) (Entry, error) {
	return w.Add(Content{Name: name, Kind: kind, Size: int64(len(data)), From: bytes.NewReader(data)})
}

// Content is a file to add.
type Content struct {
	Name, Kind string
	Size       int64
	Runs       []Run // where its data lies; nil if all of it is data; see Map
	From       io.ReaderAt

	// Tap gets the data as it is read; nil is nobody.
	Tap func(off int64, p []byte) error
}

const pieceSize = 1 << 20 // bytes that are read at a time

// Add adds a file. It reads the data of c once, in order, while what was read before is
// hashed and compressed.
func (w *Writer) Add(c Content) (e Entry, err error) {
	if w.err != nil {
		return e, w.err
	}
	e = Entry{Member: Member{Name: c.Name, Stored: c.Size, Size: c.Size}, Kind: c.Kind}
	if c.Runs != nil {
		e.Runs, e.Stored = c.Runs, 0
		for _, r := range c.Runs {
			e.Stored += r.Len
		}
	}
	if err := w.add(&e, &c); err != nil {
		if !errors.As(err, new(*fs.PathError)) { // that has the name of a file outside
			err = fmt.Errorf("%s: %w", c.Name, err)
		}
		w.err = err
		return e, w.err
	}
	return e, nil
}

func (w *Writer) add(e *Entry, c *Content) error {
	if err := e.checkRuns(); err != nil {
		return err
	}
	head, err := e.encode()
	if err != nil {
		return err
	}
	if _, err := w.out.Write(head); err != nil {
		return err
	}
	sum := NewSum(c.Kind, &e.Member)
	runs := c.Runs
	if runs == nil {
		runs = []Run{{0, c.Size}}
	}
	ahead := newPieces(w.ctx, c.From, runs)
	defer ahead.close()
	for {
		p, err := ahead.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			sum.Write(p.data)
			_, err = w.out.Write(p.data)
		}
		if err == nil && c.Tap != nil {
			err = c.Tap(p.off, p.data)
		}
		if err != nil {
			return err
		}
		ahead.free(p)
	}
	e.Transport = sum.Digest()
	_, err = w.out.Write(make([]byte, -e.Stored&(blockSize-1)))
	return err
}

// Close ends the archive.
func (w *Writer) Close() error {
	if w.err == nil {
		_, w.err = w.out.Write(make([]byte, 2*blockSize))
	}
	if w.z != nil && w.err == nil {
		w.err = w.z.Close()
	}
	err := w.err
	if err == nil {
		w.err = fault.Corrupt("the archive is closed")
	}
	return err
}

// Abort frees what w holds, and leaves the archive cut short. After Close it does nothing.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = context.Canceled
	}
	if w.z != nil {
		w.z.abort()
	}
}
